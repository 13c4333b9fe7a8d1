"""One evaluation: every metric of an editor on the same images, by the same judges, in one pass.

    dataset = halves(open_dataset("celeba/", size=64)).report
    found = evaluate(load("celeba64"), dataset, [load_judge("judges/cnn")])
    found.tables["deception"]["mean", "take off"]        an `Estimate`: value, interval, n

What cannot be measured on these images, or with what is installed, is in ``missing`` with the
reason: nothing is silently dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from cdvae_gan.action import relabelled
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.bootstrap import CONFIDENCE, RESAMPLES
from cdvae_gan.evaluation.edits import Editor, ModelEditor
from cdvae_gan.evaluation.embeddings import (
    SAME_PERSON,
    Embedding,
    face_embedding,
    object_embedding,
    share_of_faces,
)
from cdvae_gan.evaluation.findings import Findings
from cdvae_gan.evaluation.folders import FolderEditor
from cdvae_gan.evaluation.judges import Judge
from cdvae_gan.evaluation.matching import matched
from cdvae_gan.evaluation.metrics import Realism, Summed, Table
from cdvae_gan.evaluation.panel import Panel
from cdvae_gan.evaluation.parts import (
    AgreementPart,
    CompositionPart,
    EmbeddingPart,
    GroupsPart,
    JudgesPart,
    LabelsPart,
    MinimalityPart,
    ProbesPart,
    ReconstructionPart,
    ReversibilityPart,
    RobustnessPart,
    StrengthPart,
    TruthPart,
)
from cdvae_gan.evaluation.pictures import PicturesPart
from cdvae_gan.evaluation.provenance import about_data, about_judges, about_model, versions
from cdvae_gan.evaluation.stream import Part, stream
from cdvae_gan.model import CDVAEGAN

__all__ = ["FAST", "OPTIONAL", "Evaluation", "Settings", "evaluate"]

OPTIONAL = (
    "agreement",
    "composition",
    "identity",
    "labels",
    "probes",
    "realism",
    "reconstruction",
    "reversibility",
    "robustness",
    "strength",
    "truth",
)
"""Metrics that can be left out; deception, preservation and minimality are always there."""

FAST = frozenset({"identity", "probes", "realism", "reversibility", "robustness", "strength"})
"""What ``--fast`` leaves out."""

_REALISM_IMAGES = 5000
_LESSONS = 8000
_PHOTOS_LOOKED_AT = 16
_FACES_FROM = 0.5

_FOLDER = "a folder of counterfactuals has whole edits of single attributes alone"
_NO_LABELS = "no other real images with labels of all these attributes were given"
_FEWEST = 4
_NO_MODEL = "only a CDVAE-GAN has the latents that it takes"

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``."""


@dataclass(frozen=True)
class Settings:
    """How an evaluation is made.

    Raises:
        InputError: For a name or number that does not fit.
    """

    without: frozenset[str] = frozenset()
    """Metrics to leave out, of `OPTIONAL`"""
    groups: tuple[str, ...] = ()
    """Labelled attributes whose value combinations are reported apart"""
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    rounds: tuple[int, ...] = (1, 10)
    pictures: int = 6
    """Photos in the grid"""
    worst: int = 3
    """Failures shown for each attribute"""
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name in self.without:
            if name not in OPTIONAL:
                raise unknown_name("metric that can be left out", name, OPTIONAL)
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence must lie between 0 and 1, not {self.confidence:g}")
        if self.resamples < 20:
            raise InputError(f"at least 20 resamples make an interval, not {self.resamples}")
        if min(self.pictures, self.worst) < 0 or self.batch_size < 1:
            raise InputError("numbers of pictures are 0 or more, a batch has at least one image")


@dataclass(frozen=True)
class Evaluation(Findings):
    """What was measured, with what it takes to compare it with another."""

    summed: dict[str, Summed] = field(repr=False)
    """The tables before resampling"""
    realism: dict[str, Realism] = field(repr=False)
    """By network"""
    panel: Panel = field(repr=False)
    pictures: PicturesPart = field(repr=False)


