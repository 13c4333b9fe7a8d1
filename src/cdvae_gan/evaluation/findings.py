"""What an evaluation found, as plain data: all that reports are made of, in memory or from disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.metrics.base import Table
from cdvae_gan.files import write_whole

__all__ = ["RESULTS_FILE", "Findings", "read_results", "write_results"]

RESULTS_FILE = "results.json"


@dataclass(frozen=True)
class Findings:
    """Figures with all that one must know to read them."""

    about: dict[str, Any]
    """Versions, seeds, settings, and where model, data and judges come from"""
    tables: dict[str, Table]
    """``deception`` is the mean over judges, ``deception/cnn`` one judge; see `parts`"""
    missing: dict[str, str]
    """What was not measured, and why"""

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.about["model"]["name"])

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those that were flipped."""
        return tuple(self.about["attributes"])

    @property
    def groups(self) -> dict[str, int]:
        """Groups of people that have figures of their own, and how many images each has."""
        return dict(self.about["groups"])

    @property
    def settings(self) -> dict[str, Any]:
        """How it was measured, by the names of `Settings`."""
        return dict(self.about["settings"])

    @property
    def judges(self) -> list[dict[str, Any]]:
        """What is known of each judge."""
        return list(self.about["judges"])

    @property
    def jury(self) -> list[dict[str, Any]]:
        """The judges that make the means: all that do not stand apart, if there are any."""
        return [j for j in self.judges if not j["apart"]] or self.judges

    def networks(self, metric: str) -> tuple[str, ...]:
        """In whose features ``identity`` or ``realism`` was measured."""
        return tuple(
            n.removeprefix(f"{metric}/") for n in self.tables if n.startswith(f"{metric}/")
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "about": self.about,
            "not_measured": self.missing,
            "tables": {name: table.to_dict() for name, table in self.tables.items()},
            "untrusted": {n: list(t.untrusted) for n, t in self.tables.items() if t.untrusted},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Findings:
        """Undoes `to_dict`."""
        tables = {
            name: Table.from_dict(table, values["untrusted"].get(name, ()))
            for name, table in values["tables"].items()
        }
        return cls(values["about"], tables, values["not_measured"])


def write_results(folder: str | Path, results: object) -> Path:
    """Write ``results.json``, whole or not at all.

    Raises:
        InputError: The folder cannot be written to.
    """
    path = Path(folder) / RESULTS_FILE
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        return write_whole(path, text + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def read_results(folder: str | Path) -> dict[str, Any]:
    """Read what `write_results` wrote.

    Raises:
        InputError: The file is missing or damaged.
    """
    path = Path(folder) / RESULTS_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        raise InputError(f"cannot read {path}") from None
    return found
