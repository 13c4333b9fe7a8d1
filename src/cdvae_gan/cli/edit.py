"""``cdvae-gan edit``: anyone's photos, of any size, with any number of faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    Overwrite,
    claim,
    counted,
    examples,
    folder_for,
    identities,
    is_picture,
    open_model,
    output,
    output_names,
    print_json,
    reading,
    refuse,
    write_picture,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.editing import EditedPhoto

__all__ = ["EXAMPLES", "edit"]

_ENDING = "-edited.png"

EXAMPLES = examples(
    "cdvae-gan edit photo.jpg --do Smiling=1",
    "cdvae-gan edit party.jpg --do Eyeglasses=flip --face 2 --out party-glasses.png",
    "cdvae-gan edit photo.jpg --do Blond_Hair=1 --strength 0.7 --compare blond.html",
    "cdvae-gan edit holidays/ --do Smiling=1 --out edited/ --skip-bad",
    "cdvae-gan edit --list",
)


def edit(
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTO...",
            show_default=False,
            help="Photos of any size, folders of them, or glob patterns.",
        ),
    ] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What to set: 0, 1, between, or flip. Several together are one edit.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A shipped model, a run's or a model's folder, or a hub id.")
    ] = "celeba64",
    face: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N",
            show_default="all",
            help="Which faces: numbers from left to right (2, or 1,3), largest, or all.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            show_default="PHOTO-edited.png, here",
            help="Where to; of several photos a folder, for a PNG each. .png and .webp keep every "
            "bit that is not edited; .jpg is encoded again at quality 95, which changes pixels "
            "everywhere, if invisibly.",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="How far to go from what is there to what is asked, 0 to 1.")
    ] = 1.0,
    detail: Annotated[
        float | None,
        typer.Option(
            help="1 keeps all of the photo's detail that an edit leaves alone, 0 is plain "
            "decoding, as coarse as the model. Default: the model's own."
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Also write a page with a before/after slider."),
    ] = None,
    show_aligned: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Also write the faces as the model sees and draws them."
        ),
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned",
            help="The photo is one face, cropped like CelebA's; 178×218 pixels are taken for such.",
        ),
    ] = False,
    any_angle: Annotated[
        bool,
        typer.Option(
            "--any-angle", help="Look for lying faces too where there are upright ones; slower."
        ),
    ] = False,
    list_attributes: Annotated[
        bool,
        typer.Option("--list", help="List what the model can edit, and how well as measured."),
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Of several photos leave out, and name, those that cannot be read or edited.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Of several photos go on where an earlier run of the same edit broke off: photos "
            "whose file is in the folder already are passed over.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Edit the faces of photos and leave all else as it is, bit for bit.

    Faces are found, turned upright, edited at the model's size, and what changed is put back.
    EXIF data and ICC profile are kept.
    """
    if list_attributes:
        _list(model, device, as_json)
        return
    if not photos:
        raise InputError("which photo? cdvae-gan edit PHOTO --do NAME=1 (--list shows the names)")
    from cdvae_gan.images import find_images

    several = len(photos) > 1 or not Path(photos[0]).expanduser().is_file()
    found = find_images(photos)
    jobs = _jobs(found, out, several)
    extra = [path for path in (compare, show_aligned) if path is not None]
    if several and extra:
        raise InputError("--compare and --show-aligned are for one photo: name a single file")
    if resume and (overwrite or not several):
        raise InputError("--resume is for several photos, and keeps what --overwrite would replace")
    asked = len(jobs)
    jobs = [(photo, target) for photo, target in jobs if not (resume and target.exists())]
    _claim_all(jobs, compare, show_aligned, overwrite)
    network = open_model(model, device)
    if not do:
        raise InputError(f"nothing to do: add --do NAME=1, 0 or flip; {_known(network.attributes)}")

    from cdvae_gan.action import checked
    from cdvae_gan.counterfactual import parse_do
    from cdvae_gan.editing import edit as edit_photo

    wanted, which = parse_do(do, network.attributes), _faces(face)
    checked(wanted, network.attributes, network.config.exclusive, strength)
    left_out = 0
    for photo, target in jobs:
        try:
            result = edit_photo(
                photo,
                wanted,
                model=network,
                faces=which,
                strength=strength,
                detail=detail,
                aligned=aligned,
                any_angle=any_angle,
            )
        except InputError as error:
            if not (several and skip_bad):
                why = f"{_told_of(photo, error)}; --skip-bad leaves such photos out"
                raise InputError(why if several else str(error)) from error
            left_out += 1
            typer.echo(f"cdvae-gan: {_told_of(photo, error)}; left out", err=True)
            continue
        result.save(target)
        if compare is not None:
            result.save_comparison(compare)
        if show_aligned is not None:
            write_picture(result.figure(), show_aligned)
        for note in result.notes:
            typer.echo(f"cdvae-gan: {_told_of(photo, note) if several else note}", err=True)
        if as_json:
            print_json({"input": str(photo), "output": str(target), **result.to_dict()})
        else:
            _tell(result, [target, *extra], strength)
    if jobs and left_out == len(jobs):
        raise InputError(f"none of {left_out} photos could be edited")
    if several and not as_json:
        before = f", {asked - len(jobs)} before" if asked > len(jobs) else ""
        edited = counted(len(jobs) - left_out, "photo")
        output().print(f"{edited} edited{before}, {left_out} left out")


