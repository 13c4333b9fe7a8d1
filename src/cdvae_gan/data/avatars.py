"""Avatars: drawn faces with known attributes, and the *true* counterfactual of each.

A picture is a function of its latent choices and its attributes, x = f(ℓ, a). The choices ℓ (skin,
shade of hair, eyes, brows, nose, pose, background …) are drawn independently of a. So the
counterfactual under do(a_k = v) needs no model: it is f(ℓ, a′) with the same ℓ and a_k set to v.
Attributes may overlap on the picture as they do on people: a hat covers hair, and BlondHair colours
the beard too.

Every choice shows on every picture, whatever its attributes: what an attribute puts on or uncovers
is either of one kind (one hat, one pair of glasses) or takes its look from what is always seen (a
beard from the hair, a shirt from the background). So the true counterfactual can be told from the
picture alone, and an error of 0 is within reach of a perfect model.

A source is written ``avatars`` or
``avatars:n=4000,seed=1,validation=0.1,confound=Glasses+Hat:0.9``:

    n               number of pictures, training and validation together (5500)
    seed            another seed, other pictures (0)
    validation      share of the validation split (0.1)
    confound        ``A+B:p``: in the training split, P(B = A) = p; may be given several times
    confound_in     ``train`` (default), or ``all`` to confound the validation split as well
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import Source
from cdvae_gan.errors import InputError, unknown_name

__all__ = ["ATTRIBUTES", "PREVALENCE", "Avatars", "avatars", "draw_avatar", "parse_avatars"]

PREVALENCE = {
    "Glasses": 0.4,
    "Beard": 0.35,
    "Smile": 0.5,
    "Hat": 0.3,
    "LongHair": 0.45,
    "BlondHair": 0.35,
    "Earrings": 0.3,
    "Suit": 0.35,
}
"""The attributes, with how often each is 1 where nothing is confounded."""

ATTRIBUTES = tuple(PREVALENCE)

_DRAWING = "2"  # raise it when the same choices come to look different
_PACKAGES = ("python-avatars", "resvg-py", "pillow")

# Names in python-avatars: one of each kind, so that nothing hidden has to be guessed.
_GLASSES = "PRESCRIPTION_2"
_BEARD = "BEARD_MEDIUM"
_SMILE, _NO_SMILE = "SMILE", "SERIOUS"
_HAT, _HAT_COLOR = "WINTER_HAT_4", "#b3202c"
_LONG_HAIR, _SHORT_HAIR = "STRAIGHT_1", "SHORT_FLAT"
_SUIT, _SHIRT = "BOND_SUIT", "SHIRT_CREW_NECK"
_EYES = ("DEFAULT", "SQUINT", "HAPPY", "SURPRISED", "SIDE")
_EYEBROWS = (
    "DEFAULT",
    "DEFAULT_NATURAL",
    "RAISED_EXCITED",
    "FLAT_NATURAL",
    "UP_DOWN",
    "RAISED_EXCITED_NATURAL",
)
_NOSES = ("DEFAULT", "SMALL", "WIDE")

_SKIN = ("#f9d9c0", "#edb98a", "#d08b5b", "#ae5d29", "#7a4522", "#4f2d1c")
_DARK_HAIR = ("#17151a", "#3a2416", "#7e4220")
_BLOND_HAIR = ("#d9b15c", "#ecd07c", "#f4e3a8")
_GOLD, _EARRING_RADIUS = "#f2c230", 9.0

_Option = TypeVar("_Option")


@dataclass(frozen=True)
class Latents:
    """The choices that are not attributes, each uniform in [0, 1)."""

    skin: float
    hair_shade: float
    hair_tone: float
    eyes: float
    eyebrows: float
    nose: float
    back_hue: float
    back_depth: float
    back_shade: float
    back_slope: float
    across: float
    down: float
    zoom: float
    tilt: float


LATENTS = len(Latents.__dataclass_fields__)


@dataclass(frozen=True)
class Avatars:
    """Which pictures are drawn: the options of a source ``avatars:…``, see the module."""

    n: int = 5500
    seed: int = 0
    validation: float = 0.1
    confound: tuple[tuple[str, str, float], ...] = ()
    confound_in: str = "train"

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Pictures in the training and in the validation split."""
        held_out = round(self.n * self.validation)
        return self.n - held_out, held_out

    @cached_property
    def labels(self) -> npt.NDArray[np.int8]:
        """int8 ``(n, K)``, training split first."""
        train, validation = self._uniforms
        confounded = self.confound if self.confound_in == "all" else ()
        return np.concatenate([_labels(train, self.confound), _labels(validation, confounded)])

    @cached_property
    def latents(self) -> npt.NDArray[np.float64]:
        """``(n, LATENTS)``, training split first."""
        return np.concatenate([rows[:, :LATENTS] for rows in self._uniforms])

    @cached_property
    def _uniforms(self) -> list[npt.NDArray[np.float64]]:
        # One stream a split, so a picture does not depend on how many there are.
        width = LATENTS + len(ATTRIBUTES)
        return [
            np.random.default_rng((self.seed, split)).random((count, width))
            for split, count in enumerate(self.counts)
        ]

    def read(self, index: int, size: int) -> npt.NDArray[np.uint8]:
        """Picture ``index``, uint8 ``(size, size, 3)``."""
        return self.draw(index, {}, size)

    def draw(self, index: int, do: Mapping[str, int], size: int) -> npt.NDArray[np.uint8]:
        """Picture ``index`` with some attributes set: its true counterfactual."""
        values = dict(zip(ATTRIBUTES, (int(v) for v in self.labels[index]), strict=True))
        for name, value in do.items():
            if name not in PREVALENCE:
                raise unknown_name("attribute", name, ATTRIBUTES)
            if value not in (0, 1):
                raise InputError(f"do({name} = {value}): a drawn attribute is 0 or 1")
            values[name] = int(value)
        return draw_avatar(Latents(*self.latents[index]), values, size)


