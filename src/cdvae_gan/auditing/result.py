"""What an audit found: plain data that can show itself.

An `Audit` holds one `Intervention` for each attribute that was set, with what is known of the edit
itself, and in it one `Effect` for each score of the classifier. Every figure is an `Estimate`:
value, 95 % interval, number of images. A change is in units of the score: probability, or whatever
a regressor returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from cdvae_gan.report import Page

__all__ = [
    "Audit",
    "Direction",
    "Effect",
    "Group",
    "Intervention",
    "Pair",
    "Placebo",
    "Sight",
    "Verdict",
]

Verdict = Literal["depends", "not told from placebo", "none found", "edit failed", "too few images"]

Pixels = npt.NDArray[np.uint8]

_TABLES = ("effects", "strengths", "groups", "directions", "images")


@dataclass(frozen=True)
class Sight:
    """What one judge of ours saw of an intervention."""

    judge: str
    trusted: bool
    """Whether it reads this attribute of real images well enough to be believed"""
    deception: Estimate
    """Share of edits that it reads as flipped, among images that it reads right"""
    put_on: Estimate
    take_off: Estimate
    moved: str | None
    """The other attribute whose reading moved most often"""
    moved_share: Estimate | None


@dataclass(frozen=True)
class Direction:
    """The images on which an attribute was put on, or from which it was taken off."""

    change: Estimate
    """Mean of s(x′) − s(x)"""
    to_yes: Estimate | None
    """Share whose answer turned from no to yes; None for a regressor without a threshold"""
    to_no: Estimate | None


@dataclass(frozen=True)
class Placebo:
    """A change of the same size that does not carry the attribute, signed like the edit."""

    name: str
    change: Estimate
    magnitude: Estimate
    energy: float
    """Its energy relative to the edit's, over all images: 1 is equal"""


@dataclass(frozen=True)
class Group:
    """The images of one group."""

    name: str
    change: Estimate
    difference: Estimate
    """The change in this group less that in the others"""


@dataclass(frozen=True)
class Pair:
    """One image before and after, with the scores."""

    file: str
    present: bool
    """Whether the attribute was there before"""
    before: float
    after: float
    image: Pixels
    """uint8 ``(H, W, 3)``"""
    counterfactual: Pixels

    @property
    def change(self) -> float:
        """s(x′) − s(x)."""
        return self.after - self.before


@dataclass(frozen=True)
class Effect:
    """What one intervention does to one score.

    The change is signed towards the attribute: with minus without it, whichever of the two is the
    photo. For images drawn from a population its mean estimates
    E[s | do(a = 1)] − E[s | do(a = 0)].
    """

    score: str
    change: Estimate
    """Mean of s(x with the attribute) − s(x without)"""
    magnitude: Estimate
    """Mean of |s(x′) − s(x)|"""
    to_yes: Estimate | None
    """Share of all images whose answer turned from no to yes"""
    to_no: Estimate | None
    put_on: Direction
    take_off: Direction
    strengths: dict[str, Estimate]
    """Strength to mean change: the dose and the response"""
    groups: tuple[Group, ...]
    nothing: float
    """max |s(x′) − s(x)| under do(nothing)"""
    noise: Placebo
    unrelated: Placebo | None
    excess: Estimate
    """Mean change by the edit less that by the noise, paired"""
    p: float
    """Of a mean change of 0, by signs"""
    p_placebo: float
    """Of a mean excess of 0, by signs"""
    p_corrected: float
    """The greater of the two, after Holm's correction for all effects of the audit"""
    verdict: Verdict
    can: str
    """What can be concluded, in a sentence"""
    cannot: str
    """What cannot"""
    pairs: tuple[Pair, ...]
    """The images of the greatest change, in falling order"""


