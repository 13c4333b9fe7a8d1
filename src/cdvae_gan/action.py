"""The action of a counterfactual, a′ = do(a; S = s): read, checked, and written as numbers.

    code of attribute k    s in [0, 1]: a_k becomes s      LEAVE: stays      FLIP: becomes 1 − a_k

What is switched on switches off what excludes it. What the intervention itself switches off takes
along its companions; where there are alternatives to what is switched off, the likeliest of them
comes in its place. It goes no further: what gives way takes nothing along.

Nothing here needs torch: what reads an exported model shares it with the model itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cdvae_gan.errors import InputError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FLIP",
    "LEAVE",
    "Do",
    "Ruled",
    "Rules",
    "Values",
    "alternatives_to",
    "check_rules",
    "checked",
    "codes",
    "companion",
    "companions_of",
    "consequences",
    "entailed",
    "excluded_by",
    "kappa",
    "label_table",
    "parse_do",
    "present",
    "relabelled",
    "related",
    "rules",
    "sentences",
]

Do = Mapping[str, "float | bool | str"]
"""An intervention: attribute name to 0, 1, a strength in between, or ``"flip"``."""
Values = dict[str, "float | str"]
"""An intervention that has been checked."""

Numbers = TypeVar("Numbers", "Tensor", "NDArray[Any]")

LEAVE = -1.0
FLIP = 2.0


class Rules(NamedTuple, Generic[Numbers]):
    """What an intervention entails besides what it says."""

    yields: Numbers
    """``(K, K)``: 1 at (j, k) where switching k on switches j off"""
    replaces: Numbers
    """``(K, K)``: 1 at (j, k) where j may take the place of k when that is switched off"""
    takes: Numbers
    """``(K, K)``: 1 at (j, k) where switching k off switches j off"""
    brings: Numbers
    """``(K, K)``: 1 at (j, k) where switching k off switches j on"""


def parse_do(texts: Iterable[str], attributes: Sequence[str]) -> Values:
    """Read interventions such as ``Smiling=1``, ``Eyeglasses=flip`` or ``Blond_Hair=0.5``.

    Raises:
        InputError: For a text of another form, an unknown attribute or a value out of range.
    """
    do: Values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise InputError(f"{text!r} is not an intervention: write Name=1, Name=0 or Name=flip")
        if name not in attributes:
            raise unknown_name("attribute", name, attributes)
        if name in do:
            raise InputError(f"{name} is set twice: give one value for an attribute")
        do[name] = value if value == "flip" else _number(name, value)
    return checked(do, attributes)


def checked(
    do: Do,
    attributes: Sequence[str],
    exclusive: Sequence[Sequence[str]] = (),
    strength: float = 1.0,
) -> Values:
    """An intervention that can be carried out, in plain numbers.

    Raises:
        InputError: For an unknown name, a value out of range, or two exclusive attributes set to 1.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"strength must lie in [0, 1], not {strength}")
    if not isinstance(do, Mapping):
        raise InputError(f'do says what to set, as {{"Smiling": 1}} does, not {do!r}')
    values: Values = {}
    for name, value in do.items():
        if name not in attributes:
            raise unknown_name("attribute", str(name), attributes)
        if value == "flip":
            values[name] = "flip"
            continue
        number = _between(value)
        if number is None:
            raise InputError(f'{name} must be a number in [0, 1] or "flip", not {value!r}')
        values[name] = number
    for group in exclusive:
        together = [n for n in group if values.get(n) == 1.0]
        if len(together) > 1:
            raise InputError(f"{' and '.join(together)} exclude each other: set one of them to 1")
    return values


