"""The program called from a test, as the shell calls it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from cdvae_gan.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Calls the program, as the shell does, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *args: object) -> Result:
        self.capsys.readouterr()
        code = main([str(a) for a in args])
        return Result(code, *self.capsys.readouterr())

    def refused(self, *args: object) -> str:
        """What is said on wrong input: one line on stderr, nothing on stdout, exit code 2."""
        result = self(*args)
        assert result.code == 2, result
        assert result.out == ""
        assert result.err.startswith("cdvae-gan: ")
        assert result.err.endswith("\n")
        assert result.err.count("\n") == 1, result.err
        return result.err
