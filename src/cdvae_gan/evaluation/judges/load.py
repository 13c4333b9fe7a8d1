"""Loading a judge, ours or anybody's: whatever maps images to attribute logits.

    a folder with card.json              one that this package trained
    a folder with config.json            an image-classification model of Hugging Face transformers
    model.onnx                           ONNX, run by onnxruntime
    model.pt, model.ts                   TorchScript
    model.pt2                            torch.export
    module:function, file.py:function    a Python callable

A file or a function takes float images ``(B, 3, H, W)`` in [−1, 1] and returns logits ``(B, K)``,
above 0 for yes. What is otherwise stands in a JSON file beside it (``model.json`` beside
``model.onnx``), of which every field but ``attributes`` may be left out:

    {"attributes": ["Smiling", "Male"], "image_size": 224,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "thresholds": [0.3, 0]}

Images are brought to ``image_size``, divided by 255, less ``mean``, over ``std``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.judges.judge import Card, Judge, Scores
from cdvae_gan.evaluation.judges.store import CARD_FILE, load_saved

__all__ = ["load_judge"]

Function = Callable[[Tensor], Any]

_FORMS = "a folder, a file .onnx, .pt, .ts or .pt2, or module:function"
_FIELDS = ("attributes", "image_size", "mean", "std", "thresholds", "name")


@dataclass(frozen=True)
class _Beside:
    """What the JSON file beside a foreign judge says."""

    attributes: tuple[str, ...] = ()
    image_size: int | None = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    thresholds: tuple[float, ...] = ()
    name: str = ""


def load_judge(
    source: str | os.PathLike[str],
    *,
    attributes: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> Judge:
    """Load a judge of any kind that the module names.

    Args:
        source: A folder, a file, or ``module:function``.
        attributes: What the K logits stand for, where the judge does not say; else the attributes
            wanted, in this order.
        device: Where networks run.

    Raises:
        InputError: There is no such judge, it cannot be read, or what its logits mean is not known.

    Warning:
        ``module:function`` runs that module's code, as importing it does. The other kinds run no
        code of their own beyond the operations of the network.
    """
    text = os.fspath(source)
    path = Path(text).expanduser()
    if path.is_dir():
        if (path / CARD_FILE).is_file() or not (path / "config.json").is_file():
            judge = load_saved(path, device)
        else:
            judge = _huggingface(path, attributes, device)
        judge = replace(judge, digest=_digest(sorted(path.glob("*.safetensors"))))
        return judge if attributes is None else judge.select(attributes)
    if ":" in text and not path.is_file():
        return _foreign(text, _function(text), _Beside(), attributes, device, "function")
    if not path.is_file():
        raise InputError(f"no judge {text!r}: expected {_FORMS}")
    kinds: dict[str, Callable[[Path, str | torch.device], Function]] = {
        ".onnx": _onnx,
        ".pt": _torchscript,
        ".ts": _torchscript,
        ".pt2": _exported,
    }
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{text!r} is no judge that can be read: expected {_FORMS}")
    beside = _beside(path.with_suffix(".json"))
    family = {".onnx": "ONNX", ".pt2": "torch.export"}.get(path.suffix.lower(), "TorchScript")
    judge = _foreign(path.stem, kind(path, device), beside, attributes, device, family)
    return replace(judge, digest=_digest([path]))


def _digest(files: Sequence[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


def _foreign(
    name: str,
    function: Function,
    beside: _Beside,
    attributes: Sequence[str] | None,
    device: str | torch.device,
    family: str,
) -> Judge:
    own = beside.attributes or tuple(getattr(function, "attributes", ()))
    named = own or tuple(attributes or ())
    if not named:
        raise InputError(
            f"judge {name!r} does not say what its logits stand for: name its attributes, or write "
            'a JSON file beside it with {"attributes": […]}'
        )
    card = Card(beside.name or name, family, named, beside.image_size, thresholds=beside.thresholds)
    judge = Judge(card, _normalised(function, beside, device))
    return judge.select(attributes) if own and attributes is not None else judge


def _normalised(function: Function, beside: _Beside, device: str | torch.device) -> Scores:
    mean = torch.tensor(beside.mean, device=device)[:, None, None]
    std = torch.tensor(beside.std, device=device)[:, None, None]

    def scores(images: Tensor) -> Tensor:
        found = function((images.to(device).float() / 255 - mean) / std)
        return found if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found))

    return scores


def _beside(path: Path) -> _Beside:
    if not path.is_file():
        return _Beside()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        for key in values:
            if key not in _FIELDS:
                raise unknown_name(f"field in {path}", key, _FIELDS)
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return _Beside(**fields)
    except (json.JSONDecodeError, TypeError):
        raise InputError(f"{str(path)!r} does not describe a judge") from None


def _function(text: str) -> Function:
    where, _, name = text.rpartition(":")
    try:
        module = _module(where)
    except ImportError as error:
        raise InputError(f"judge {text!r}: cannot import {where!r}: {error}") from None
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


def _onnx(path: Path, device: str | torch.device) -> Function:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise InputError('an ONNX judge needs onnxruntime: pip install "cdvae-gan[eval]"') from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types of its own
        raise InputError(f"{str(path)!r} is not a readable ONNX file: {_first(error)}") from None
    entry = session.get_inputs()[0].name
    return lambda x: session.run(None, {entry: x.cpu().numpy()})[0]


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
        function: Function = torch.export.load(path).module().to(device)
    except Exception as error:  # zip, pickle and schema errors alike
        raise InputError(
            f"{str(path)!r} is not a readable torch.export file: {_first(error)}"
        ) from None
    return function


def _huggingface(
    folder: Path, attributes: Sequence[str] | None, device: str | torch.device
) -> Judge:
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
    labels = [str(network.config.id2label[i]) for i in range(network.config.num_labels)]
    several = network.config.problem_type == "multi_label_classification"
    names = tuple(_same_name(label, attributes or ()) for label in labels)

    def scores(images: Tensor) -> Tensor:
        arrays = list(images.permute(0, 2, 3, 1).cpu().numpy())
        pixels = processor(images=arrays, return_tensors="pt")["pixel_values"].to(device)
        logits: Tensor = network(pixel_values=pixels).logits
        return logits if several else _one_against_rest(logits)

    return Judge(Card(folder.name, "Hugging Face", names), scores)


def _one_against_rest(logits: Tensor) -> Tensor:
    """Log odds of each class, log p − log(1 − p), of classes that exclude each other."""
    k = logits.shape[1]
    rest = (
        logits[:, None, :]
        .expand(-1, k, -1)
        .masked_fill(torch.eye(k, dtype=torch.bool).to(logits.device), -torch.inf)
    )
    return logits - rest.logsumexp(dim=2)


def _same_name(label: str, attributes: Sequence[str]) -> str:
    """The attribute that a label means, spaces, case and underscores aside; or the label itself."""

    def plain(name: str) -> str:
        return "".join(c for c in name.lower() if c.isalnum())

    return next((a for a in attributes if plain(a) == plain(label)), label)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