def evaluate(
    model: CDVAEGAN | Editor,
    dataset: AttributeDataset,
    judges: Sequence[Judge],
    *,
    name: str = "model",
    attributes: Sequence[str] | None = None,
    real: AttributeDataset | None = None,
    detail: float | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Flip every attribute of every image and measure all there is to measure.

    The model is given pixels and the new value, never a label. Images are read, edited and judged
    batch by batch; what is kept are sums for each image or person, not pictures.

    Args:
        model: A CDVAE-GAN, or any editor: a function as `cdvae_gan.evaluation.edits` describes it,
            or a `FolderEditor`.
        dataset: The images, all of which are evaluated: mostly the report half of a validation
            split, see `cdvae_gan.evaluation.splits.halves`.
        judges: Classifiers that share nothing with the model.
        name: What the report calls the model.
        attributes: What to flip; by default all that model, data and judges know.
        real: Other real images with the same attributes, to measure realism against and for probes
            of z to learn from; None leaves realism out.
        detail: κ of a CDVAE-GAN; None for its own.
        settings: How.
        progress: Called now and then with what is being done, how much of it, and of how much.

    Raises:
        InputError: The images have another size than the model's, an attribute or group is unknown,
            or model, data and judges have no attribute in common.
    """
    settings, told = settings or Settings(), progress or (lambda what, done, total: None)
    editor: Editor = ModelEditor(model, detail) if isinstance(model, CDVAEGAN) else model
    wanted = _wanted(editor, dataset, attributes)
    if not len(dataset):
        raise InputError(f"{dataset.name}: there is no image to evaluate")
    places, group_names = _groups(dataset, settings.groups)
    panel = Panel.of(
        judges, dataset, wanted, _counted(told, "reading photos", len(dataset) * len(judges))
    )
    missing = _missing(editor, dataset, panel, settings, real)
    data = dataset.select(panel.attributes)
    parts = _parts(editor, data, panel, settings, missing)
    _teach(parts, real, panel, settings, told)
    embeddings = _embedding_parts(
        dataset, panel, settings, missing, places, group_names, real, told
    )
    parts += embeddings
    if group_names:
        parts.append(GroupsPart(panel, places, group_names))
    pictures = PicturesPart(data, panel, settings.pictures, settings.worst, settings.seed)
    total = len(data) * len(panel.attributes)
    stream(
        editor,
        data,
        panel,
        [*parts, pictures],
        batch_size=settings.batch_size,
        progress=_counted(told, "flipping", total),
    )
    summed, tables = _tables(parts, settings, missing, told)
    about = {
        "model": about_model(name, editor),
        "data": about_data(dataset),
        "real": None if real is None else about_data(real),
        "attributes": list(panel.attributes),
        "unknown_labels": float((data.labels < 0).mean()),
        "groups": {n: int((places == i).sum()) for i, n in enumerate(group_names)},
        "judges": about_judges(panel),
        "settings": {**asdict(settings), "without": sorted(settings.without)},
        "versions": versions(),
    }
    found = {p.name: p.realism for p in embeddings if p.realism is not None}
    return Evaluation(about, tables, missing, summed, found, panel, pictures)


def _wanted(
    editor: Editor, dataset: AttributeDataset, attributes: Sequence[str] | None
) -> tuple[str, ...]:
    known = dataset.attributes
    if isinstance(editor, ModelEditor):
        model = editor.model
        if dataset.image_size != model.image_size:
            raise InputError(
                f"the model is for images of {model.image_size} pixels, {dataset.name} has been "
                f"opened at {dataset.image_size}"
            )
        known = model.attributes
    elif isinstance(editor, FolderEditor):
        known = editor.attributes
    for name in attributes or ():
        if name not in known:
            raise unknown_name("attribute to flip", name, known)
        if name not in dataset.attributes:
            raise unknown_name(f"attribute in {dataset.name}", name, dataset.attributes)
    found = tuple(a for a in attributes or known if a in dataset.attributes)
    if not found:
        raise InputError(
            f"the model has {', '.join(known)}, {dataset.name} has "
            f"{', '.join(dataset.attributes)}: nothing in common"
        )
    return found


def _groups(
    dataset: AttributeDataset, names: Sequence[str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """``(N,)`` number of each image's group, −1 where a label is unknown, and the groups' names."""
    for name in names:
        if name not in dataset.attributes:
            raise unknown_name("attribute to group by", name, dataset.attributes)
    places = np.full(len(dataset), -1)
    if not names:
        return places, ()
    labels = dataset.select(names).labels
    found: list[str] = []
    for values in product((0, 1), repeat=len(names)):
        here = (labels == values).all(1)
        if here.any():
            places[here] = len(found)
            found.append(", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True)))
    return places, tuple(found)


def _missing(
    editor: Editor,
    dataset: AttributeDataset,
    panel: Panel,
    settings: Settings,
    real: AttributeDataset | None,
) -> dict[str, str]:
    """What will not be measured for reasons that are known beforehand."""
    missing = {
        "LPIPS": "its weights come with no package; SSIM and PSNR stand in for it",
        **dict.fromkeys(sorted(settings.without), "left out on demand"),
    }
    reasons: dict[str, str | None] = {
        "agreement": None if len(panel.jury) > 1 else "it takes at least two independent judges",
        "realism": None if _labelled(real, panel) else _NO_LABELS,
        "truth": _no_truth(dataset.select(panel.attributes)),
    }
    if isinstance(editor, FolderEditor):
        reasons |= dict.fromkeys(("composition", "reversibility", "strength"), _FOLDER)
    if not isinstance(editor, ModelEditor):
        reasons |= dict.fromkeys(("labels", "probes", "reconstruction"), _NO_MODEL)
    for metric, reason in reasons.items():
        if reason is not None:
            missing.setdefault(metric, reason)
    return missing


def _no_truth(data: AttributeDataset) -> str | None:
    if data.draw is None:
        return "photos have no known true counterfactual"
    return "it takes all labels" if (data.labels < 0).any() else None


def _parts(
    editor: Editor,
    data: AttributeDataset,
    panel: Panel,
    settings: Settings,
    missing: dict[str, str],
) -> list[Part]:
    made: dict[str, Callable[[], Part]] = {
        "strength": lambda: StrengthPart(editor, panel, settings.strengths),
        "robustness": lambda: RobustnessPart(panel),
        "agreement": lambda: AgreementPart(panel),
        "composition": lambda: CompositionPart(editor, settings.rounds),
        "reversibility": lambda: ReversibilityPart(editor, panel),
        "truth": lambda: TruthPart(data, panel),
    }
    if isinstance(editor, ModelEditor):
        made |= {
            "labels": lambda: LabelsPart(editor, panel),
            "reconstruction": lambda: ReconstructionPart(editor),
            "probes": lambda: ProbesPart(editor, panel, settings.seed),
        }
    chosen = [make() for name, make in made.items() if name not in missing]
    return [JudgesPart(panel, data.exclusive), MinimalityPart(panel), *chosen]


def _teach(
    parts: Sequence[Part],
    real: AttributeDataset | None,
    panel: Panel,
    settings: Settings,
    told: Progress,
) -> None:
    """Let probes of z learn from the images that are not evaluated too."""
    for part in parts:
        if isinstance(part, ProbesPart) and _labelled(real, panel):
            told("z of other images", 0, 1)
            assert real is not None
            lessons = _some(real.select(panel.attributes), _LESSONS, settings.seed)
            part.learn_from(lessons, settings.batch_size)


def _labelled(real: AttributeDataset | None, panel: Panel) -> bool:
    return real is not None and len(real) > 0 and set(panel.attributes) <= set(real.attributes)


def _embedding_parts(
    dataset: AttributeDataset,
    panel: Panel,
    settings: Settings,
    missing: dict[str, str],
    places: npt.NDArray[np.int64],
    group_names: Sequence[str],
    real: AttributeDataset | None,
    told: Progress,
) -> list[EmbeddingPart]:
    identity, realism = "identity" not in missing, "realism" not in missing
    if not identity and not realism:
        return []
    cells, alike = None, None
    if realism and real is not None:
        labels = np.asarray(dataset.select(panel.attributes).labels)
        cells = _cells(labels, settings.seed)
        alike = _alike(real, dataset, panel.attributes, cells, settings.seed)
    if alike is not None and len(alike) < _FEWEST:
        missing["realism"] = "too few other real images have the labels that were asked for"
        realism, cells, alike = False, None, None
        if not identity:
            return []
    parts = []
    for name, embed in _embeddings(dataset, missing).items():
        part = EmbeddingPart(
            name,
            embed,
            panel,
            identity=identity,
            threshold=SAME_PERSON if name == "face" else None,
            cells=cells,
            places=places,
            group_names=group_names,
            seed=settings.seed,
        )
        if alike is not None:
            told(f"real images in {name} features", 0, 1)
            part.add_real(alike, settings.batch_size)
        parts.append(part)
    if not parts:
        for metric, wanted in (("identity", identity), ("realism", realism)):
            if wanted:
                missing[metric] = "no network to look through is at hand"
    return parts


def _embeddings(dataset: AttributeDataset, missing: dict[str, str]) -> dict[str, Embedding]:
    """The networks at hand; for the others the reason goes to ``missing``."""
    found: dict[str, Embedding] = {}
    try:
        found["object"] = object_embedding()
    except InputError as error:
        missing["object features"] = str(error)
    try:
        if dataset.draw is not None:
            raise InputError("the pictures are drawn, and the network knows photographed faces")
        few = _some(dataset, _PHOTOS_LOOKED_AT, 0)
        share = share_of_faces(few.batch(np.arange(len(few))).images)
        if share < _FACES_FROM:
            raise InputError(f"a face was found on {share:.0%} of {len(few)} photos alone")
        found["face"] = face_embedding()
    except InputError as error:
        missing["face features"] = str(error)
    return found


def _some(dataset: AttributeDataset, n: int, seed: int) -> AttributeDataset:
    """At most n images, drawn by seed, in their order."""
    if len(dataset) <= n:
        return dataset
    return dataset.take(np.sort(np.random.default_rng(seed).choice(len(dataset), n, replace=False)))


def _alike(
    real: AttributeDataset,
    dataset: AttributeDataset,
    attributes: Sequence[str],
    cells: npt.NDArray[np.bool_],
    seed: int,
) -> AttributeDataset:
    """Real images with the mix of labels of the counterfactuals that realism is measured on.

    Half of them all is what the counterfactuals are compared with, half the floor.
    """
    known, labels = (np.asarray(d.select(attributes).labels) for d in (real, dataset))
    flips = np.argwhere(cells)
    asked = [
        relabelled(labels[i], attributes, attributes[k], 1 - int(labels[i, k]), dataset)
        for i, k in flips
    ]
    wanted = np.array(asked, dtype=np.int8).reshape(-1, len(attributes))
    return real.take(matched(known, wanted, flips[:, 1], seed))


def _cells(labels: npt.NDArray[np.int8], seed: int) -> npt.NDArray[np.bool_]:
    """``(N, K)`` bool: the counterfactuals that realism is measured on, one a photo, by seed.

    Counterfactuals of one photo are alike. Ten of each of 500 photos are not 5,000 images: their
    distance to anything has the bias of little more than 500, and a floor of 5,000 has not.
    """
    generator = np.random.default_rng(seed)
    drawn = np.where(labels >= 0, generator.random(labels.shape), -1)
    rows = generator.permutation(np.flatnonzero((labels >= 0).any(1)))[:_REALISM_IMAGES]
    chosen = np.zeros(labels.shape, dtype=bool)
    chosen[rows, drawn[rows].argmax(1)] = True
    return chosen


def _tables(
    parts: Sequence[Part], settings: Settings, missing: dict[str, str], told: Progress
) -> tuple[dict[str, Summed], dict[str, Table]]:
    """All figures; a part that has too few images for them is noted as missing."""
    summed: dict[str, Summed] = {}
    tables: dict[str, Table] = {}
    how = (settings.resamples, settings.seed, settings.confidence)
    for done, part in enumerate(parts):
        told("intervals", done, len(parts))
        with _noting(missing, part.subject):
            summed |= part.summed()
        with _noting(missing, part.subject):
            tables |= part.tables(*how)
    for name, one in summed.items():
        tables[name] = one.table(resamples=how[0], seed=how[1], confidence=how[2])
    told("intervals", len(parts), len(parts))
    return summed, tables


@contextmanager
def _noting(missing: dict[str, str], subject: str) -> Iterator[None]:
    """Too few images for something that can be missed are no error."""
    try:
        yield
    except InputError as error:
        if not subject:
            raise
        missing[subject] = str(error)


def _counted(told: Progress, what: str, total: int) -> Callable[[int], None]:
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        told(what, done, total)

    return advance