def avatars(options: str) -> Source:
    """The data set that a source ``avatars:options`` stands for."""
    drawn = parse_avatars(options)
    train, validation = drawn.counts
    return Source(
        name="avatars",
        attributes=ATTRIBUTES,
        labels=drawn.labels,
        splits=np.array(["train"] * train + ["validation"] * validation),
        files=tuple(f"avatar-{drawn.seed}-{i:06d}" for i in range(drawn.n)),
        content=digest((_DRAWING, drawn, *(version(name) for name in _PACKAGES))),
        read=drawn.read,
        draw=drawn.draw,
        processes=True,
    )


def parse_avatars(options: str) -> Avatars:
    """Read ``n=4000,seed=1,…``.

    Raises:
        InputError: An unknown option, or a value that does not fit.
    """
    values: dict[str, Any] = {}
    confound: list[tuple[str, str, float]] = []
    for item in filter(None, (part.strip() for part in options.split(","))):
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"avatars: expected option=value, got {item!r}")
        if key == "confound":
            confound.append(_confounder(text))
        elif key == "confound_in":
            if text not in ("train", "all"):
                raise InputError(f"avatars: confound_in={text}: expected train or all")
            values[key] = text
        elif key in _NUMBERS:
            convert, low, high = _NUMBERS[key]
            values[key] = _number(key, text, convert, low, high)
        else:
            raise unknown_name("avatars option", key, (*_NUMBERS, "confound", "confound_in"))
    return Avatars(**values, confound=tuple(confound))


_NUMBERS: dict[str, tuple[Callable[[str], float], float, float]] = {
    "n": (int, 1, 1_000_000),
    "seed": (int, 0, 2**32),
    "validation": (float, 0, 1),
}


def _number(key: str, text: str, convert: Callable[[str], float], low: float, high: float) -> float:
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "a whole number" if convert is int else "a number"
        raise InputError(f"avatars: {key}={text}: expected {kind} from {low} to {high}")
    return value


def _confounder(text: str) -> tuple[str, str, float]:
    pair, _, share = text.partition(":")
    names = pair.split("+")
    if len(names) != 2 or names[0] == names[1] or not share:
        raise InputError(
            f"avatars: confound={text}: expected two attributes and P(equal), as in Glasses+Hat:0.9"
        )
    for name in names:
        if name not in PREVALENCE:
            raise unknown_name("attribute", name, ATTRIBUTES)
    return names[0], names[1], _number("confound", share, float, 0, 1)


