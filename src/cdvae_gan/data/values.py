"""What tables write for yes, no and unknown, and what classes are to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.dataset import UNKNOWN, split_by_name
from cdvae_gan.errors import InputError

__all__ = ["SPLIT_NAMES", "binary_column", "denies", "in_turn", "positive_class", "with_validation"]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What folders and data sets call the splits."""

_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no"})
_MINUS = frozenset({"-1", "-1.0", "−1"})
_EMPTY = frozenset({"", "nan", "none", "null", "na", "n/a"})
_NEGATIONS = ("not_", "not-", "not ", "no_", "no-", "no ", "non_", "non-", "without_", "without-")


def binary_column(
    values: Sequence[object], where: Callable[[int], str]
) -> npt.NDArray[np.int8] | None:
    """A column as 0, 1 or unknown; None if most of it is something else, such as text.

    Yes is written 1, true or yes; no is 0, -1, false or no; nothing at all is unknown.

    Args:
        values: The column.
        where: Says which table, line and column value ``i`` is at.

    Raises:
        InputError: A few values of a binary column are neither, or it has both 0 and -1.
    """
    words = [_word(value) for value in values]
    meanings = ((_YES, 1), (_NO, 0), (_MINUS, 0), (_EMPTY, UNKNOWN))
    known = {word: value for names, value in meanings for word in names}
    strange = [i for i, word in enumerate(words) if word not in known]
    filled = sum(word not in _EMPTY for word in words)
    if not filled or 2 * len(strange) > filled:
        return None
    if strange:
        first = strange[0]
        raise InputError(
            f"{where(first)}: {str(values[first])!r} is neither "
            "0/1, -1/1, true/false, yes/no nor empty; name the attributes where this is none"
        )
    found = set(words)
    if found & _MINUS and found & _NO:
        first = next(i for i, word in enumerate(words) if word in _MINUS)
        raise InputError(
            f"{where(first)}: the column has both 0 and -1, so which means no? Use one"
        )
    return np.array([known[word] for word in words], dtype=np.int8)


def positive_class(names: Iterable[str]) -> int:
    """Of two class names the one that means yes: not the other's negation, else the second."""
    first, second = names
    if denies(second, first) or (_word(first) in _YES and _word(second) in _NO):
        return 0
    return 1


def denies(name: str, other: str) -> bool:
    """Whether one name is "not" the other, as ``not_smiling`` is to ``smiling``."""
    return any(name.lower() == prefix + other.lower() for prefix in _NEGATIONS)


def in_turn(classes: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Each class and the others of its group, one of which takes its place where it is taken off.

    Args:
        classes: Groups of names of which exactly one holds.
    """
    return tuple((name, *(n for n in group if n != name)) for group in classes for name in group)


def with_validation(
    splits: Sequence[str | None], files: Sequence[str], share: float = 0.1
) -> npt.NDArray[np.str_]:
    """Give images a split that have none, and a validation split to data that has none.

    Both go by a hash of the file's name, so they are the same on every machine.
    """
    given = np.array([split or "" for split in splits], dtype="U10")
    free = given == ""
    if "validation" not in given:
        free |= given == "train"
    return np.where(free, split_by_name(files, share), given)


def _word(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip().lower()
