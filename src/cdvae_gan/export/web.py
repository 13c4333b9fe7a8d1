"""A page in which anyone's browser runs a model: one static folder, and no server behind it.

The model is two graphs, so that an edit costs one pass of the decoder:

    encoder   image → z, u, before
    decoder   image, z, u, before, a, drawing, do, strength, detail
              → counterfactual, mask, asked, drawn

``drawn`` is what the decoder draws for a′: location, mask and gate channels. A decoder that is told
to do nothing so draws the photo, and that drawing is what edits of the photo take for G(z, u, a).
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cdvae_gan.action import LEAVE, Rules, present
from cdvae_gan.counterfactual import (
    Abduction,
    Destination,
    act_by_code,
    move,
    reached,
    rules_of,
)
from cdvae_gan.errors import InputError
from cdvae_gan.export.fidelity import Difference, differences, trials
from cdvae_gan.export.graph import traced
from cdvae_gan.export.ort import ORT_FILES, ORT_VERSION
from cdvae_gan.export.precision import in_precision
from cdvae_gan.export.write import TOLERANCE
from cdvae_gan.faces import FRAME, aligned_face, find_faces
from cdvae_gan.images import pixels, read_image
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.runtime import Session

__all__ = ["Align", "Example", "Page", "default_examples", "example", "export_web"]

Align = Literal["eyes", "square"]
"""How a photo is brought into the model's frame: by two points on the eyes, or its central square.
"""

_PAGE = ("index.html", "style.css", "app.js", "editing.js", "model.js")
_SAMPLES = 3
_ASTRONAUT = [[203.7, 102.6], [246.9, 105.0]]  # eyes, as `find_faces` finds them


@dataclass(frozen=True)
class Example:
    """A picture that comes with the page."""

    name: str
    content: bytes
    """The file"""
    eyes: list[list[float]] | None = None
    """Middles of the left and right eye in it, where known"""


@dataclass(frozen=True)
class Page:
    """A page, and how near its graphs are to the model."""

    folder: Path
    bytes: int
    difference: Difference

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "bytes": self.bytes,
            "difference": self.difference.to_dict(),
        }


class _Encoder(nn.Module):
    def __init__(self, model: CDVAEGAN) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        e = self.encoder(image)
        found = (e.z_mean, e.a_logits.sigmoid())
        return found if e.u_mean is None else (*found, e.u_mean)


class _Decoder(nn.Module):
    yields: Tensor
    replaces: Tensor
    takes: Tensor
    brings: Tensor
    reach: Tensor

    def __init__(self, model: CDVAEGAN) -> None:
        super().__init__()
        self.decoder = model.decoder
        self.retoucher = model.retoucher
        for name, table in rules_of(model.config)._asdict().items():
            self.register_buffer(name, table)
        self.register_buffer("reach", model.reach)
        self.faint = model.config.faint

    def forward(
        self,
        image: Tensor,
        z: Tensor,
        before: Tensor,
        a: Tensor,
        drawing: Tensor,
        do: Tensor,
        strength: Tensor,
        detail: Tensor,
        u: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        factual = Drawing(*drawing.split(self.decoder.channels_out, dim=1))
        known = Rules(self.yields, self.replaces, self.takes, self.brings)
        asked = act_by_code(a, before, do, known, strength[:, None])
        drawn_with = reached(a, asked, do >= 0, self.reach)
        drawn = self.decoder(z, drawn_with, u)
        moved, mask = move(
            image,
            Abduction(z, u, a, a, factual),
            Destination(asked, drawn_with, drawn),
            detail[:, None, None, None],
            self.faint,
            self.retoucher,
        )
        return moved, mask, asked, torch.cat(drawn, dim=1)


@dataclass(frozen=True)
class _Pair:
    """Encoder and decoder run one after the other, as the page does it."""

    encoder: Session
    decoder: Session
    channels: int
    certainty: float

    def run(self, **inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        image, labels = inputs["image"], inputs.pop("labels")
        e = self.encoder.run(image=image)
        before = np.where(labels >= 0, labels, e.pop("before"))
        a = present(before, inputs["do"], self.certainty)
        known = {**inputs, **e, "before": before, "a": a.astype(np.float32)}
        blank = np.zeros((len(image), self.channels, *image.shape[2:]), np.float32)
        nothing = {**known, "do": np.full_like(known["do"], LEAVE), "drawing": blank}
        drawing = self.decoder.run(**nothing)["drawn"]
        answer = self.decoder.run(**known, drawing=drawing)
        after = self.encoder.run(image=answer["counterfactual"])["before"]
        return {**answer, "before": before, "after": after}


def export_web(
    model: CDVAEGAN,
    folder: Path,
    *,
    name: str,
    ort: Path,
    examples: Sequence[Example] = (),
    align: Align = "eyes",
    measured: dict[str, float] | None = None,
    card: str | None = None,
) -> Page:
    """Write a page; whole, or not at all.

    Args:
        model: The model.
        folder: Where to. A page that is there is replaced, anything else is refused.
        name: What the page calls the model.
        ort: The folder with `ORT_FILES`; see `cdvae_gan.export.ort.ort_folder`.
        examples: Pictures that come with it.
        align: How photos are brought into the model's frame.
        measured: Of attributes, the share of flips that judges believe.
        card: What there is to know of the model, as Markdown.

    Raises:
        InputError: Where packages are missing, or the folder holds something else.
        RuntimeError: Where the graphs do not do what the model does.
    """
    if folder.exists() and any(folder.iterdir()) and not is_page(folder):
        raise InputError(f"{folder} holds something else than a page: choose another folder")
    if folder.resolve() == Path.cwd():
        raise InputError("a page takes the place of a whole folder: name one that is not this one")
    names = [one.name for one in examples]
    for name_of in names:
        if names.count(name_of) > 1:
            raise InputError(f"two examples are called {name_of}: give one of them another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary, "page")
        difference = _graphs(model, made / "model")
        _copy_page(made, ort)
        told = {
            "name": name,
            "attributes": model.attributes,
            "size": model.image_size,
            "detail": model.config.detail,
            "certainty": model.config.certainty,
            "frame": FRAME,
            "eyes": _middles(aligned_face(Image.new("RGB", (FRAME, FRAME))).eyes),
            "align": align,
            "measured": measured or {},
            "examples": [{"file": one.name, "eyes": one.eyes} for one in examples],
            "ort": ORT_VERSION,
            "card": "card.txt" if card else None,
        }
        (made / "model" / "model.json").write_text(json.dumps(told, indent=1) + "\n")
        for one in examples:
            (made / "model" / one.name).write_bytes(one.content)
        if card:
            (made / "model" / "card.txt").write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary, "replaced"))
        made.rename(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Page(folder, size, difference)


def is_page(folder: Path) -> bool:
    """Whether a folder holds a page of ours."""
    return (folder / "model" / "model.json").is_file() and (folder / "app.js").is_file()


def _graphs(model: CDVAEGAN, folder: Path) -> Difference:
    """Write both graphs, in half precision, after the same in float32 have been compared."""
    folder.mkdir(parents=True)
    model = copy.deepcopy(model).cpu().eval()
    size, k = model.image_size, len(model.attributes)
    channels = sum(model.decoder.channels_out)
    latents = {"u": torch.zeros(2, model.config.u_channels, size // 4, size // 4)}
    if not model.config.u_channels:
        latents = {}
    image = {"image": torch.zeros(2, 3, size, size)}
    inputs = {
        **image,
        "z": torch.zeros(2, model.config.z_dim),
        "before": torch.zeros(2, k),
        "a": torch.zeros(2, k),
        "drawing": torch.zeros(2, channels, size, size),
        "do": torch.zeros(2, k),
        "strength": torch.ones(2),
        "detail": torch.ones(2),
        **latents,
    }
    outputs = ["counterfactual", "mask", "asked", "drawn"]
    parts = {
        "encoder": traced(_Encoder(model), image, ["z", "before", *latents], model, "encoder"),
        "decoder": traced(_Decoder(model), inputs, outputs, model, "decoder"),
    }
    tried = trials(model)
    for precision in ("float32", "fp16"):
        files = {part: folder / f"{part}.onnx" for part in parts}
        for part, proto in parts.items():
            files[part].write_bytes(in_precision(proto, precision).SerializeToString())
        sessions = Session(files["encoder"]), Session(files["decoder"])
        pair = _Pair(*sessions, channels, model.config.certainty)
        found = differences(model, pair, tried)
        if not found.exact or (precision == "float32" and not found.largest <= TOLERANCE):
            raise RuntimeError(f"the page's graphs differ from the model by {found.largest:.2g}")
    return found


def _copy_page(folder: Path, ort: Path) -> None:
    page = resources.files("cdvae_gan.export") / "page"
    for name in _PAGE:
        (folder / name).write_bytes((page / name).read_bytes())
    (folder / "ort").mkdir()
    (folder / "ort" / "LICENSE.txt").write_bytes((page / "ort-LICENSE.txt").read_bytes())
    for name in ORT_FILES:
        shutil.copyfile(ort / name, folder / "ort" / name)


def example(file: Path) -> Example:
    """A picture of one's own; its eyes are looked for, where what finds faces is installed.

    Raises:
        InputError: Where it can't be read.
    """
    picture = read_image(file)
    try:
        faces = find_faces(picture)
    except InputError:  # what finds faces is not installed
        faces = []
    eyes = None
    if faces:
        eyes = _middles(max(faces, key=lambda face: face.eye_distance).eyes)
    return Example(f"{file.stem}.png", _png(picture), eyes)


def default_examples(model: CDVAEGAN, align: Align) -> list[Example]:
    """What comes with a page of which nobody said what shall come with it.

    Faces get the portrait of the astronaut Eileen Collins, in the public domain, where scikit-image
    is installed, which has it; else there are pictures that the model draws.
    """
    if align == "eyes":
        try:
            from skimage.data import astronaut
        except ImportError:
            pass
        else:
            portrait: NDArray[np.uint8] = astronaut()
            return [Example("astronaut.png", _png(Image.fromarray(portrait)), _ASTRONAUT)]
    drawn = model.sample(_SAMPLES, seed=0).images
    pictures = (Image.fromarray(p) for p in pixels(drawn.cpu().numpy()))
    return [Example(f"drawn-{i + 1}.png", _png(p)) for i, p in enumerate(pictures)]


def _middles(eyes: NDArray[np.float64]) -> list[list[float]]:
    """Of the left and right eye, from their four corners."""
    middles: list[list[float]] = eyes.reshape(2, 2, 2).mean(axis=1).round(2).tolist()
    return middles


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