def _labels(
    uniforms: npt.NDArray[np.float64], confound: Sequence[tuple[str, str, float]]
) -> npt.NDArray[np.int8]:
    chances = uniforms[:, LATENTS:]
    labels = (chances < np.array(list(PREVALENCE.values()))).astype(np.int8)
    for cause, effect, share in confound:
        i, j = ATTRIBUTES.index(cause), ATTRIBUTES.index(effect)
        labels[:, j] = np.where(chances[:, j] < share, labels[:, i], 1 - labels[:, i])
    return labels


def draw_avatar(latents: Latents, values: Mapping[str, int], size: int) -> npt.NDArray[np.uint8]:
    """Draw f(ℓ, a).

    Args:
        latents: ℓ, the choices that are not attributes.
        values: a, 0 or 1 for each of `ATTRIBUTES`.
        size: Side in pixels.

    Returns:
        uint8 ``(size, size, 3)``.
    """
    import resvg_py

    svg = ElementTree.tostring(_scene(latents, values), encoding="unicode")
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"), dtype=np.uint8)


_SVG = "{http://www.w3.org/2000/svg}"
_WIDTH, _HEIGHT = 264, 280  # of python-avatars' drawings
_FRAME = (20, 6, 224)  # left, top and side of the square that is shown
_BRIM = 64  # with a hat on, hair above this line is not drawn
_EARS = ((66, 150), (198, 150))


def _scene(latents: Latents, values: Mapping[str, int]) -> ElementTree.Element:
    """Background, then the person under the pose's transform."""
    left, top, side = _FRAME
    svg = ElementTree.Element(f"{_SVG}svg", viewBox=f"{left} {top} {side} {side}")
    svg.append(_background(latents))
    shift = (16 * (latents.across - 0.5), 12 * (latents.down - 0.5))
    zoom, tilt = 0.94 + 0.14 * latents.zoom, 12 * (latents.tilt - 0.5)
    middle, foot = _WIDTH / 2, 190
    person = ElementTree.SubElement(
        svg,
        f"{_SVG}g",
        transform=f"translate({shift[0]:.3f} {shift[1]:.3f}) rotate({tilt:.3f} {middle} {foot}) "
        f"translate({middle} {foot}) scale({zoom:.4f}) translate({-middle} {-foot})",
    )
    person.extend(_person(latents, values))
    return svg


def _background(latents: Latents) -> ElementTree.Element:
    hue, depth = latents.back_hue, 0.15 + 0.5 * latents.back_depth
    light, slope = 0.55 + 0.4 * latents.back_shade, 0.25 * (latents.back_slope - 0.5)
    group = ElementTree.Element(f"{_SVG}g")
    gradient = ElementTree.SubElement(
        group, f"{_SVG}linearGradient", id="back", x1="0", y1="0", x2="0", y2="1"
    )
    for offset, value in (("0", light + slope), ("1", light - slope)):
        color = _hsv(hue, depth, min(1, max(0, value)))
        ElementTree.SubElement(gradient, f"{_SVG}stop", {"offset": offset, "stop-color": color})
    ElementTree.SubElement(
        group, f"{_SVG}rect", width=str(_WIDTH), height=str(_HEIGHT), fill="url(#back)"
    )
    return group


