"""Opening what other people trained: whatever maps a batch of images to numbers.

    a folder with config.json            an image-classification model of Hugging Face transformers
    model.onnx                           ONNX, run by onnxruntime
    model.pt, model.ts                   TorchScript
    model.pt2                            torch.export
    module:function, file.py:function    a Python callable

A file or a function takes float images ``(B, 3, H, W)`` in [−1, 1] and returns ``(B, C)`` or
``(B,)``. What is otherwise, and what the numbers mean, stands in a JSON file beside it
(``model.json`` beside ``model.onnx``), or in attributes of the function; every field may be left
out:

    {"attributes": ["Smiling", "Male"], "image_size": 224,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "thresholds": [0.3, 0]}
    {"classes": ["cat", "dog", "bird"], "outputs": "probabilities"}
    {"task": "regression", "attributes": ["age"], "thresholds": [65]}

Images are brought to ``image_size``, divided by 255, less ``mean``, over ``std``. `Meaning` has all
fields.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from cdvae_gan.errors import InputError, unknown_name

__all__ = ["TASKS", "Foreign", "Meaning", "Scores", "Task", "digest_of", "open_foreign"]

Function = Callable[[Tensor], Any]

Scores = Callable[[Tensor], Tensor]
"""From images uint8 ``(B, 3, H, W)`` to scores float ``(B, K)``."""

Task = Literal["binary", "multiclass", "multilabel", "regression"]
"""One yes or no; one of several classes; several times yes or no; numbers."""
TASKS: tuple[Task, ...] = get_args(Task)

_FORMS = "a folder, a file .onnx, .pt, .ts or .pt2, or module:function"
_SAID_BY_FUNCTIONS = ("attributes", "classes", "task", "outputs", "thresholds")


@dataclass(frozen=True)
class Meaning:
    """What the maker of a classifier says of it.

    Attributes:
        attributes: Names of the outputs, each of which stands for itself.
        classes: Names of the outputs, of which exactly one applies.
        task: What kind of answer it gives.
        outputs: ``logits`` or ``probabilities``; nothing for regression.
        thresholds: One an output, in its units (of classes, the probability): above it the answer
            is yes.
        image_size: The side in pixels that it takes; None where it takes any.
        mean: Subtracted from each channel, in [0, 1].
        std: Then each channel is divided by it.
        name: What tables call it.
    """

    attributes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    task: Task | None = None
    outputs: Literal["logits", "probabilities"] | None = None
    thresholds: tuple[float, ...] = ()
    image_size: int | None = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    name: str = ""

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise unknown_name("task", str(self.task), TASKS)
        if self.outputs not in (None, "logits", "probabilities"):
            raise unknown_name("kind of outputs", str(self.outputs), ("logits", "probabilities"))
        if self.attributes and self.classes:
            raise InputError("a classifier has attributes or classes, not both")


@dataclass(frozen=True)
class Foreign:
    """Somebody's classifier as a function of pixels, and what is known of it."""

    name: str
    family: str
    meaning: Meaning
    outputs: Scores
    """From images uint8 ``(B, 3, H, W)`` of ``meaning.image_size`` to its own ``(B, C)``"""
    digest: str = ""
    """A hash of the file of its weights, where it has one"""


def open_foreign(
    source: str | os.PathLike[str] | Callable[[Tensor], Any],
    *,
    device: str | torch.device = "cpu",
) -> Foreign:
    """Open a classifier of any kind that the module names, or take a callable as one.

    Args:
        source: A folder, a file, ``module:function``, or a callable such as a torch module.
        device: Where networks run.

    Raises:
        InputError: There is no such classifier, or it cannot be read.

    Warning:
        ``module:function`` runs that module's code, as importing it does. The other kinds run no
        code of their own beyond the operations of the network.
    """
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "__name__", type(source).__name__)
        return _of_function(name, source, _said_by(source), device, "function")
    text = os.fspath(source)
    path = Path(text).expanduser()
    if path.is_dir():
        return _huggingface(path, device)
    if ":" in text and not path.is_file():
        function = _function(text)
        return _of_function(text, function, _said_by(function), device, "function")
    if not path.is_file():
        raise InputError(f"no classifier {text!r}: expected {_FORMS}")
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"{text!r} is no classifier that can be read: expected {_FORMS}")
    family, kind = _KINDS[path.suffix.lower()]
    function = kind(path, device)
    said = _beside(path.with_suffix(".json"))
    if said.image_size is None:
        said = replace(said, image_size=getattr(function, "image_size", None))
    opened = _of_function(path.stem, function, said, device, family)
    return replace(opened, digest=digest_of([path]))