@dataclass(frozen=True)
class Intervention:
    """One attribute that was set to what it was not."""

    attribute: str
    n: int
    """Images it was done to"""
    unknown: int
    """Images left out since nobody knows whether the attribute is there"""
    source: str
    """Who said whether it is there"""
    size: Estimate
    """mean |x′ − x| in grey levels of 255"""
    area: Estimate
    """Share of pixels that differ by more than 10 grey levels"""
    sights: tuple[Sight, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Audit:
    """The result of an audit; `cdvae_gan.audit` makes it.

    Example:
        >>> found = cdvae_gan.audit("clf.onnx", "photos/", interventions=["Eyeglasses"])
        >>> found["Eyeglasses"].effects[0].verdict
        'depends'
        >>> found.frame()  # a row an effect
    """

    classifier: dict[str, Any]
    """Name, family, task, scores, and what was guessed"""
    settings: dict[str, Any]
    """Everything that it takes to do it again"""
    interventions: tuple[Intervention, ...]
    notes: tuple[str, ...]
    """What holds for all conclusions"""
    files: tuple[str, ...]
    factual: npt.NDArray[np.float64]
    """``(N, L)`` scores of the images as they are"""
    counterfactual: dict[str, npt.NDArray[np.float64]]
    """Attribute to ``(N, L)`` scores at full strength; nan where it was not done"""

    def __getitem__(self, attribute: str) -> Intervention:
        for one in self.interventions:
            if one.attribute == attribute:
                return one
        known = [one.attribute for one in self.interventions]
        raise unknown_name("intervention", attribute, known)

    def __iter__(self) -> Iterator[tuple[Intervention, Effect]]:
        for intervention in self.interventions:
            for effect in intervention.effects:
                yield intervention, effect

    @property
    def scores(self) -> tuple[str, ...]:
        """The L names of the scores."""
        return tuple(self.classifier["scores"])

    def to_dict(self) -> dict[str, Any]:
        """All but the pixels and the single images' scores, as plain data that JSON can hold."""
        return {
            "classifier": self.classifier,
            "settings": self.settings,
            "notes": list(self.notes),
            "interventions": [_plain(one) for one in self.interventions],
        }

    def frame(self, table: str = "effects") -> pd.DataFrame:
        """The figures as a pandas frame.

        Args:
            table: ``effects``, a row an intervention and score; ``strengths``, ``groups`` and
                ``directions``, a row for each of these; or ``images``, a row an image too.

        Raises:
            InputError: An unknown table.
            ModuleNotFoundError: pandas is not installed.
        """
        if table not in _TABLES:
            raise unknown_name("table", table, _TABLES)
        import pandas as pd

        return pd.DataFrame(getattr(self, f"_{table}")())

    def markdown(self) -> str:
        """The report as Markdown, without pictures; `save` writes it with them."""
        return self._page(pictures=False).markdown()[0]

    def html(self) -> str:
        """The report as one HTML page that needs no other file."""
        return self._page().html()

    def save(self, folder: str | Path) -> Path:
        """Write ``report.json``, ``report.html``, and ``report.md`` with its ``figures/``.

        Raises:
            InputError: The folder cannot be written to.
        """
        folder = Path(folder)
        self._page().save(folder)
        try:
            write_whole(folder / "report.json", json.dumps(self.to_dict(), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"cannot write the report to {folder}: {error.strerror}") from None
        return folder

    def _page(self, *, pictures: bool = True) -> Page:
        from cdvae_gan.auditing.report import page

        return page(self, pictures=pictures)

    def _effects(self) -> list[dict[str, Any]]:
        rows = []
        for one, e in self:
            row = {"intervention": one.attribute, "score": e.score, **_cells("", e.change)}
            for name in ("magnitude", "to_yes", "to_no", "excess"):
                value = getattr(e, name)
                row[name] = np.nan if value is None else value.value
            row |= {"noise": e.noise.change.value, "nothing": e.nothing}
            row["unrelated"] = np.nan if e.unrelated is None else e.unrelated.change.value
            row |= {"p": e.p, "p_placebo": e.p_placebo, "p_corrected": e.p_corrected}
            row |= {f"deception_{s.judge}": s.deception.value for s in one.sights}
            rows.append({**row, "verdict": e.verdict, "can": e.can, "cannot": e.cannot})
        return rows

    def _strengths(self) -> list[dict[str, Any]]:
        return [
            {
                "intervention": one.attribute,
                "score": e.score,
                "strength": float(strength),
                **_cells("", change),
            }
            for one, e in self
            for strength, change in e.strengths.items()
        ]

    def _groups(self) -> list[dict[str, Any]]:
        return [
            {
                "intervention": one.attribute,
                "score": e.score,
                "group": g.name,
                **_cells("", g.change),
                **_cells("difference", g.difference),
            }
            for one, e in self
            for g in e.groups
        ]

    def _directions(self) -> list[dict[str, Any]]:
        return [
            {
                "intervention": one.attribute,
                "score": e.score,
                "direction": name,
                **_cells("", d.change),
                "to_yes": np.nan if d.to_yes is None else d.to_yes.value,
                "to_no": np.nan if d.to_no is None else d.to_no.value,
            }
            for one, e in self
            for name, d in (("put on", e.put_on), ("take off", e.take_off))
        ]

    def _images(self) -> list[dict[str, Any]]:
        return [
            {
                "intervention": attribute,
                "score": score,
                "file": file,
                "factual": self.factual[i, k],
                "counterfactual": scores[i, k],
            }
            for attribute, scores in self.counterfactual.items()
            for k, score in enumerate(self.scores)
            for i, file in enumerate(self.files)
            if np.isfinite(scores[i, k])
        ]


def _cells(prefix: str, estimate: Estimate) -> dict[str, float | int]:
    head = f"{prefix}_" if prefix else ""
    return {
        prefix or "change": estimate.value,
        f"{head}low": estimate.low,
        f"{head}high": estimate.high,
        f"{head}n": estimate.n,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.to_dict()
    if is_dataclass(value):
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
        return {k: _plain(v) for k, v in parts.items() if not isinstance(v, np.ndarray)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
