"""Abduction, action, prediction, and what a user may pass."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.action import FLIP, LEAVE, present, relabelled, related
from cdvae_gan.counterfactual import abduct, act, parse_do, predict, reached, transport
from cdvae_gan.images import to_float
from cdvae_gan.networks.decoder import Drawing

NAMES = ("Smile", "Glasses", "Black", "Blond")
EXCLUSIVE = (("Black", "Blond"),)
CONFIG = ModelConfig(NAMES, image_size=32, z_dim=8, width=8, exclusive=EXCLUSIVE)
HAIR = ("Bald", "Black", "Blond", "Brown")
COLOURS = ModelConfig(
    HAIR,
    prior=(0.1, 0.3, 0.1, 0.2),
    exclusive=(HAIR,),
    alternatives=(("Black", "Blond", "Brown"), ("Bald", "Black", "Blond", "Brown")),
)
FACE = ("Male", "No_Beard", "Mustache", "Smile", "Open")
CAUSES = ModelConfig(
    FACE,
    exclusive=(("No_Beard", "Mustache"),),
    companions=(("Male", "No_Beard=1", "Mustache=0"), ("Smile", "Open=0")),
)


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(CONFIG).eval()


@pytest.fixture
def x() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return to_float(torch.randint(0, 256, (5, 3, 32, 32), generator=generator, dtype=torch.uint8))


def test_doing_nothing_returns_the_input_bit_for_bit(model: CDVAEGAN, x: torch.Tensor) -> None:
    result = model.counterfactual(x, do={}, detail=1.0)
    assert torch.equal(result.images, x)
    assert torch.equal(result.factual, x)
    assert result.mask.abs().max() == 0


def test_asking_for_what_is_there_returns_the_input_bit_for_bit(
    model: CDVAEGAN, x: torch.Tensor
) -> None:
    result = model.counterfactual(x, do={"Smile": 1}, attributes={"Smile": 1})
    assert torch.equal(result.images, x)


def test_a_flip_changes_the_picture_and_stays_in_range(model: CDVAEGAN, x: torch.Tensor) -> None:
    result = model.counterfactual(x, do={"Smile": "flip"})
    assert (result.images - x).abs().flatten(1).mean(1).min() > 1e-4
    assert result.images.abs().max() <= 1


def test_without_detail_the_answer_is_plain_decoding(model: CDVAEGAN, x: torch.Tensor) -> None:
    result = model.counterfactual(x, do={"Smile": 1}, detail=0.0)
    with torch.no_grad():
        q = model.posterior(x)
        a = (q.a.base_dist.probs > 0.5).float()
        a[:, 0] = 1
        assert q.u is not None
        expected = model.decode(q.z.base_dist.loc, a, q.u.base_dist.loc)
    assert torch.allclose(result.images, expected, atol=1e-5)


def test_no_label_is_needed_and_a_label_wins_over_what_is_read(
    model: CDVAEGAN, x: torch.Tensor
) -> None:
    read = abduct(model, x)
    assert torch.equal(read.a, (read.probabilities > 0.5).float()), "½ where nothing is asked"
    given = torch.full((5, 4), -1.0)
    given[:, 0] = 1 - read.a[:, 0]
    told = abduct(model, x, given)
    assert torch.equal(told.a[:, 0], given[:, 0])
    assert torch.equal(told.a[:, 1:], read.a[:, 1:])
    assert torch.equal(told.probabilities[:, 0], given[:, 0])


def test_what_is_asked_is_there_already_only_where_the_model_is_sure_of_it() -> None:
    probabilities = torch.tensor([[0.05, 0.4, 0.6, 0.95]])
    off, on, between = (torch.full((4,), v) for v in (0.0, 1.0, 0.5))
    assert present(probabilities, off, 0.9).tolist() == [[0, 1, 1, 1]]
    assert present(probabilities, on, 0.9).tolist() == [[0, 0, 0, 1]]
    assert present(probabilities, between, 0.9).tolist() == [[0, 0, 1, 1]]
    for code in (torch.full((4,), v) for v in (LEAVE, FLIP, math.nan)):
        assert present(probabilities, code, 0.9).tolist() == [[0, 0, 1, 1]]
    assert present(probabilities, off, 0.5).tolist() == [[0, 0, 1, 1]], "½ asks for no more"
    again = present(probabilities.numpy(), off.numpy(), 0.9)
    assert again.tolist() == [[0, 1, 1, 1]], "arrays are read as tensors are"


def test_a_doubtful_attribute_can_be_taken_off_and_a_sure_absence_is_left_alone(
    model: CDVAEGAN, x: torch.Tensor
) -> None:
    doubtful, sure = deepcopy(model), deepcopy(model)
    with torch.no_grad():
        for network, certainty in ((doubtful, 1.0), (sure, 0.5)):
            network.config = replace(network.config, certainty=certainty)
    read = sure.counterfactual(x, {}).before[:, 0]
    absent = (read < 0.5).nonzero()[:, 0]
    assert len(absent), "the fixture must have a photo without the attribute"
    same = sure.counterfactual(x, {"Smile": 0}).images[absent]
    assert torch.equal(same, x[absent])
    moved = doubtful.counterfactual(x, {"Smile": 0})
    assert (moved.images[absent] != x[absent]).flatten(1).any(dim=1).all()
    assert torch.equal(doubtful.counterfactual(x, {}).images, x), "doing nothing stays nothing"


def flat(*columns: float) -> torch.Tensor:
    """A picture of two rows and these columns, one channel."""
    return torch.tensor(columns).expand(1, 1, 2, len(columns)).contiguous()


def test_transport_keeps_detail_where_the_mask_is_closed_and_drops_it_where_open() -> None:
    x, location, none = flat(0.5, 0.5), flat(0.1, 0.1), torch.zeros(1, 0, 2, 2)
    moved = transport(
        x,
        Drawing(location, flat(0.0, 0.0), none),
        Drawing(location - 0.3, flat(50.0, 0.0), none),
        detail=1.0,
    )
    assert moved.mask[0, 0, 0].tolist() == [1, 0]
    assert torch.allclose(moved.image, flat(-0.2, 0.2))
    assert moved.gate.min() == 1


def test_transport_leaves_the_photo_alone_where_the_gate_is_closed() -> None:
    x, location, shut = flat(0.5, 0.5), flat(0.1, 0.1), flat(0.0, 0.0)
    drawings = Drawing(location, shut, shut), Drawing(location - 0.3, shut, flat(50.0, 0.0))
    assert torch.allclose(transport(x, *drawings, detail=1.0).image, flat(0.2, 0.5))
    plain = transport(x, *drawings, detail=0.0).image
    assert torch.allclose(plain, location - 0.3), "without detail it is plain decoding everywhere"


def test_a_faint_difference_opens_the_mask_a_little_and_the_gate_hardly() -> None:
    x, faint, none = flat(0.5), flat(0.1), flat(0.0)
    moved = transport(x, Drawing(x, none, none), Drawing(x, faint, faint), detail=1.0)
    assert float(moved.mask.max()) == pytest.approx(1 - math.exp(-0.1))
    assert float(moved.gate.max()) == pytest.approx(1 - math.exp(-0.01))


def test_changes_fainter_than_the_model_says_are_left_out() -> None:
    x, none = torch.zeros(1, 1, 2, 32), torch.zeros(1, 1, 2, 32)
    open_ = torch.full_like(x, 50.0)
    change = torch.cat([flat(0.02).expand(1, 1, 2, 16), flat(0.2).expand(1, 1, 2, 16)], dim=3)
    drawings = Drawing(x, none, none), Drawing(x + change, none, open_)
    moved = transport(x, *drawings, detail=1.0, faint=0.03)
    assert torch.equal(moved.image[..., :14], x[..., :14])
    assert torch.allclose(moved.image[..., 18:], change[..., 18:])
    edge = moved.gate[0, 0, 0, 12:18]
    assert (edge.diff() >= 0).all(), "from one to the other without a seam"
    assert 0 < float(edge[2]) < 1, "nor at once"
    assert torch.allclose(transport(x, *drawings, detail=1.0).image, change)


def test_flips_and_values_and_strengths_act_on_their_own_attribute_only() -> None:
    a = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert act(a, {"Smile": "flip"}, CONFIG).a[:, 0].tolist() == [1, 0]
    assert act(a, {"Glasses": 0}, CONFIG).a[:, 1].tolist() == [0, 0]
    assert act(a, {"Glasses": 0.25}, CONFIG).a[:, 1].tolist() == [0.25, 0.25]
    half = act(a, {"Smile": "flip"}, CONFIG, strength=0.5).a
    assert half[:, 0].tolist() == [0.5, 0.5]
    assert torch.equal(half[:, 1:], a[:, 1:])


def test_an_exclusive_attribute_gives_way_and_that_is_reported() -> None:
    a = torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    action = act(a, {"Blond": 1}, CONFIG)
    assert action.a[:, 2:].tolist() == [[0, 1], [0, 1]]
    assert action.resolved == ("Black gives way to Blond in 1 of 2 images",)
    assert act(a, {"Black": 0}, CONFIG).resolved == ()


def test_what_gave_way_is_counted_over_all_images(model: CDVAEGAN) -> None:
    labels = {"Black": [1] * 100 + [0] * 30, "Blond": 0}
    result = model.counterfactual(torch.zeros(130, 3, 32, 32), {"Blond": 1}, attributes=labels)
    assert result.resolved == ("Black gives way to Blond in 100 of 130 images",)


def test_in_the_place_of_what_goes_comes_the_likeliest_alternative() -> None:
    a = torch.tensor([[0.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
    seen = torch.tensor([[0.9, 1, 0.2, 0.1], [0, 1, 0.1, 0.2], [0, 0, 1, 0.3], [0, 1, 0.5, 1]])
    action = act(a, {"Black": 0}, COLOURS, seen)
    assert action.a.tolist() == [
        [0, 0, 1, 0],  # not bald, which is no colour
        [0, 0, 0, 1],
        [0, 0, 1, 0],  # was not black
        [0, 0, 0, 1],  # is brown already
    ]
    assert action.resolved == (
        "Blond takes the place of Black in 1 of 4 images",
        "Brown takes the place of Black in 1 of 4 images",
    )
    assert act(a[:1], {"Black": 0}, COLOURS).a.tolist() == [[0, 0, 0, 1]], "the most frequent"


def test_an_alternative_comes_by_as_much_as_the_other_goes() -> None:
    a = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert act(a, {"Black": 0.75}, COLOURS).a.tolist() == [[0, 0.75, 0, 0.25]]
    assert act(a, {"Black": 0}, COLOURS, strength=0.5).a.tolist() == [[0, 0.5, 0, 0.5]]
    assert act(a, {"Black": "flip"}, COLOURS).a.tolist() == [[0, 0, 0, 1]]


def test_what_an_intervention_says_of_alternatives_stands() -> None:
    a = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert act(a, {"Black": 0, "Brown": 0}, COLOURS).a.tolist() == [[0, 0, 1, 0]]
    assert act(a, {"Black": 0, "Blond": 0, "Brown": 0}, COLOURS).a.tolist() == [[0, 0, 0, 0]]
    assert act(a, {"Black": 0, "Blond": 1}, COLOURS).a.tolist() == [[0, 0, 1, 0]]
    assert act(a, {"Black": 0, "Bald": 1}, COLOURS).a.tolist() == [[1, 0, 0, 0]]


def test_what_goes_takes_along_what_it_has_caused() -> None:
    a = torch.tensor([[1.0, 0, 1, 1, 1], [1, 1, 0, 1, 0], [0, 1, 0, 0, 1]])
    action = act(a, {"Smile": 0}, CAUSES)
    assert action.a.tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 0, 0, 1]]
    assert action.resolved == ("Open goes with Smile in 1 of 3 images",)
    action = act(a, {"Male": 0}, CAUSES)
    assert action.a.tolist() == [[0, 1, 0, 1, 1], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]
    assert "No_Beard holds without Male in 1 of 3 images" in action.resolved
    assert "Mustache goes with Male in 1 of 3 images" in action.resolved
    up = act(a, {"Male": 1, "Smile": 1}, CAUSES)
    assert up.a[2].tolist() == [1, 1, 0, 1, 1], "what comes brings nothing along"
    assert up.resolved == ()


def test_a_companion_goes_by_as_much_as_its_cause() -> None:
    a = torch.tensor([[1.0, 0, 0, 1, 1]])
    assert act(a, {"Smile": 0.25}, CAUSES).a[0].tolist() == [1, 0, 0, 0.25, 0.25]
    assert act(a, {"Male": 0}, CAUSES, strength=0.5).a[0].tolist() == [0.5, 0.5, 0, 1, 1]


def test_what_an_intervention_says_of_companions_stands() -> None:
    a = torch.tensor([[1.0, 0, 1, 1, 1]])
    assert act(a, {"Smile": 0, "Open": 1}, CAUSES).a[0].tolist() == [1, 0, 1, 0, 1]
    assert act(a, {"Male": 0, "No_Beard": 0}, CAUSES).a[0].tolist() == [0, 0, 0, 1, 1]
    for start in (a, torch.tensor([[1.0, 0, 0, 1, 1]])):
        told = act(start, {"Male": 0, "Mustache": 1}, CAUSES)
        assert told.a[0].tolist() == [0, 0, 1, 1, 1], "what it excludes does not come"


def test_a_companion_that_goes_in_part_still_gives_way_as_a_whole() -> None:
    a = torch.tensor([[1.0, 0, 1, 1, 1]])
    assert act(a, {"Male": 0.5, "No_Beard": 1}, CAUSES).a[0].tolist() == [0.5, 1, 0, 1, 1]


RULED = ModelConfig(
    ("Male", "No_Beard", "Goatee", "Bald", "Black", "Blond", "Hat"),
    exclusive=(("No_Beard", "Goatee"), ("Bald", "Black", "Blond"), ("Black", "Hat")),
    alternatives=(("Bald", "Black", "Blond"), ("Black", "Blond")),
    companions=(("Male", "No_Beard=1", "Bald=0"),),
)


@pytest.mark.parametrize(
    ("labels", "name", "value", "expected"),
    [
        ([0, 0, 0, 0, 0, 0, 1], "Black", 1, [0, 0, 0, 0, 1, 0, 0]),
        ([1, 0, 1, 0, 0, 1, 0], "Male", 0, [0, 1, 0, 0, 0, 1, 0]),
        ([1, 0, 1, 1, 0, 0, 1], "Male", 0, [0, 1, 0, 0, -1, -1, -1]),
        ([1, -1, -1, 0, 0, 0, 0], "Male", 0, [0, -1, -1, 0, 0, 0, 0]),
        ([0, 1, 0, 0, 1, 0, 0], "Black", 0, [0, 1, 0, 0, 0, -1, 0]),
        ([0, 1, 0, 0, 1, 1, 0], "Black", 0, [0, 1, 0, 0, 0, 1, 0]),
        ([0, 1, 0, 0, 0, 1, 0], "Male", 1, [1, 1, 0, 0, 0, 1, 0]),
    ],
)
def test_labels_follow_what_is_drawn(
    labels: list[int], name: str, value: int, expected: list[int]
) -> None:
    found = relabelled(np.array(labels, np.int8), RULED.attributes, name, value, RULED)
    assert found.tolist() == expected
    if -1 in labels:
        return
    drawn = act(torch.tensor([labels]).float(), {name: value}, RULED).a[0].long()
    known = torch.from_numpy(found) >= 0
    assert torch.equal(torch.from_numpy(found).long()[known], drawn[known])


def test_rules_of_other_attributes_are_passed_over() -> None:
    names = ("Bald", "Male")
    assert relabelled(np.array([1, 1], np.int8), names, "Male", 0, RULED).tolist() == [0, 0]


def test_what_a_rule_ties_together_is_related() -> None:
    assert related("No_Beard", RULED) == {"Goatee", "Male"}
    assert related("Black", RULED) == {"Bald", "Blond", "Hat"}
    assert related("Male", RULED) == {"No_Beard", "Bald"}


def test_a_counterfactual_is_drawn_as_far_as_the_model_reaches(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    near = CDVAEGAN(CONFIG).eval()
    far = CDVAEGAN(replace(CONFIG, reach=((2.0, 0.5), *((1.0, 1.0),) * 3))).eval()
    far.load_state_dict(near.state_dict())
    a = torch.zeros(5, 4)
    asked = act(a, {"Smile": 1}, CONFIG).a
    for before, after, reach in ((a, asked, 2.0), (asked, a, 0.5)):
        found = abduct(near, x)._replace(a=before)
        found = found._replace(drawing=near.decoder(found.z, before, found.u))
        code = torch.where(after == before, LEAVE, after)
        moved, _ = predict(far, x, found, after, code, 1.0)
        there = near.decoder(found.z, before + reach * (after - before), found.u)
        expected = transport(x, found.drawing, there, 1.0).image.clamp(-1, 1)
        assert torch.equal(moved, expected)


def test_what_is_brought_along_goes_as_far_as_what_brought_it() -> None:
    reach = torch.tensor([[0.5, 1.0, 1.5, 2.0], [3.0, 0.7, 1.2, 1.0]])
    a = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    asked = torch.tensor([[1.0, 0.0, 1.0, 0.0]])

    def drawn(*told: int) -> list[float]:
        named = torch.tensor([k in told for k in range(4)])
        found: list[float] = reached(a, asked, named, reach)[0].tolist()
        return found

    assert drawn(0) == pytest.approx([0.5, 0.5, 1, 0])  # the second gave way to the first
    assert drawn(1) == pytest.approx([0.7, 0.3, 1, 0])  # the first came in the second's place
    assert drawn(0, 1) == pytest.approx([0.5, 0.3, 1, 0])
    # What was named and does not change brings nothing along, however far it would go.
    assert drawn(1, 2) == pytest.approx([0.7, 0.3, 1, 0])


def test_two_exclusive_attributes_cannot_both_be_asked_for() -> None:
    with pytest.raises(InputError, match="Black and Blond exclude each other"):
        act(torch.zeros(1, 4), {"Black": 1, "Blond": 1}, CONFIG)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ({"Smiel": 1}, "did you mean 'Smile'"),
        ({"Smile": 1.5}, r"Smile must be a number in \[0, 1\]"),
        ({"Smile": "on"}, 'or "flip"'),
        ({"Smile": float("nan")}, "Smile must be a number"),
        ({"Smile": None}, "Smile must be a number"),
    ],
)
def test_a_wrong_intervention_is_refused_in_one_line(
    model: CDVAEGAN, x: torch.Tensor, do: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        model.counterfactual(x, do=do)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 64, 64), r"\(B, 3, 32, 32\)"),
        (torch.zeros(3, 32, 32), r"\(B, 3, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "float images"),
        (torch.full((1, 3, 32, 32), 255.0), r"must lie in \[−1, 1\]"),
        (torch.full((1, 3, 32, 32), float("nan")), r"must lie in \[−1, 1\]"),
        (torch.zeros(0, 3, 32, 32), "no images"),
        ([], "no images"),
        ("no_such_file.png", "no_such_file.png"),
    ],
)
def test_wrong_images_are_refused(model: CDVAEGAN, images: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.counterfactual(images, do={})  # type: ignore[arg-type]


def test_wrong_detail_and_strength_are_refused(model: CDVAEGAN, x: torch.Tensor) -> None:
    with pytest.raises(InputError, match="detail"):
        model.counterfactual(x, do={}, detail=2)
    with pytest.raises(InputError, match="strength"):
        model.counterfactual(x, do={"Smile": 1}, strength=-0.1)


@pytest.mark.parametrize(
    "labels", [{"Smile": 2}, {"Smile": [1, 0]}, {"Smiel": 1}, torch.zeros(5, 3)]
)
def test_wrong_labels_are_refused(model: CDVAEGAN, x: torch.Tensor, labels: object) -> None:
    with pytest.raises(InputError):
        model.counterfactual(x, do={}, attributes=labels)  # type: ignore[arg-type]


def test_pictures_paths_and_lists_of_any_size_are_taken(model: CDVAEGAN, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    one = model.counterfactual(picture, do={})
    named = model.counterfactual([tmp_path / "a.png", str(tmp_path / "a.png")], do={})
    assert len(one) == 1
    assert named.names == ("a.png", "a.png")
    assert torch.equal(named.factual[0], one.factual[0])
    assert [p.size for p in named.pil()] == [(32, 32)] * 2


def test_a_picture_of_the_models_size_comes_back_bit_for_bit(model: CDVAEGAN) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    result = model.counterfactual(Image.fromarray(pixels), do={})
    assert np.array_equal(np.asarray(result.pil()[0]), pixels)


def test_the_answer_does_not_depend_on_the_other_images_of_a_batch(
    model: CDVAEGAN, x: torch.Tensor
) -> None:
    together = model.counterfactual(x, do={"Smile": "flip"}).images
    alone = model.counterfactual(x[2:3], do={"Smile": "flip"}).images
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_images_of_double_precision_are_those_of_single(model: CDVAEGAN, x: torch.Tensor) -> None:
    single, double = (model.counterfactual(images, {"Smile": "flip"}) for images in (x, x.double()))
    assert torch.equal(double.images, single.images)
    assert torch.equal(double.factual, x)


def test_saving_writes_a_picture_and_what_was_asked_beside_it(
    model: CDVAEGAN, x: torch.Tensor, tmp_path: Path
) -> None:
    result = model.counterfactual(x, do={"Smile": "flip", "Blond": 1})
    path = result.save(tmp_path / "result.png")
    assert Image.open(path).width > 3 * 32
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["do"] == {"Smile": "flip", "Blond": 1}
    smile = told["images"][0]["attributes"]["Smile"]
    assert smile["asked"] == pytest.approx(1 - round(smile["before"]))
    assert result._repr_png_().startswith(b"\x89PNG")
    model.counterfactual(x, do={"Smile": np.float32(0.5)}).save(path)  # type: ignore[dict-item]
    assert json.loads((tmp_path / "result.json").read_text())["do"] == {"Smile": 0.5}
    with pytest.raises(InputError, match="no folder"):
        result.save(tmp_path / "missing" / "result.png")
    with pytest.raises(InputError, match="png"):
        result.save(tmp_path / "result.xyz")


def test_interventions_are_read_from_text() -> None:
    texts = ["Smile=1", "Glasses=flip", "Blond=0.5"]
    assert parse_do(texts, NAMES) == {"Smile": 1.0, "Glasses": "flip", "Blond": 0.5}


@pytest.mark.parametrize("text", ["Smile", "=1", "Smile=", "Smile=maybe", "Smile=2", "Smiel=1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_do([text], NAMES)


def test_an_attribute_set_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        parse_do(["Smile=1", "Smile=0"], NAMES)