def _between(value: Any) -> float | None:
    """A number in [0, 1]; None for anything else."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


def kappa(detail: float | None, default: float) -> float:
    """κ: what the caller says, or the model's own.

    Raises:
        InputError: For a value outside of [0, 1].
    """
    if detail is None:
        return default
    if not 0 <= detail <= 1:
        raise InputError(f"detail must lie in [0, 1], not {detail}")
    return detail


def codes(values: Values, attributes: Sequence[str]) -> NDArray[np.float32]:
    """An intervention as K numbers, ``(K,)``: in [0, 1], `LEAVE` or `FLIP`."""
    code = np.full(len(attributes), LEAVE, np.float32)
    for name, value in values.items():
        code[attributes.index(name)] = FLIP if isinstance(value, str) else value
    return code


def present(probabilities: Numbers, code: Numbers, certainty: float) -> Numbers:
    """What is taken to be there, in view of what is asked; of arrays and of tensors.

    Args:
        probabilities: ``(B, K)``: α(x).
        code: ``(K,)`` or ``(B, K)``: the intervention to come.
        certainty: c; for a value s between 0 and 1 the threshold lies between 1 − c and c.

    Returns:
        Whether a_k = 1, ``(B, K)`` of bool.
    """
    told = (code >= 0) & (code <= 1)
    threshold = (1 - certainty) + (2 * certainty - 1) * code
    return (told & (probabilities > threshold)) | (~told & (probabilities > 0.5))


class Ruled(Protocol):
    """What says of its attributes how they depend on one another: a model's configuration, data."""

    @property
    def attributes(self) -> tuple[str, ...]: ...
    @property
    def exclusive(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def alternatives(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def companions(self) -> tuple[tuple[str, ...], ...]: ...


def excluded_by(name: str, of: Ruled) -> list[str]:
    """The attributes that go when this one is switched on."""
    found = [o for group in of.exclusive if name in group for o in group if o != name]
    return list(dict.fromkeys(found))


def alternatives_to(name: str, of: Ruled) -> list[str]:
    """The attributes of which one takes the place of this one when it is switched off."""
    return [o for gone, *others in of.alternatives if gone == name for o in others]


def companions_of(name: str, of: Ruled) -> dict[str, int]:
    """What others become when this one is switched off."""
    found = [companion(o) for gone, *others in of.companions if gone == name for o in others]
    return dict(found)


def companion(text: str) -> tuple[str, int]:
    """``Name=0`` or ``Name=1`` as a name and its value.

    Raises:
        InputError: For a text of another form.
    """
    name, _, value = text.rpartition("=")
    if not name or value not in ("0", "1"):
        raise InputError(f"a companion is written Name=0 or Name=1, not {text!r}")
    return name, int(value)


def relabelled(
    labels: NDArray[np.int8], attributes: Sequence[str], name: str, value: int, of: Ruled
) -> NDArray[np.int8]:
    """The labels of one image once an attribute has been set and what follows has followed.

    Args:
        labels: ``(K,)`` in {0, 1, −1}; what is unknown stays so.
        attributes: Their names; rules of others are passed over.
        name: The attribute that was set, one of them.
        value: To what.
        of: Whose rules. Which of several alternatives comes is not known here: −1.
    """
    result = labels.copy()
    result[attributes.index(name)] = value

    def become(others: Iterable[str], was: int, now: int) -> list[str]:
        found = [o for o in others if o in attributes and result[attributes.index(o)] == was]
        for other in found:
            result[attributes.index(other)] = now
        return found

    if value == 1:
        become(excluded_by(name, of), 1, 0)
        return result
    companions = companions_of(name, of)
    fell = become([n for n, v in companions.items() if v == 0], 1, 0)
    for other in become([n for n, v in companions.items() if v == 1], 0, 1):
        become(excluded_by(other, of), 1, 0)
    for other in (name, *fell):
        instead = [n for n in alternatives_to(other, of) if n in attributes and n not in companions]
        if not any(result[attributes.index(n)] == 1 for n in instead):
            for unsure in become([n for n in instead if n != name], 0, -1):
                become(excluded_by(unsure, of), 1, -1)
    return result


def related(name: str, of: Ruled) -> set[str]:
    """The attributes that a rule ties to this one, in whichever direction."""
    names = {o for o in of.attributes if o != name}
    tied = {*excluded_by(name, of), *alternatives_to(name, of), *companions_of(name, of)}
    return tied | {o for o in names if name in (*alternatives_to(o, of), *companions_of(o, of))}


def check_rules(
    attributes: Sequence[str],
    exclusive: Sequence[Sequence[str]],
    alternatives: Sequence[Sequence[str]],
    companions: Sequence[Sequence[str]],
) -> None:
    """Make sure that rules say something that can be done.

    Raises:
        InputError: A group of one, a name that is unknown or comes twice, or another form.
    """
    along = [(*g[:1], *(companion(o)[0] for o in g[1:])) for g in companions]
    for kind, groups in (
        ("exclusive", exclusive),
        ("alternatives", alternatives),
        ("companions", along),
    ):
        for group in groups:
            if len(group) < 2:
                raise InputError(f"a group of {kind} names two attributes at least")
            for one in group:
                if one not in attributes:
                    raise unknown_name("attribute", one, attributes)
                if group.count(one) > 1:
                    raise InputError(f"a group of {kind} names {one} twice")


def entailed(name: str, of: Ruled) -> list[str]:
    """What an intervention on an attribute entails besides, a sentence each."""
    found = []
    if gone := excluded_by(name, of):
        found.append(f"Where {name} is put on, {', '.join(gone)} {_goes(gone)} off.")
    if instead := alternatives_to(name, of):
        which = instead[0] if len(instead) == 1 else f"the likeliest of {', '.join(instead)}"
        found.append(f"Where {name} is taken off, {which} is put on.")
    for value, words in ((0, "off"), (1, "on")):
        along = [n for n, v in companions_of(name, of).items() if v == value]
        if along:
            found.append(f"Where {name} is taken off, {', '.join(along)} {_goes(along)} {words}.")
    return found


def _goes(names: Sequence[str]) -> str:
    return "goes" if len(names) == 1 else "go"


def rules(of: Ruled) -> Rules[NDArray[Any]]:
    """The rules as tables."""
    names = of.attributes
    yields, replaces, takes, brings = np.zeros((4, len(names), len(names)), np.float32)
    for k, name in enumerate(names):
        yields[[names.index(other) for other in excluded_by(name, of)], k] = 1
        replaces[[names.index(other) for other in alternatives_to(name, of)], k] = 1
        for other, value in companions_of(name, of).items():
            (brings if value else takes)[names.index(other), k] = 1
    return Rules(yields, replaces, takes, brings)


def consequences(
    a: NDArray[Any],
    asked: NDArray[Any],
    values: Values,
    attributes: Sequence[str],
    known: Rules[NDArray[Any]],
) -> list[tuple[str, NDArray[np.bool_]]]:
    """What an intervention changes besides what it says: in words, and in which images, ``(B,)``.

    Args:
        a: ``(B, K)`` in {0, 1}: before the intervention.
        asked: ``(B, K)`` in [0, 1]: after it.
        values: The intervention.
        attributes: The K names.
        known: The rules.
    """
    found = []
    rose, fell = asked > a, asked < a
    for j, other in enumerate(attributes):
        for k, name in enumerate(attributes):
            for rule, moved, cause, words in (
                (known.yields, fell, rose, "gives way to"),
                (known.replaces, rose, fell, "takes the place of"),
                (known.takes, fell, fell, "goes with"),
                (known.brings, rose, fell, "holds without"),
            ):
                rows = moved[:, j] & cause[:, k]
                if other not in values and rule[j, k] and rows.any():
                    found.append((f"{other} {words} {name}", rows))
    return found


def sentences(
    a: NDArray[Any],
    asked: NDArray[Any],
    values: Values,
    attributes: Sequence[str],
    known: Rules[NDArray[Any]],
) -> tuple[str, ...]:
    """`consequences`, with how many images they are of."""
    found = consequences(a, asked, values, attributes, known)
    return tuple(f"{told} in {rows.sum()} of {len(a)} images" for told, rows in found)


def label_table(
    labels: Mapping[str, float | Sequence[float]] | NDArray[np.float32] | None,
    n: int,
    attributes: Sequence[str],
) -> NDArray[np.float32] | None:
    """Labels of any accepted kind as ``(n, K)`` with −1 for unknown; None where none are given.

    Raises:
        InputError: For an unknown attribute, a wrong number of values, or a value other than 0, 1
            and −1.
    """
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        table = np.full((n, len(attributes)), -1, np.float32)
        for name, value in labels.items():
            if name not in attributes:
                raise unknown_name("attribute", name, attributes)
            column = np.asarray(value, np.float32).ravel()
            if len(column) not in (1, n):
                raise InputError(f"{name} has {len(column)} labels for {n} images")
            table[:, attributes.index(name)] = column
    else:
        table = np.asarray(labels, np.float32)
        if table.shape != (n, len(attributes)):
            raise InputError(f"labels must have shape ({n}, {len(attributes)}), not {table.shape}")
    if not np.isin(table, (-1, 0, 1)).all():
        raise InputError("labels must be 0, 1, or −1 for unknown")
    return table


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f'{name} must be a number in [0, 1] or "flip", not {value!r}') from None
