"""Numbers of a training that are given as text: ``name=value``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from cdvae_gan.errors import InputError, unknown_name

__all__ = ["with_settings"]

Config = TypeVar("Config")


def with_settings(config: Config, settings: Iterable[str], held: Collection[str] = ()) -> Config:
    """A dataclass with other values of some fields.

    Args:
        config: The dataclass.
        settings: Each ``name=value``; what lies in another dataclass is named with a point:
            ``weights.edit=2``.
        held: Fields that cannot be set so.

    Raises:
        InputError: For a field that does not exist, or a value that it cannot have.
    """
    for setting in settings:
        name, given, value = setting.partition("=")
        if not given:
            raise InputError(f"a setting is written name=value, not {setting!r}")
        config = _with(config, name.strip(), value.strip(), held)
    return config


def _with(owner: Any, name: str, text: str, held: Collection[str]) -> Any:
    first, _, rest = name.partition(".")
    names = [f.name for f in fields(owner) if f.name not in held]
    if first not in names:
        raise unknown_name("setting", first, names)
    now = getattr(owner, first)
    if is_dataclass(now):
        if not rest:
            inside = ", ".join(f"{first}.{f.name}" for f in fields(now))
            raise InputError(f"{first} has parts: set one of {inside}")
        return replace(owner, **{first: _with(now, rest, text, ())})
    if rest:
        raise InputError(f"{first} has no part {rest!r}")
    return replace(owner, **{first: _parsed(text, get_type_hints(type(owner))[first], first)})


def _parsed(text: str, kind: Any, name: str) -> Any:
    """Text as a value of a field's type."""
    words = [w for w in get_args(kind) if isinstance(w, str)]
    if words:
        if text not in words:
            raise unknown_name(name, text, words)
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise InputError(f"{name} is true or false, not {text!r}")
        return text == "true"
    if type(None) in get_args(kind) and text == "none":
        return None
    number = int if kind is int else float
    try:
        return number(text)
    except ValueError:
        what = "a whole number" if number is int else "a number"
        raise InputError(f"{name} is {what}, not {text!r}") from None
