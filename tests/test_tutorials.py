"""The tutorials in the documentation run, every cell of them, and each is in the navigation."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))

# What a page needs to have something to show, and a test has not.
SMALLER = {
    "own_folder": {"n=600": "n=60", "steps=100": "steps=1", "steps=150": "steps=2"},
    "audit": {"n=1200": "n=300", "limit=200": "limit=60"},
    "augment": {"n=1200": "n=300", "n=1000": "n=400"},
}


@pytest.fixture(scope="module", autouse=True)
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Avatars are drawn once for all, and not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDVAE_GAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_every_cell_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = path.read_text(encoding="utf-8")
    for shown, tested in SMALLER.get(path.stem, {}).items():
        assert shown in code
        code = code.replace(shown, tested)
    exec(compile(code, str(path), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_is_text_with_a_title_and_in_the_navigation(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert re.match(r"# %% \[markdown\]\n# # \S", code)
    assert f"tutorials/{path.name}" in (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_what_it_links_to_is_there(path: Path) -> None:
    links = re.findall(r"\]\((\.\.[^)]*)\)", path.read_text(encoding="utf-8"))
    page = DOCS / "tutorials" / path.stem  # as mkdocs serves it: a folder
    for link in links:
        target = (page / link).resolve()
        assert any(target.with_suffix(s).is_file() for s in (".md", ".py")), link