def _person(latents: Latents, values: Mapping[str, int]) -> list[ElementTree.Element]:
    import python_avatars as pa

    hair_color = _hair_color(latents, blond=bool(values["BlondHair"]))
    look = {
        "eyebrows": pa.EyebrowType[_pick(_EYEBROWS, latents.eyebrows)],
        "eyes": pa.EyeType[_pick(_EYES, latents.eyes)],
        "nose": pa.NoseType[_pick(_NOSES, latents.nose)],
        "mouth": pa.MouthType[_SMILE if values["Smile"] else _NO_SMILE],
        "facial_hair": pa.FacialHairType[_BEARD if values["Beard"] else "NONE"],
        "facial_hair_color": _mix(hair_color, "#000000", 0.15),
        "skin_color": _between(_SKIN, latents.skin),
        "hair_color": hair_color,
        "hat_color": _HAT_COLOR,
        "accessory": pa.AccessoryType[_GLASSES if values["Glasses"] else "NONE"],
        "clothing": pa.ClothingType[_SUIT if values["Suit"] else _SHIRT],
        "clothing_color": _hsv((latents.back_hue + 0.5) % 1, 0.6, 0.7),
    }
    drawing = _render(pa.HairType[_LONG_HAIR if values["LongHair"] else _SHORT_HAIR], look)
    hat = _render(pa.HatType[_HAT], {"hat_color": _HAT_COLOR}) if values["Hat"] else None
    _put_on(drawing, hat)
    _color_eyebrows(drawing, _mix(hair_color, "#000000", 0.3))
    parts = list(drawing)
    if values["Earrings"]:
        parts.append(_earrings())
    return parts


def _render(top: Any, look: Mapping[str, Any]) -> ElementTree.Element:
    import python_avatars as pa

    return ElementTree.fromstring(
        pa.Avatar(style=pa.AvatarStyle.TRANSPARENT, top=top, **look).render()
    )


def _put_on(drawing: ElementTree.Element, with_hat: ElementTree.Element | None) -> None:
    """Move the hat of one drawing onto another's hair, which ends where the hat begins.

    Hair is drawn through the same kind of clip without a hat: then it is smoothed alike, and the
    two pictures are equal below the hat to the last bit.
    """
    top = _by_id(drawing, "transparent_Top")
    under = ElementTree.Element(f"{_SVG}g", {"clip-path": "url(#brim)"})
    under.extend(list(top))
    for part in list(top):
        top.remove(part)
    clip = ElementTree.SubElement(top, f"{_SVG}clipPath", id="brim")
    y = -100 if with_hat is None else _BRIM
    ElementTree.SubElement(clip, f"{_SVG}rect", x="-100", y=str(y), width="500", height="500")
    top.append(under)
    if with_hat is not None:
        top.extend(list(_by_id(with_hat, "transparent_Top")))


def _color_eyebrows(drawing: ElementTree.Element, color: str) -> None:
    """python-avatars draws them black whatever the hair, which a hat may hide."""
    for part in _by_id(drawing, "transparent_Eyebrow").iter():
        if part.get("fill") == "#000000":
            part.set("fill", color)
        if part.get("fill-opacity"):
            part.set("fill-opacity", "0.85")


def _by_id(svg: ElementTree.Element, name: str) -> ElementTree.Element:
    found = svg.find(f".//*[@id='{name}']")
    assert found is not None, f"python-avatars draws no {name}"
    return found


def _earrings() -> ElementTree.Element:
    """python-avatars has none: a drop under each ear, in front of the hair."""
    group = ElementTree.Element(f"{_SVG}g")
    radius = _EARRING_RADIUS
    for x, y in _EARS:
        ElementTree.SubElement(
            group,
            f"{_SVG}ellipse",
            {
                "cx": str(x),
                "cy": f"{y + 1.5 * radius:.2f}",
                "rx": f"{radius:.2f}",
                "ry": f"{1.5 * radius:.2f}",
                "fill": _GOLD,
                "stroke": "#5a4632",
                "stroke-width": "1.5",
            },
        )
    return group


def _hair_color(latents: Latents, *, blond: bool) -> str:
    color = _between(_BLOND_HAIR if blond else _DARK_HAIR, latents.hair_shade)
    return _mix(
        color,
        "#000000" if latents.hair_tone < 0.5 else "#ffffff",
        0.12 * abs(2 * latents.hair_tone - 1),
    )


def _pick(options: Sequence[_Option], choice: float) -> _Option:
    return options[int(choice * len(options))]


def _between(colors: Sequence[str], position: float) -> str:
    """A colour on the way through a row of colours."""
    place = position * (len(colors) - 1)
    first = int(place)
    return _mix(colors[first], colors[first + 1], place - first)


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _hsv(hue: float, saturation: float, value: float) -> str:
    return "#" + "".join(
        f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(hue, saturation, value)
    )
