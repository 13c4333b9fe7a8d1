"""What the shipped models do, at once: photographs edited, and avatars beside the truth.

The photographs are in the public domain and come inside other packages (extra ``demo``): NASA's
portrait of Eileen Collins in scikit-image, the US Navy's of Grace Hopper in matplotlib. A third is
made of both, for a photo with two faces, one of them smaller and turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console

from cdvae_gan.editing import EditedPhoto, edit
from cdvae_gan.errors import InputError
from cdvae_gan.faces import straighten
from cdvae_gan.figures import contact_sheet
from cdvae_gan.files import write_whole
from cdvae_gan.images import read_image
from cdvae_gan.model import CDVAEGAN, load, shipped_models
from cdvae_gan.packages import file_of_package
from cdvae_gan.report import Page

if TYPE_CHECKING:
    from cdvae_gan.data import AttributeDataset

__all__ = ["EditedPhotograph", "Photograph", "Showcase", "photographs", "show"]

Pixels = NDArray[np.uint8]

_AVATARS_MODEL = "avatars64"
# Of a seed that neither trains nor measures a model.
_AVATARS = "avatars:n=12,seed=3,validation=0.5"
_CELL = 178  # side of a face in the sheet of flips, in pixels
_GROUND = (226, 222, 214)
_TITLE = "Counterfactual photographs"


@dataclass(frozen=True)
class Photograph:
    """A photograph to show edits on."""

    name: str
    """Of its folder"""
    title: str
    credit: str
    """Who and what it shows, and why it may be used"""
    picture: Image.Image


@dataclass(frozen=True)
class EditedPhotograph:
    """What was written of a photograph."""

    name: str
    faces: int
    flips: Path
    """The faces before and after each flip, on one sheet"""
    slider: Path
    """A page with a slider between before and after"""
    edited: dict[str, Path]
    """By attribute: the photograph with it flipped, at full resolution"""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "faces": self.faces,
            "flips": str(self.flips),
            "slider": str(self.slider),
            "edited": {name: str(path) for name, path in self.edited.items()},
        }


@dataclass(frozen=True)
class Showcase:
    """What came out."""

    page: Path
    """All of it, to be opened in a browser"""
    photographs: list[EditedPhotograph]
    avatars: list[Path] = field(default_factory=list)
    """Counterfactuals of avatars beside the true ones; empty where no model of them is shipped"""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "page": str(self.page),
            "photographs": [p.to_dict() for p in self.photographs],
            "avatars": [str(p) for p in self.avatars],
        }


def photographs() -> list[Photograph]:
    """Two portraits in the public domain, and a photo made of both.

    Raises:
        InputError: The packages that bring them are missing.
    """
    collins = _picture("skimage", "data", "astronaut.png")
    hopper = _picture("matplotlib", "mpl-data", "sample_data", "grace_hopper.jpg")
    return [
        Photograph(
            "eileen-collins",
            "Eileen Collins",
            "The astronaut Eileen Collins, by NASA; public domain, from scikit-image.",
            collins,
        ),
        Photograph(
            "grace-hopper",
            "Grace Hopper",
            "Rear Admiral Grace Hopper, by the US Navy; public domain, from matplotlib.",
            hopper,
        ),
        Photograph(
            "two-faces",
            "Two faces",
            "Both side by side, one smaller and turned: every face is found and edited.",
            _side_by_side(collins, hopper),
        ),
    ]


def show(
    out: str | Path,
    *,
    model: CDVAEGAN | str = "celeba64",
    avatars: CDVAEGAN | str | None = None,
    given: Sequence[Photograph] | None = None,
    console: Console | None = None,
) -> Showcase:
    """Edit photographs and draw counterfactuals of avatars, and write it all as files and a page.

    Args:
        out: Folder to write to; what an earlier call wrote there is replaced.
        model: Of faces, or what :func:`cdvae_gan.load` takes.
        avatars: A model of avatars; by default the shipped one, if there is one.
        given: Photographs to take instead of :func:`photographs`.
        console: Where progress is told; None for nowhere.

    Raises:
        InputError: Where packages are missing, a photograph shows no face, or the folder cannot be
            used.
    """
    out, console = Path(out), console or Console(quiet=True)
    _refuse_what_is_not_ours(out)
    pictures = photographs() if given is None else given
    network = load(model) if isinstance(model, str) else model
    if avatars is None and _AVATARS_MODEL in shipped_models():
        avatars = _AVATARS_MODEL
    page = Page(
        _TITLE,
        "Each attribute flipped by itself: put on where the model does not read it in the photo, "
        "taken off where it does. Below each face: how surely the model reads it, before and "
        "after.",
        "Made by `cdvae-gan demo`.",
    )
    written = []
    for photograph in pictures:
        console.print(f"editing {photograph.title}: {len(network.attributes)} attributes")
        written.append(_edited(photograph, network, out, page))
    drawn = [] if avatars is None else _avatars(avatars, out, page, console)
    return Showcase(_write(out / "index.html", page), written, drawn)


def _picture(package: str, *parts: str) -> Image.Image:
    path = file_of_package(package, *parts)
    if path is None:
        raise InputError(
            f"{parts[-1]} of {package} is not here: the photographs of the demo come with "
            "pip install 'cdvae-gan[demo]'"
        )
    return read_image(path)


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """The second one smaller, and turned clockwise by 20°."""
    small = right.resize((right.width * 6 // 10, right.height * 6 // 10), Image.Resampling.LANCZOS)
    # A clear margin, or the turned edge is a staircase.
    framed = ImageOps.expand(small.convert("RGBA"), 2, (*_GROUND, 0))
    turned = framed.rotate(-20, Image.Resampling.BICUBIC, expand=True)
    size = (left.width + turned.width + 60, max(left.height, turned.height) + 40)
    together = Image.new("RGB", size, _GROUND)
    together.paste(left, (20, (size[1] - left.height) // 2))
    together.paste(turned, (left.width + 40, (size[1] - turned.height) // 2), turned)
    return together


def _edited(photograph: Photograph, model: CDVAEGAN, out: Path, page: Page) -> EditedPhotograph:
    """Every flip of a photograph: files in a folder of its own, and a section of the page."""
    folder = _folder(out / photograph.name)
    results: dict[str, EditedPhoto] = {}
    for name in model.attributes:
        # Faces are looked for once: that takes longer than an edit.
        known = next(iter(results.values())).faces if results else ()
        results[name] = edit(photograph.picture, {name: "flip"}, model=model, found=known)
    edited = {name: result.save(folder / f"{name}.png") for name, result in results.items()}
    measured = model.deception
    slid = max(results, key=lambda name: measured.get(name, 0.0))
    slider = results[slid].save_comparison(folder / "before-and-after.html")
    sheet = _sheet(results)
    sheet.save(folder / "flips.png")
    first = results[slid]
    section = page.section(photograph.title)
    section.text(photograph.credit)
    section.picture(
        contact_sheet([_pixels(first.original), _pixels(first.photo)], ["before", slid]),
        caption=f"The photo, and with {slid} flipped"
        + (": of all edits the one that judges believe most often" if measured else ""),
    )
    section.picture(sheet, caption="The faces as they are, and with each attribute flipped")
    links = ", ".join(f"[{n}]({path.relative_to(out)})" for n, path in edited.items())
    section.text(
        f"[Before and after, with a slider: {slid}]({slider.relative_to(out)}). "
        f"At full resolution: {links}."
    )
    return EditedPhotograph(
        photograph.name, len(first.edited), folder / "flips.png", slider, edited
    )


def _sheet(results: dict[str, EditedPhoto]) -> Image.Image:
    """Before, and after each flip; all faces of the photograph in each cell."""
    first = next(iter(results.values()))
    cells = [_faces(first, first.original)]
    captions = ["before"]
    for name, result in results.items():
        cells.append(_faces(result, result.photo))
        pairs = (f"{before:.2f} → {after:.2f}" for before, after in result.readings(name))
        captions.append(f"{name}\n{', '.join(pairs)}")
    return contact_sheet(cells, captions, columns=5 if len(first.edited) == 1 else 3)


def _faces(result: EditedPhoto, photo: Image.Image) -> Pixels:
    """The edited faces beside each other, straightened."""
    rgb = photo.convert("RGB")
    frames = [result.faces[number - 1].to_frame for number in result.edited]
    return np.hstack([np.asarray(straighten(rgb, frame, _CELL)) for frame in frames])


def _pixels(photo: Image.Image) -> Pixels:
    return np.asarray(photo.convert("RGB"))


def _avatars(model: CDVAEGAN | str, out: Path, page: Page, console: Console) -> list[Path]:
    """Counterfactuals of drawn faces beside the true ones."""
    # Not at the top: what trains takes seconds to import, and photographs are edited without.
    from cdvae_gan.data import open_dataset
    from cdvae_gan.demo import comparisons

    console.print("drawing avatars and their true counterfactuals")
    network = load(model) if isinstance(model, str) else model
    data: AttributeDataset = open_dataset(_AVATARS, size=network.image_size)
    section = page.section("Avatars")
    section.text(
        "Of drawn faces the true counterfactual is known: it is drawn as well. The model never "
        "saw these."
    )
    paths = []
    for i, picture in enumerate(comparisons(network, data.split("validation"))):
        paths.append(_folder(out) / (f"avatars-{i + 1}.png" if i else "avatars.png"))
        picture.save(paths[-1])
        section.picture(picture, caption="Flipped by the model, and in truth")
    return paths


def _refuse_what_is_not_ours(out: Path) -> None:
    index = out / "index.html"
    if index.exists() and f"<title>{_TITLE}</title>" not in index.read_text("utf-8", "replace"):
        raise InputError(f"{index} is no page of a demo: choose another --out")


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from None
    return path


def _write(path: Path, page: Page) -> Path:
    _folder(path.parent)
    try:
        return write_whole(path, page.html())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
