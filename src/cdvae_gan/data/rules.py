"""``rules.json`` in a data set's folder: how its attributes depend on one another.

    {"exclusive": [["black", "blond"]],              at most one of them is 1
     "alternatives": [["black", "blond", "brown"]],  in the place of black comes blond or brown
     "companions": [["smiling", "open_mouth=0"]]}    where smiling goes, the mouth closes

Any of the three may be left out. What an intervention makes of them is said in
:mod:`cdvae_gan.action`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cdvae_gan.action import Ruled, check_rules
from cdvae_gan.errors import InputError
from cdvae_gan.files import write_whole

__all__ = ["RULES_FILE", "Declared", "Groups", "read_rules", "write_rules"]

RULES_FILE = "rules.json"

Groups = tuple[tuple[str, ...], ...]


class Declared(NamedTuple):
    """The rules, as a data set has them."""

    exclusive: Groups = ()
    alternatives: Groups = ()
    companions: Groups = ()

    def left(self, names: Sequence[str]) -> Declared:
        """Those that say something of these attributes alone."""
        values = [f"{name}={value}" for name in names for value in (0, 1)]
        return Declared(
            _left(self.exclusive, names),
            _left((g for g in self.alternatives if g[0] in names), names),
            _left((g for g in self.companions if g[0] in names), [*names, *values]),
        )


def read_rules(folder: Path, known: Sequence[str]) -> Declared:
    """The rules in a folder; none where it has no such file.

    Args:
        folder: Where the file would lie.
        known: All attributes that rules may name.

    Raises:
        InputError: A file that says something else, or a name that is no attribute.
    """
    path = folder / RULES_FILE
    if not path.is_file():
        return Declared()
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict) or not set(found) <= set(Declared._fields):
        raise InputError(f"{path}: expected an object of {', '.join(Declared._fields)}")
    rules = Declared(**{name: _groups(path, name, value) for name, value in found.items()})
    try:
        check_rules(known, *rules)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return rules


def write_rules(folder: Path, of: Ruled) -> None:
    """Write the rules of data or of a model, if it has any."""
    rules = {name: getattr(of, name) for name in Declared._fields if getattr(of, name)}
    if rules:
        write_whole(folder / RULES_FILE, json.dumps(rules, indent=2) + "\n")


def _groups(path: Path, name: str, value: Any) -> Groups:
    groups: list[Any] = value if isinstance(value, list) else [None]
    for group in groups:
        texts = isinstance(group, list) and all(isinstance(one, str) for one in group)
        if not texts:
            raise InputError(f"{path}: {name} is a list of lists of names")
    return tuple(tuple(group) for group in groups)


def _left(groups: Iterable[Sequence[str]], names: Sequence[str]) -> Groups:
    left = (tuple(n for n in group if n in names) for group in groups)
    return tuple(group for group in left if len(group) > 1)
