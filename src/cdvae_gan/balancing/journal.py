"""What has been done, one line a chunk of images, so that a broken run goes on where it was.

A line is written after the pictures that it names, and counts only if it is whole. Chunks are the
same whether a run was broken or not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Chunk", "Journal", "Made"]


@dataclass(frozen=True)
class Made:
    """One counterfactual that was kept."""

    file: str
    """Below the folder of the data set"""
    row: int
    """Of the training split"""
    attribute: str
    value: int
    confidence: float | None
    """The lowest probability that a judge gave to what it claims; None without a judge"""


@dataclass(frozen=True)
class Chunk:
    """Some images that were edited for a cell."""

    cell: int
    tried: int
    made: tuple[Made, ...]
    refused: dict[str, int]
    """Who refused, and about what, to how many"""


class Journal:
    """The lines of a file.

    Args:
        path: The file, made where missing. An unfinished last line is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.touch()
        with path.open("r+b") as file:
            content_end = _end_of_whole_lines(file.fileno(), path.stat().st_size)
            file.truncate(content_end)

    def __iter__(self) -> Iterator[Chunk]:
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                values = json.loads(line)
                made = tuple(Made(**one) for one in values.pop("made"))
                yield Chunk(**values, made=made)

    def add(self, chunk: Chunk) -> None:
        """Append a line, and have it on the disk before going on."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(chunk), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _end_of_whole_lines(descriptor: int, size: int) -> int:
    """Just after the last line break; read backwards, since a journal may be long."""
    step = 4096
    for start in range(max(0, size - step), -step, -step):
        begin = max(0, start)
        found = os.pread(descriptor, size - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
    return 0
