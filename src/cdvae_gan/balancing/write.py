"""Write a data set with the counterfactuals that it lacks, as an ImageFolder.

    NEW/train/metadata.csv         file_name, every attribute, and where an image comes from
    NEW/train/originals/…          the images of the source, linked or copied
    NEW/train/counterfactuals/…    PNG at the model's resolution
    NEW/validation/…, NEW/test/…   likewise, without counterfactuals
    NEW/rules.json                 how attributes depend on one another, where that is known
    NEW/augment.json               what was asked, and what became of it
    NEW/journal.jsonl              what was made and refused, chunk by chunk

Validation and test images come along and are never edited. `cdvae_gan.open_dataset` reads the
result, and so does ``datasets.load_dataset("imagefolder", …)``. Images pass by in chunks, so memory
does not grow with the data set, and a broken run goes on where it was.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cdvae_gan import __version__
from cdvae_gan.action import relabelled
from cdvae_gan.balancing.filter import Filter
from cdvae_gan.balancing.journal import Chunk, Journal, Made
from cdvae_gan.balancing.plan import Cell, Edit, Plan, make_plan
from cdvae_gan.data.dataset import SPLITS, UNKNOWN, AttributeDataset
from cdvae_gan.data.folder import FILE_COLUMN, PROVENANCE
from cdvae_gan.data.open import open_dataset
from cdvae_gan.data.rules import RULES_FILE, Declared, write_rules
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.edits import Editor, ModelEditor, ModelLike, editor_on
from cdvae_gan.evaluation.judges import Judge, load_judge
from cdvae_gan.files import write_whole
from cdvae_gan.images import IMAGE_SUFFIXES, to_float, to_uint8

__all__ = ["ORIGINALS", "Augmented", "CellCount", "Originals", "augment"]

Originals = Literal["link", "copy", "none"]
"""What becomes of the source's images."""
ORIGINALS: tuple[Originals, ...] = get_args(Originals)

_CHUNK = 64
_BY_RULE = "leads elsewhere, by a rule"
_STATE, _JOURNAL, _TABLE = "augment.json", "journal.jsonl", "metadata.csv"
_MADE, _ORIGINALS = "counterfactuals", "originals"
_COLUMNS = tuple(f"{PROVENANCE}{c}" for c in ("of", "do", "strength", "confidence"))


@dataclass(frozen=True)
class CellCount:
    """What became of one cell."""

    name: str
    """``Blond_Hair=1, Male=1``"""
    had: int
    wanted: int
    tried: int
    added: int
    refused: dict[str, int]
    """Which judge refused how many, about which attribute; or that a rule leads elsewhere"""

    @property
    def short(self) -> int:
        """How many are still lacking since there was nothing left to edit."""
        return self.wanted - self.added


@dataclass(frozen=True)
class Augmented:
    """What was written."""

    folder: Path
    target: str
    over: tuple[str, ...]
    cells: tuple[CellCount, ...]
    originals: int
    """Images of the source that came along, of all splits"""

    @property
    def added(self) -> int:
        """Counterfactuals."""
        return sum(cell.added for cell in self.cells)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "folder": str(self.folder),
            "target": self.target,
            "over": list(self.over),
            "originals": self.originals,
            "added": self.added,
            "cells": [{f.name: getattr(c, f.name) for f in fields(c)} for c in self.cells],
        }


