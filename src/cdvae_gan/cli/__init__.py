"""The command line: thin commands that parse, call and print."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cdvae_gan.errors import needs_torch

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the program; see :func:`cdvae_gan.cli.app.main`.

    Args:
        args: The command line without the program's name; None for that of the process.

    Returns:
        The exit code.
    """
    try:
        from cdvae_gan.cli import app
    except ModuleNotFoundError as error:
        print(f"cdvae-gan: {needs_torch('the command line', error)}", file=sys.stderr)
        return 2
    return app.main(args)