def _told_of(photo: Path, what: object) -> str:
    """With the photo's name, which not everything that is said of it holds."""
    text = str(what)
    return text if photo.name in text else f"{photo}: {text}"


def _jobs(photos: Sequence[Path], out: Path | None, several: bool) -> list[tuple[Path, Path]]:
    """Each photo with the file that is written of it."""
    if not several:
        name = f"{photos[0].stem}{_ENDING}"
        if out is not None and out.is_dir():
            return [(photos[0], out / name)]
        return [(photos[0], out or Path(name))]
    if out is None:
        raise InputError("several photos need a folder: --out FOLDER")
    if out.is_file() or is_picture(out):
        raise InputError(f"several photos need a folder, not {out}")
    names = output_names(photos, [_ENDING])
    return [(photo, out / name) for photo, (name,) in zip(photos, names, strict=True)]


def _claim_all(
    jobs: Sequence[tuple[Path, Path]],
    compare: Path | None,
    show_aligned: Path | None,
    overwrite: bool,
) -> None:
    """Before any work is done: may all files be written?"""
    photos = [photo for photo, _ in jobs]
    for _, target in jobs:
        claim(target, photos, overwrite=overwrite)
    if show_aligned is not None:
        claim(show_aligned, photos, overwrite=overwrite)
    if compare is not None:
        if compare.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--compare writes a page: give it a name in .html, not {compare}")
        refuse([compare], identities(photos), overwrite=overwrite)
        folder_for(compare.parent)
    if show_aligned is not None and show_aligned.resolve() == jobs[0][1].resolve():
        raise InputError(f"--out and --show-aligned are both {show_aligned}: give two names")


def _faces(texts: Sequence[str] | None) -> Literal["all", "largest"] | list[int]:
    """What ``--face`` says."""
    words = [w.strip() for text in texts or ["all"] for w in text.split(",") if w.strip()]
    for name in ("all", "largest"):
        if words == [name]:
            return name
    try:
        return [int(word) for word in words]
    except ValueError:
        given = ",".join(words)
        raise InputError(f"--face takes numbers, largest or all, not {given!r}") from None


def _list(model: str, device: str, as_json: bool) -> None:
    """The attributes, with the share of edits that deceived judges."""
    network = open_model(model, device)
    attributes, measured = network.attributes, network.deception
    directions = network.card.deception_by_direction if network.card else {}
    if as_json:
        columns = {"attributes": measured, **directions}
        print_json({c: {n: told.get(n) for n in attributes} for c, told in columns.items()})
        return
    table = Table("attribute", *directions, "deception")
    nothing = "no judge to trust" if measured else "not measured"
    for name in attributes:
        ways = (reading(told[name]) if name in told else "–" for told in directions.values())
        table.add_row(name, *ways, reading(measured[name]) if name in measured else nothing)
    console = output()
    console.print(table)
    if measured:
        console.print(
            "deception: share of edits that classifiers which the model never met take for real"
        )


def _known(attributes: Sequence[str]) -> str:
    return f"attributes are {', '.join(attributes)}"


def _tell(result: EditedPhoto, files: Sequence[Path], strength: float) -> None:
    """What was found, what the model reads before and after, and where it was written."""
    table = Table("face", "place", "angle", "the model reads")
    c = result.counterfactuals
    for number, face in enumerate(result.faces, start=1):
        left, top, right, bottom = face.box
        place = f"{right - left} × {bottom - top} at {left}, {top}"
        changes = "left as it is"
        if number in result.edited:
            i = result.edited.index(number)
            pairs = ((n, *result.readings(n)[i]) for n in c.do)
            changes = "\n".join(f"{n} {reading(b)} → {reading(a)}" for n, b, a in pairs)
        table.add_row(str(number), place, f"{face.angle:.0f}°", changes)
    console = output()
    console.print(table)
    for sentence in c.resolved:
        console.print(sentence)
    if bool((c.images == c.factual).all()):
        already = "the model reads all that was asked in the photo already"
        console.print(f"nothing to change: {already if strength else 'the strength is 0'}")
    if files[0].suffix.lower() in (".jpg", ".jpeg"):
        console.print("JPEG: pixels outside of the edit are encoded again; .png keeps them")
    for file in files:
        console.print(f"written to {file}", soft_wrap=True)
