"""Trained models for elsewhere: as ONNX files, which need no torch, and as a page."""

from cdvae_gan.export.fidelity import Deceptions, Difference, OnnxEditor, deceptions
from cdvae_gan.export.graph import OPSET
from cdvae_gan.export.ort import ort_folder
from cdvae_gan.export.precision import PRECISIONS, Precision
from cdvae_gan.export.web import Example, Page, default_examples, example, export_web
from cdvae_gan.export.write import TOLERANCE, Exported, export_onnx

__all__ = [
    "OPSET",
    "PRECISIONS",
    "TOLERANCE",
    "Deceptions",
    "Difference",
    "Example",
    "Exported",
    "OnnxEditor",
    "Page",
    "Precision",
    "deceptions",
    "default_examples",
    "example",
    "export_onnx",
    "export_web",
    "ort_folder",
]
