"""Errors that are the user's to mend: one line that names what is wrong and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "needs_torch", "unknown_name"]


class InputError(ValueError):
    """Input that cannot be used; the message is one line, fit to be shown without a traceback."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest existing ones.

    Args:
        kind: What the name stands for, such as ``"attribute"``.
        name: The name that was asked for.
        known: The names that exist.
    """
    names = list(known)
    by_lower = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[close[0]]!r}? " if close else ""
    return InputError(f"no {kind} {name!r}: {hint}known are {', '.join(names)}")


def needs_torch(what: str, error: ModuleNotFoundError) -> str:
    """What to tell those who installed the package without torch.

    Args:
        what: What they wanted.
        error: What was found missing.
    """
    return (
        f"{what} needs {error.name}: pip install 'cdvae-gan[torch]' (models exported as ONNX run "
        "without it, see cdvae_gan.runtime)"
    )