def digest_of(files: Iterable[Path]) -> str:
    """A hash of the contents of files, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


def _of_function(
    name: str, function: Function, said: Meaning, device: str | torch.device, family: str
) -> Foreign:
    if isinstance(function, nn.Module) and function.training:
        raise InputError(f"classifier {name!r} is in training mode: call its eval() first")
    mean = torch.tensor(said.mean, device=device)[:, None, None]
    std = torch.tensor(said.std, device=device)[:, None, None]

    @torch.no_grad()
    def outputs(images: Tensor) -> Tensor:
        found = function((images.to(device).float() / 255 - mean) / std)
        scores = found if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found))
        return scores[:, None] if scores.ndim == 1 else scores

    return Foreign(said.name or name, family, said, outputs)


def _said_by(function: Function) -> Meaning:
    values = {field: getattr(function, field, None) for field in _SAID_BY_FUNCTIONS}
    plain = {k: v for k, v in values.items() if isinstance(v, (str, list, tuple))}
    return _meaning(plain, "the function")


def _beside(path: Path) -> Meaning:
    if not path.is_file():
        return Meaning()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _meaning(dict(values), str(path))
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} does not describe a classifier") from None


def _meaning(values: dict[str, Any], where: str) -> Meaning:
    known = [f.name for f in fields(Meaning)]
    for key in values:
        if key not in known:
            raise unknown_name(f"field in {where}", key, known)
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Meaning(**plain)


def _function(text: str) -> Function:
    where, _, name = text.rpartition(":")
    try:
        module = _module(where)
    except ImportError as error:
        raise InputError(f"classifier {text!r}: cannot import {where!r}: {error}") from None
    except Exception as error:  # somebody else's code: anything may happen in it
        told = f"{type(error).__name__}: {_first(error)}"
        raise InputError(f"classifier {text!r}: {where!r} fails when imported: {told}") from error
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        raise unknown_name(f"function in {where}", name, names)
    function: Function = found
    return function


def _module(where: str) -> Any:
    if where.endswith(".py"):
        path = Path(where).expanduser()
        if not path.is_file():
            raise ImportError("no such file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    here = str(Path.cwd())
    # A command's path lacks the folder it was called in, where one's own module lies.
    sys.path.insert(0, here)
    try:
        return importlib.import_module(where)
    finally:
        sys.path.remove(here)


class _Onnx:
    """An ONNX file as a function; it knows the size and the batch that the file was fixed to."""

    def __init__(self, path: Path, device: str | torch.device) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise InputError(
                'an ONNX classifier needs onnxruntime: pip install "cdvae-gan[eval]"'
            ) from None
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many types of its own
            raise InputError(
                f"{str(path)!r} is not a readable ONNX file: {_first(error)}"
            ) from None
        entry = self._session.get_inputs()[0]
        shape = list(entry.shape)
        self._entry = entry.name
        self._batch = shape[0] if shape and isinstance(shape[0], int) else None
        side = shape[2] if len(shape) == 4 and shape[1] == 3 else None
        self.image_size = side if isinstance(side, int) and shape[3] == side else None

    def __call__(self, x: Tensor) -> Any:
        pixels = x.cpu().numpy()
        if self._batch is None:
            return self._run(pixels)
        padded = np.concatenate([pixels, pixels[:1].repeat(-len(pixels) % self._batch, axis=0)])
        parts = [self._run(p) for p in np.split(padded, len(padded) // self._batch)]
        return np.concatenate(parts)[: len(pixels)]

    def _run(self, pixels: Any) -> Any:
        return np.asarray(self._session.run(None, {self._entry: pixels})[0])


def _torchscript(path: Path, device: str | torch.device) -> Function:
    try:
        module = torch.jit.load(str(path), map_location=device)
    except RuntimeError:
        raise InputError(
            f"{str(path)!r} is not a TorchScript file: torch.jit.save makes one"
        ) from None
    function: Function = module.eval()
    return function


def _exported(path: Path, device: str | torch.device) -> Function:
    try:
        module = torch.export.load(path).module().to(device)
    except Exception as error:  # zip, pickle and schema errors alike
        raise InputError(
            f"{str(path)!r} is not a readable torch.export file: {_first(error)}"
        ) from None
    return lambda x: module(x)  # its own training flag says nothing


_KINDS: dict[str, tuple[str, Callable[[Path, str | torch.device], Function]]] = {
    ".onnx": ("ONNX", _Onnx),
    ".pt": ("TorchScript", _torchscript),
    ".ts": ("TorchScript", _torchscript),
    ".pt2": ("torch.export", _exported),
}


def _huggingface(folder: Path, device: str | torch.device) -> Foreign:
    if not (folder / "config.json").is_file():
        raise InputError(f"{str(folder)!r} holds no classifier: config.json is missing")
    try:
        transformers: Any = importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise InputError(
            f"{str(folder)!r} is a Hugging Face model: to use it, pip install transformers"
        ) from None
    try:
        known = {"local_files_only": True, "trust_remote_code": False}
        processor = transformers.AutoImageProcessor.from_pretrained(folder, **known)
        network = transformers.AutoModelForImageClassification.from_pretrained(
            folder, use_safetensors=True, **known
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{str(folder)!r} holds no image-classification model: {_first(error)}"
        ) from None
    network.eval().to(device)

    @torch.no_grad()
    def outputs(images: Tensor) -> Tensor:
        arrays = list(images.permute(0, 2, 3, 1).cpu().numpy())
        pixels = processor(images=arrays, return_tensors="pt")["pixel_values"].to(device)
        logits: Tensor = network(pixel_values=pixels).logits
        return logits

    meaning = _meaning_of_config(network.config)
    weights = sorted(folder.glob("*.safetensors"))
    return Foreign(folder.name, "Hugging Face", meaning, outputs, digest_of(weights))


def _meaning_of_config(config: Any) -> Meaning:
    """What transformers itself takes a model for when it trains one."""
    labels = tuple(str(config.id2label[i]) for i in range(config.num_labels))
    if config.problem_type == "regression" or config.num_labels == 1:
        return Meaning(attributes=labels, task="regression")
    if config.problem_type == "multi_label_classification":
        return Meaning(attributes=labels, task="multilabel", outputs="logits")
    return Meaning(classes=labels, task="multiclass", outputs="logits")


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
