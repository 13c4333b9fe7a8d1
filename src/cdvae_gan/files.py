"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write a file beside its place, and put it there once it is whole.

    Args:
        path: Where to; its folder exists.
        content: Text is written in UTF-8.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