def augment(
    source: str | os.PathLike[str] | AttributeDataset,
    out: str | os.PathLike[str],
    *,
    target: str,
    balance_over: str | Sequence[str],
    model: ModelLike = "celeba64",
    judges: Sequence[str | os.PathLike[str] | Judge] = (),
    unfiltered: bool = False,
    edit: Edit = "target",
    strength: float = 1.0,
    confidence: float = 0.0,
    originals: Originals = "link",
    seed: int = 0,
    skip_bad: bool = False,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Augmented:
    """Add counterfactuals to a training split until a target is independent of a group.

    A run that was broken goes on when it is called again with the same arguments; one that is
    finished is left as it is. Equal arguments give equal files.

    Args:
        source: A data set, its path or its name.
        out: The new data set's folder.
        target: What a classifier is to learn.
        balance_over: What it is not to lean on: one attribute, or several, which are crossed.
        model: What makes the counterfactuals: a model, its path or name, any editor, or
            ``"truth"`` for avatars.
        judges: Every one of them must read a counterfactual as what it claims to be.
        unfiltered: Keep all, without a judge.
        edit: Edit the ``target`` of images of the same group, the ``group`` of images of the same
            target, or ``both``.
        strength: Of the edits, in (0, 1].
        confidence: The least probability that a judge must give to each claim.
        originals: ``link`` or ``copy`` the source's files, or leave them out (``none``). Images
            that are no files, such as avatars, are written at the model's size.
        seed: Of the order in which images are tried.
        skip_bad: Leave out images that cannot be read instead of failing.
        device: Where networks run.
        overwrite: Replace another augmentation in ``out``.
        progress: Called with the counterfactuals kept so far and those wanted in all.

    Raises:
        InputError: Something of this cannot be used, or ``out`` holds something else.
    """
    over = (balance_over,) if isinstance(balance_over, str) else tuple(balance_over)
    if not 0 < strength <= 1:
        raise InputError(f"strength must lie in (0, 1], not {strength}")
    if originals not in ORIGINALS:
        raise unknown_name("way with originals", originals, ORIGINALS)
    if not judges and not unfiltered:
        raise InputError(
            "no judge to filter by: an edit that fails would carry a wrong label. Give a judge, or "
            "say that all are to be kept (unfiltered)"
        )
    folder = Path(out)
    _check_apart(source, folder)
    editor, data = _opened(source, model, device, skip_bad)
    train = data.split("train")
    plan = make_plan(train, target, over, edit, seed)
    edited = {plan.names[k] for cell in plan.cells if cell.wanted for k in np.unique(cell.sets)}
    _check_editable(editor, edited)
    loaded = [j if isinstance(j, Judge) else load_judge(j, device=device) for j in judges]
    keep = Filter.of(loaded, plan.names, sorted(edited), confidence)
    settings = {
        "target": target,
        "over": list(over),
        "data": data.name,
        "fingerprint": data.fingerprint,
        "attributes": list(data.attributes),
        "rules": {name: getattr(data, name) for name in Declared._fields},
        "image_size": data.image_size,
        "model": os.fspath(model) if isinstance(model, (str, os.PathLike)) else "given",
        "digest": editor.model.digest() if isinstance(editor, ModelEditor) else None,
        "judges": {judge.name: judge.digest for judge in loaded},
        "edit": edit,
        "strength": strength,
        "confidence": confidence,
        "originals": originals,
        "seed": seed,
        "version": __version__,
    }
    state = _claim(folder, settings, overwrite)
    work = _Work(folder, data, train, plan, editor, keep, strength, Journal(folder / _JOURNAL))
    try:
        if not state["complete"]:
            _make(work, progress)
            _write_originals(work, originals)
            _write_tables(work, originals)
        result = _counted(work, originals)
        done = {"settings": settings, "complete": True, "result": result.to_dict()}
        write_whole(folder / _STATE, json.dumps(done, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"cannot write {error.filename or folder}: {error.strerror}; the same command goes on "
            "from here"
        ) from error
    return result


@dataclass(frozen=True)
class _Work:
    """All that making a data set needs."""

    folder: Path
    data: AttributeDataset
    train: AttributeDataset
    plan: Plan
    editor: Editor
    keep: Filter
    strength: float
    journal: Journal


def _opened(
    source: str | os.PathLike[str] | AttributeDataset, model: ModelLike, device: Any, skip_bad: bool
) -> tuple[Editor, AttributeDataset]:
    if isinstance(source, AttributeDataset):
        return editor_on(model, source, device)
    return editor_on(model, lambda size: open_dataset(source, size=size, skip_bad=skip_bad), device)


def _check_apart(source: object, folder: Path) -> None:
    if not isinstance(source, (str, os.PathLike)):
        return
    root = Path(source).expanduser()
    if root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{folder} lies in the source {root}: choose a folder outside it")


def _check_editable(editor: Editor, names: set[str]) -> None:
    known: tuple[str, ...] = tuple(getattr(editor, "attributes", ()))
    for name in sorted(names):
        if known and name not in known:
            raise unknown_name("attribute of the model", name, known)


def _claim(folder: Path, settings: dict[str, Any], overwrite: bool) -> dict[str, Any]:
    """The state of an augmentation in a folder: of this very one, or made anew."""
    path = folder / _STATE
    if path.is_file():
        try:
            state = json.loads(path.read_text("utf-8"))
            same = state["settings"] == json.loads(json.dumps(settings))
            state["complete"]
        except (json.JSONDecodeError, KeyError, TypeError):
            same, state = False, {}
        if same:
            return dict(state)
        if not overwrite:
            raise InputError(
                f"{folder} holds an augmentation with other settings: choose another folder, or "
                "overwrite it"
            )
        _clear(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is no augmentation: choose a new folder")
    try:
        (folder / "train" / _MADE).mkdir(parents=True)
        state = {"settings": settings, "complete": False}
        write_whole(path, json.dumps(state, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    return state


def _clear(folder: Path) -> None:
    """Remove what an augmentation wrote, and nothing else."""
    for split in SPLITS:
        for name in (_MADE, _ORIGINALS):
            shutil.rmtree(folder / split / name, ignore_errors=True)
        (folder / split / _TABLE).unlink(missing_ok=True)
    for name in (_JOURNAL, _STATE, RULES_FILE):
        (folder / name).unlink(missing_ok=True)


def _make(work: _Work, progress: Callable[[int, int], None] | None) -> None:
    """Fill every cell, from where the journal ends."""
    tried, made = _so_far(work)
    total = sum(cell.wanted for cell in work.plan.cells)
    for number, cell in enumerate(work.plan.cells):
        while made[number] < cell.wanted and tried[number] < len(cell.rows):
            chunk = slice(tried[number], tried[number] + _CHUNK)
            done = _chunk(work, number, cell, chunk, cell.wanted - made[number])
            work.journal.add(done)
            tried[number] += done.tried
            made[number] += len(done.made)
            if progress:
                progress(sum(made), total)


def _so_far(work: _Work) -> tuple[list[int], list[int]]:
    tried, made = ([0] * len(work.plan.cells) for _ in range(2))
    for chunk in work.journal:
        tried[chunk.cell] += chunk.tried
        made[chunk.cell] += len(chunk.made)
    return tried, made


def _chunk(work: _Work, number: int, cell: Cell, chunk: slice, most: int) -> Chunk:
    """Edit some images, ask the judges, and write what they let pass."""
    rows, sets = cell.rows[chunk], cell.sets[chunk]
    tried = len(rows)
    lands = np.array([_lands(work, r, k, cell) for r, k in zip(rows, sets, strict=True)])
    rows, sets = rows[lands], sets[lands]
    refused = {} if lands.all() else {_BY_RULE: int((~lands).sum())}
    if not len(rows):
        return Chunk(cell=number, tried=tried, made=(), refused=refused)
    pictures = _edited(work, rows, sets, cell)
    claims = torch.tensor(cell.values).expand(len(rows), -1)
    verdicts = work.keep(pictures, claims)
    made: list[Made] = []
    for i, row in enumerate(rows.tolist()):
        reason = verdicts.refused[i]
        if reason is not None:
            refused[reason] = refused.get(reason, 0) + 1
        elif len(made) < most:
            k = int(sets[i])
            one = Made(
                file=_name(work, row, work.plan.names[k], cell.values[k]),
                row=row,
                attribute=work.plan.names[k],
                value=cell.values[k],
                confidence=_known(float(verdicts.confidence[i])),
            )
            _write_image(work.folder / one.file, pictures[i].permute(1, 2, 0).numpy())
            made.append(one)
    return Chunk(cell=number, tried=tried, made=tuple(made), refused=refused)


def _lands(work: _Work, row: int, k: int, cell: Cell) -> bool:
    """Whether the edit leads into the cell, with all that follows from it by a rule."""
    labels = _relabelled(work, row, work.plan.names[k], cell.values[k])
    found = (labels[work.train.attributes.index(name)] for name in work.plan.names)
    return all(f == v for f, v in zip(found, cell.values, strict=True))


def _edited(
    work: _Work, rows: npt.NDArray[np.int64], sets: npt.NDArray[np.int64], cell: Cell
) -> Tensor:
    """Counterfactuals uint8 ``(B, 3, H, W)``."""
    images = work.train.batch(rows).images
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for k in np.unique(sets):
        chosen = torch.from_numpy(sets == k)
        x = to_float(images[chosen]).contiguous(memory_format=torch.channels_last)
        value = torch.full((len(x),), cell.values[k], dtype=torch.long)
        result[chosen] = to_uint8(work.editor(x, work.plan.names[k], value, work.strength)).cpu()
    return result


def _name(work: _Work, row: int, attribute: str, value: int) -> str:
    stem = PurePosixPath(work.train.files[row]).stem
    return f"train/{_MADE}/{row:07d}-{_plain(stem)}-{_plain(attribute)}-{value}.png"


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in text)[:60]


def _known(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _write_originals(work: _Work, originals: Originals) -> None:
    if originals == "none":
        return
    for i in range(len(work.data)):
        place = work.folder / _original(work.data, i)
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        file = work.data.file(i)
        if file is None:
            _write_image(place, work.data.images[i])
        elif originals == "link":
            place.unlink(missing_ok=True)  # a link into nothing
            place.symlink_to(file.resolve())
        else:
            partial = place.with_name(f".{place.name}.partial")
            shutil.copyfile(file, partial)
            partial.replace(place)


def _original(data: AttributeDataset, i: int) -> str:
    name = data.files[i]
    known = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and data.file(i) is not None
    return f"{data.splits[i]}/{_ORIGINALS}/{name if known else f'{name}.png'}"


def _write_tables(work: _Work, originals: Originals) -> None:
    data = work.data
    for split in SPLITS:
        rows: list[int] = np.flatnonzero(data.splits == split).tolist()
        rows = rows if originals != "none" else []
        if split != "train" and not rows:
            continue
        folder = work.folder / split
        partial = folder / f".{_TABLE}.partial"
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([FILE_COLUMN, *data.attributes, *_COLUMNS])
            for i in rows:
                name = _original(data, i).removeprefix(f"{split}/")
                # Nothing was done to it, in columns of one type throughout the data set.
                writer.writerow(
                    [name, *_words(data.labels[i]), data.files[i], "nothing", "0.0", ""]
                )
            if split == "train":
                writer.writerows(_made_rows(work))
        partial.replace(folder / _TABLE)
    write_rules(work.folder, data)


def _made_rows(work: _Work) -> Iterator[list[str]]:
    for chunk in work.journal:
        for one in chunk.made:
            yield [
                one.file.removeprefix("train/"),
                *_words(_relabelled(work, one.row, one.attribute, one.value)),
                work.train.files[one.row],
                f"{one.attribute}={one.value}",
                f"{float(work.strength)}",
                "" if one.confidence is None else f"{one.confidence:g}",
            ]


def _relabelled(work: _Work, row: int, attribute: str, value: int) -> npt.NDArray[np.int8]:
    """The source's labels with the attribute set, and what follows from that.

    A model follows rules of its own. What other editors make of those of the data is not known.
    """
    train, labels = work.train, work.train.labels[row]
    if isinstance(work.editor, ModelEditor):
        rules = work.editor.model.config
        return relabelled(labels, train.attributes, attribute, value, rules)
    result = relabelled(labels, train.attributes, attribute, value, train)
    if value == 0:
        k = train.attributes.index(attribute)
        result = np.where(result == labels, labels, UNKNOWN).astype(np.int8)
        result[k] = value
    return result


def _words(labels: npt.NDArray[np.int8]) -> list[str]:
    return ["" if v == UNKNOWN else str(int(v)) for v in labels]


def _counted(work: _Work, originals: Originals) -> Augmented:
    counts = [
        CellCount(work.plan.label(cell), cell.have, cell.wanted, 0, 0, {})
        for cell in work.plan.cells
    ]
    for chunk in work.journal:
        so_far = counts[chunk.cell]
        reasons = {**dict.fromkeys(chunk.refused, 0), **so_far.refused}
        counts[chunk.cell] = replace(
            so_far,
            tried=so_far.tried + chunk.tried,
            added=so_far.added + len(chunk.made),
            refused={why: n + chunk.refused.get(why, 0) for why, n in sorted(reasons.items())},
        )
    return Augmented(
        folder=work.folder,
        target=work.plan.target,
        over=work.plan.over,
        cells=tuple(counts),
        originals=0 if originals == "none" else len(work.data),
    )


def _write_image(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(np.ascontiguousarray(pixels)).save(partial, format="PNG")
    partial.replace(path)
