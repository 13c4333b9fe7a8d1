"""A model's card with measured tables: made of the report that ``cdvae-gan evaluate`` wrote."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from cdvae_gan.card import DIRECTIONS, Card, blank_card
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.conclusions import conclusions
from cdvae_gan.evaluation.findings import RESULTS_FILE, Findings, read_results
from cdvae_gan.evaluation.metrics.deception import ALL, PUT_ON, TAKE_OFF
from cdvae_gan.evaluation.report import attribute_table, by_group, judge_table, provenance_rows
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.report import Section

__all__ = ["metrics_of", "model_card"]


def model_card(
    model: CDVAEGAN,
    report: str | Path | Findings,
    *,
    name: str | None = None,
    about: str = "",
    licence: str = "",
) -> Card:
    """The card of a model, with what a report has measured of it.

    Args:
        model: The model: the very one of the report, which is told by its weights.
        report: The folder that ``cdvae-gan evaluate`` wrote, or what `evaluate` returned.
        name: Of the model, its hub id for instance; by default what the report calls it.
        about: On which data it was trained, and what it must not be used for.
        licence: An identifier that the hub knows, such as ``apache-2.0``, or ``other``.

    Raises:
        InputError: There is no report in the folder, or it is of another model.

    Example:
        >>> model = cdvae_gan.load("runs/faces")
        >>> model.card = model_card(model, "report/", name="me/faces", about="Trained on …")
        >>> model.push_to_hub("me/faces")
    """
    found, command = _read(report)
    measured_digest = found.about["model"].get("digest")
    if measured_digest != model.digest():
        raise InputError(
            f"the report is of another model ({found.name}, {measured_digest or 'no CDVAE-GAN'}): "
            "a card says what was measured of these very weights"
        )
    return blank_card(
        model.config,
        name or found.name,
        about=about,
        licence=licence,
        measured=_measured(found, command),
        metrics=metrics_of(found),
    )


def _read(report: str | Path | Findings) -> tuple[Findings, str]:
    if isinstance(report, Findings):
        return report, ""
    values = read_results(report)
    try:
        return Findings.from_dict(values), str(values.get("command", ""))
    except (KeyError, TypeError, AttributeError, IndexError):
        path = Path(report) / RESULTS_FILE
        raise InputError(f"{path} is no report of cdvae-gan evaluate") from None


def _measured(found: Findings, command: str) -> list[str]:
    data, confidence = found.about["data"], found.settings["confidence"]
    people = f" of {data['people']:,} people" if data["people"] else ""
    section = Section("Measured")
    section.text(
        f"{'By `' + command + '`: ' if command else ''}{data['images']:,} images{people} from "
        f"{data['name']}. Brackets are {confidence:.0%} intervals. Put on, taken off, both: the "
        "share of flips that judges, trained aside, read as flipped."
    )
    attribute_table(section, found)
    judge_table(section, found)
    if found.groups:
        section.heading("By group")
        by_group(section, found)
    section.heading("What cannot be concluded")
    section.items(conclusions(found))
    section.heading("How this was made")
    section.table(["", ""], provenance_rows(found), left=True)
    return [section.markdown(lambda suffix, content: "")]  # it has no picture to store


def metrics_of(found: Findings) -> dict[str, Any]:
    """For ``metrics.json``, as `Card.deception` and `Card.deception_by_direction` read it."""
    table = found.tables["deception"]
    trusted = [a for a in found.attributes if a not in table.untrusted]

    def shares(column: str) -> dict[str, float]:
        values = {a: table[a, column].value for a in trusted}
        return {a: round(v, 3) for a, v in values.items() if math.isfinite(v)}

    return {
        "judges": [judge["name"] for judge in found.jury],
        "images": found.about["data"]["images"],
        "deception": shares(ALL),
        **{way: shares(column) for way, column in zip(DIRECTIONS, (PUT_ON, TAKE_OFF), strict=True)},
    }
