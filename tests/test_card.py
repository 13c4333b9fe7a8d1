"""A model's card: made of a report, refused for another model, and carried wherever it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cdvae_gan
from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.card import Card, blank_card
from cdvae_gan.evaluation.card import model_card
from cdvae_gan.evaluation.measure import Evaluation, evaluate
from cdvae_gan.evaluation.report import save_report
from command_line import Cli
from test_evaluate import EYE, NAMES, QUICK, halves

FAST = replace(QUICK, without=frozenset({"identity", "probes", "realism", "robustness"}))


def small(seed: int = 0) -> CDVAEGAN:
    torch.manual_seed(seed)
    return CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, width=8)).eval()


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    return small()


@pytest.fixture(scope="module")
def found(model: CDVAEGAN) -> Evaluation:
    return evaluate(model, halves(40), [EYE], name="mine", settings=FAST)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the hub got."""
    import huggingface_hub

    sent: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None = None) -> None:
            sent["token"] = token

        def create_repo(self, repo_id: str, **options: object) -> None:
            sent["repo"] = repo_id

        def upload_folder(self, repo_id: str, folder_path: str) -> str:
            sent["files"] = {p.name: p.read_bytes() for p in Path(folder_path).iterdir()}
            return f"https://example.org/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return sent


def test_a_card_has_the_reports_tables_and_what_they_do_not_show(
    model: CDVAEGAN, found: Evaluation, tmp_path: Path
) -> None:
    save_report(found, tmp_path, "cdvae-gan evaluate mine halves")
    card = model_card(model, tmp_path, about="Drawn halves.", licence="cc0-1.0")
    assert card.readme.startswith("---\nlibrary_name: cdvae-gan\n")
    assert 'license: "cc0-1.0"' in card.readme
    assert card.licence == "cc0-1.0"
    assert "Drawn halves." in card.readme
    assert "`cdvae-gan evaluate mine halves`" in card.readme
    for row in (*NAMES, "**mean**", "eye"):
        assert f"| {row}" in card.readme
    assert "What cannot be concluded" in card.readme
    assert "![" not in card.readme
    assert model_card(model, found).metrics == card.metrics


def test_a_licence_of_its_own_goes_by_its_name_and_only_the_head_says_it() -> None:
    named = "---\nlicense: other\nlicense_name: non-commercial\n---\n# Faces\nlicense: not this\n"
    assert Card(named).licence == "non-commercial"
    assert Card("---\ntags: [faces]\n---\nlicense: not this\n").licence == ""


def test_a_card_has_the_figures_of_each_group(model: CDVAEGAN) -> None:
    found = evaluate(model, halves(40), [EYE], settings=replace(FAST, groups=("Bottom",)))
    assert "| Bottom=1 " in model_card(model, found).readme


def test_programs_read_how_many_edits_deceived_the_judges(
    model: CDVAEGAN, found: Evaluation, tmp_path: Path
) -> None:
    model_card(model, found).write(tmp_path)
    read = Card.read(tmp_path)
    assert read is not None
    measured = read.deception
    for name in NAMES:
        assert measured[name] == pytest.approx(
            found.tables["deception"][name, "all"].value, abs=1e-3
        )
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 40
    by_direction = read.deception_by_direction
    for way, column in (("put on", "put on"), ("taken off", "take off")):
        told = {n: found.tables["deception"][n, column].value for n in NAMES}
        assert by_direction[way] == pytest.approx(told, abs=1e-3)
    assert replace(read, metrics="").deception == {}
    assert replace(read, metrics='{"deception": {}}').deception_by_direction == {}
    with pytest.raises(InputError, match=r"metrics\.json does not hold"):
        _ = replace(read, metrics="[]").deception


def test_a_report_of_other_weights_is_refused(found: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another model"):
        model_card(small(seed=1), found)
    with pytest.raises(InputError, match="cannot read"):
        model_card(small(), tmp_path)
    (tmp_path / "results.json").write_text('{"tables": []}')
    with pytest.raises(InputError, match="no report"):
        model_card(small(), tmp_path)


def test_the_hub_gets_the_model_and_its_card_and_nothing_else(
    found: Evaluation, hub: dict[str, Any]
) -> None:
    card = model_card(small(), found, name="owner/name")
    assert small().push_to_hub("owner/name", card=card, token="secret") == (
        "https://example.org/owner/name"
    )
    assert (hub["token"], hub["repo"]) == ("secret", "owner/name")
    assert sorted(hub["files"]) == ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert hub["files"]["README.md"].decode() == card.readme


def test_a_model_that_nobody_measured_says_so_on_the_hub(hub: dict[str, Any]) -> None:
    small().push_to_hub("owner/name")
    assert sorted(hub["files"]) == ["README.md", "config.json", "model.safetensors"]
    text = hub["files"]["README.md"].decode()
    assert 'load("owner/name")' in text
    assert "Nothing: how well its edits work is not known" in text
    assert "Not stated" in text


def test_a_card_travels_with_the_model(
    found: Evaluation, tmp_path: Path, hub: dict[str, Any]
) -> None:
    model = small()
    model.card = model_card(model, found)
    model.save(tmp_path / "a")
    again = cdvae_gan.load(tmp_path / "a")
    assert again.card == model.card
    again.save(tmp_path / "b")
    assert Card.read(tmp_path / "b") == model.card
    again.push_to_hub("owner/name")
    assert hub["files"]["README.md"].decode() == model.card.readme
    again.card = None
    again.save(tmp_path / "c")
    assert Card.read(tmp_path / "c") is None


def test_the_shipped_model_brings_its_card() -> None:
    card = cdvae_gan.load("celeba64").card
    assert card is not None
    assert "celeba64" in card.readme
    assert json.loads(card.metrics)["deception"]


def test_a_card_without_figures_takes_the_old_ones_away(tmp_path: Path) -> None:
    config = ModelConfig(("A",), 32)
    blank_card(config, "old", metrics={"deception": {"A": 1.0}}).write(tmp_path)
    assert (tmp_path / "metrics.json").is_file()
    blank_card(config, "new").write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md"]
    with pytest.raises(InputError, match="cannot write"):
        blank_card(config, "new").write(tmp_path / "nowhere")


def test_the_command_puts_the_card_beside_the_weights(
    model: CDVAEGAN, found: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, run = Cli(capsys), tmp_path / "run"
    model.save(run / "model")
    save_report(found, tmp_path / "report")
    words = ("card", run, "--report", tmp_path / "report")
    [told] = cli(*words, "--name", "me/mine", "--license", "mit", "--json").objects
    assert told == {"card": str(run / "model" / "README.md")}
    card = cdvae_gan.load(run).card
    assert card is not None
    assert "# me/mine" in card.readme
    assert "--overwrite" in cli.refused(*words)
    assert cli(*words, "--overwrite", "--about", "Drawn.").code == 0
    assert "Drawn." in (run / "model" / "README.md").read_text()
    assert "no folder" in cli.refused("card", "celeba64", "--report", tmp_path / "report")
