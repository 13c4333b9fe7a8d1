"""Every table and figure of ``docs/results.md`` from nothing, in steps that are done once.

A *suite* is one data set with its judges, its model, an evaluation and a comparison with the plain
drawing (κ = 0). Every step leaves a folder with ``step.json``, which holds a hash of all that the
step depends on. A step that is done is not done again; a training that was broken off goes on.

    work/avatars/judge-cnn/    work/avatars/model/    work/avatars/evaluation/    …
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from cdvae_gan import __version__
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.data.cache import digest
from cdvae_gan.demo import demo_config
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.comparison import Comparison, compare, save_comparison
from cdvae_gan.evaluation.findings import Findings, read_results
from cdvae_gan.evaluation.judges import Judge, JudgeTraining, load_judge, train_judge
from cdvae_gan.evaluation.measure import Settings, evaluate
from cdvae_gan.evaluation.report import save_report
from cdvae_gan.evaluation.results import Results, results_page
from cdvae_gan.evaluation.splits import chosen_part
from cdvae_gan.evaluation.stages import stages
from cdvae_gan.files import write_whole
from cdvae_gan.model import CDVAEGAN, load
from cdvae_gan.report import Page
from cdvae_gan.training import Limits, TrainConfig, steps_done, train

__all__ = [
    "FULL",
    "SHIPPED",
    "SMALL",
    "Scale",
    "Step",
    "Suite",
    "avatars",
    "faces",
    "reproduce",
    "steps_of",
]

FAMILIES = ("cnn", "residual", "boosting", "svm")
FACES = (
    "Bald",
    "Bangs",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "No_Beard",
    "Pale_Skin",
    "Smiling",
    "Young",
)
"""The attributes of CelebA that the shipped model of faces has."""

_STATE, _FIGURES = "step.json", "images/results"
_CHECKPOINT = Path("checkpoints", "last.ckpt")
_NOT_OF_DETAIL = frozenset(
    {"strength", "robustness", "probes", "labels", "reconstruction", "realism", "identity"}
)
_IMAGES_OF_DETAIL = 500


@dataclass(frozen=True)
class Scale:
    """How much is done for avatars, and with how much patience."""

    source: str
    size: int = 32
    families: tuple[str, ...] = FAMILIES
    judging: JudgeTraining = field(default_factory=JudgeTraining)
    limits: Limits = field(default_factory=lambda: Limits(seconds=900))
    evaluated: int | None = None
    """Images at most"""
    settings: Settings = field(default_factory=Settings)
    seconds: tuple[float, float, float] = (60.0, 900.0, 300.0)
    """Guesses for a judge, the model and the evaluation on two processor cores, for the estimate
    of the time that is left until a step has been timed"""


SMALL = Scale(
    "avatars:n=3000,validation=0.2",
    judging=JudgeTraining(epochs=6, components=96, rounds=80),
    limits=Limits(steps=2000),
    evaluated=200,
    settings=Settings(
        without=frozenset({"realism", "identity"}), resamples=500, pictures=4, worst=2
    ),
    seconds=(12.0, 110.0, 60.0),
)
"""Meant for less than five minutes on two idle processor cores."""

FULL = Scale(
    "avatars:n=20000,validation=0.1", limits=Limits(seconds=3600), seconds=(120, 3600, 900)
)
"""An hour of training."""

SHIPPED = replace(FULL, source="avatars:n=8000,seed=5,validation=0.25", size=64)
"""For the shipped model, which has not seen avatars of this seed."""


@dataclass(frozen=True)
class Suite:
    """One data set, and what is done with it."""

    name: str
    title: str
    scale: Scale
    config: TrainConfig
    attributes: tuple[str, ...] | None = None
    model: str | None = None
    """A trained model, to be evaluated in place of training one"""
    judges: tuple[str, ...] = ()
    """Judges that there are, by name or folder, in place of training some"""
    groups: tuple[str, ...] = ()

    @cached_property
    def data(self) -> AttributeDataset:
        """All its images."""
        return open_dataset(self.scale.source, size=self.scale.size, attributes=self.attributes)


@dataclass(frozen=True)
class Bench:
    """Where steps do their work."""

    suite: Suite
    folder: Path
    console: Console

    def images(self, most: int | None = None) -> tuple[AttributeDataset, AttributeDataset]:
        """Those that are evaluated, of them at most so many, and others."""
        scale = self.suite.scale
        limits = [n for n in (scale.evaluated, most) if n is not None]
        return chosen_part(
            self.suite.data, "report", limit=min(limits, default=None), seed=scale.settings.seed
        )

    def judges(self) -> list[Judge]:
        """Those that were given, or that the steps before have trained."""
        trained = [self.folder / f"judge-{f}" for f in self.suite.scale.families]
        return [load_judge(j) for j in self.suite.judges or trained]

    def model(self) -> CDVAEGAN:
        """The one that was given, or that a step before has trained."""
        return load(self.suite.model or self.folder / "model" / "run")


@dataclass(frozen=True)
class Step:
    """A piece of work that leaves a folder."""

    name: str
    """Of the folder"""
    seconds: float
    """A guess of how long it takes"""
    depends_on: dict[str, Any]
    """All that its outcome depends on: where that has changed, it is done again"""
    run: Callable[[Bench, Path], None]
    """Does it, in the folder that it is given"""
    of_weights: bool = False
    """Whether its outcome depends on the weights too that the steps before made"""


def avatars(scale: Scale, model: str | None = None, seed: int = 0) -> Suite:
    """Drawn faces, whose true counterfactuals are known.

    Args:
        scale: How much is done.
        model: A trained model; None to train one.
        seed: Of the training.
    """
    return Suite("avatars", "Avatars", scale, demo_config(seed), model=model)


def faces(
    celeba: str | Path, model: str | None = None, seed: int = 0, judges: Sequence[str] = ()
) -> Suite:
    """CelebA at 64 pixels.

    Args:
        celeba: Its folder.
        model: A trained model; None to train one for an hour and a half.
        seed: Of the training.
        judges: By name or folder; none to train four.
    """
    scale = Scale(
        str(celeba),
        size=64,
        judging=JudgeTraining(epochs=4),
        limits=Limits(seconds=5400),
        evaluated=500,
        settings=Settings(without=frozenset({"realism"})),  # of so few photos it would say little
        seconds=(900, 5400, 2400),
    )
    config = TrainConfig.from_preset("default", seed=seed)
    return Suite(
        "faces", "Faces", scale, config, FACES, model, tuple(judges), groups=("Male", "Young")
    )


def steps_of(suite: Suite) -> list[Step]:
    """What is done with one data set, in order."""
    scale, (judge, model, evaluation) = suite.scale, suite.scale.seconds
    data = {
        "fingerprint": suite.data.fingerprint,
        "size": scale.size,
        "attributes": suite.attributes,
    }
    judging = {**data, "judging": asdict(scale.judging)}
    families = () if suite.judges else scale.families
    training: dict[str, Any] = {}
    if suite.model is not None:
        training = {"model": suite.model, "weights": load(suite.model).digest()}
    else:
        training = {**data, "limits": asdict(scale.limits), "config": asdict(suite.config)}
    everything = {
        **judging,
        **training,
        "families": families,
        "judges": suite.judges,
        "evaluated": scale.evaluated,
        "groups": suite.groups,
        "settings": {**asdict(scale.settings), "without": sorted(scale.settings.without)},
    }
    return [
        *(Step(f"judge-{f}", judge, judging, partial(_judge, f)) for f in families),
        *([Step("model", model, training, _model)] if suite.model is None else []),
        Step("evaluation", evaluation, everything, _evaluation, of_weights=True),
        Step(
            "detail",
            evaluation,
            {**everything, "images": _IMAGES_OF_DETAIL, "not": sorted(_NOT_OF_DETAIL)},
            _detail,
            of_weights=True,
        ),
    ]


def reproduce(
    suites: Sequence[Suite],
    work: str | Path,
    *,
    command: str = "",
    docs: str | Path | None = None,
    console: Console | None = None,
) -> Path:
    """Do what is not done yet, and write the results.

    Args:
        suites: See `avatars` and `faces`.
        work: Folder for the steps; what is done there is not done again.
        command: What was typed, for the page.
        docs: Folder with the documentation: ``results.md`` is written there too, and its figures to
            ``images/results``. Photos are left out of it.
        console: Where progress is shown; None for nowhere.

    Returns:
        The page with the results, ``work/results.html``.

    Raises:
        InputError: A folder cannot be used, or a step's input is wrong.
    """
    work, console = Path(work), console or Console(quiet=True)
    plan = [(suite, step) for suite in suites for step in steps_of(suite)]
    clock = _Clock([step.seconds for _, step in plan], console)
    for number, (suite, step) in enumerate(plan):
        folder = work / suite.name
        bench = Bench(suite, folder, console)
        made = _made(bench) if step.of_weights else {}
        depends_on = json.dumps({**step.depends_on, **made}, sort_keys=True)
        clock.begin(number, f"{suite.title}: {step.name}")
        key = digest([__version__, step.name, depends_on])
        clock.end(number, _once(step, bench, folder / step.name, key))
    results = [_results(suite, work / suite.name) for suite in suites]
    html, _ = results_page(results, command, _machine()).save(work, "results")
    if docs is not None:
        shown = [r if r.drawn else replace(r, pictures=()) for r in results]
        _write_docs(results_page(shown, command, _machine()), Path(docs))
    return html


def _made(bench: Bench) -> dict[str, Any]:
    """Of which weights the earlier steps' results are."""
    judges = [judge.digest for judge in bench.judges()]
    return {"made": [bench.model().digest(), *judges]}


def _once(step: Step, bench: Bench, folder: Path, key: str) -> float | None:
    """Do a step unless it is done; how long it took, or None."""
    state = _state(folder)
    if state == {"key": key, "done": True}:
        return None
    start = time.monotonic()
    try:
        if state.get("key") != key and folder.exists():
            if any(folder.iterdir()) and not (folder / _STATE).is_file():
                raise InputError(f"{folder} holds something else: choose another folder to work in")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _STATE, json.dumps({"key": key, "done": False}))
        step.run(bench, folder)
        write_whole(folder / _STATE, json.dumps({"key": key, "done": True}))
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from None
    return time.monotonic() - start


def _judge(family: str, bench: Bench, folder: Path) -> None:
    suite = bench.suite
    with bench.console.status(f"judge {family}") as status:
        train_judge(
            suite.data,
            folder,
            family=family,
            name=family,
            training=suite.scale.judging,
            report=lambda line: status.update(f"judge {family}: {line}"),
        )


def _model(bench: Bench, folder: Path) -> None:
    suite, run = bench.suite, folder / "run"
    begun = (run / _CHECKPOINT).is_file()
    if not begun:  # a run that was broken off before its first checkpoint
        shutil.rmtree(run, ignore_errors=True)
    train(
        suite.data,
        run,
        suite.scale.limits,
        suite.config,
        resume=begun,
        console=bench.console,
        validate_every=10**9 if suite.data.draw is not None else 1000,
    )


def _evaluation(bench: Bench, folder: Path) -> None:
    chosen, real = bench.images()
    settings = replace(bench.suite.scale.settings, groups=bench.suite.groups)
    with stages(bench.console) as told:
        found = evaluate(
            bench.model(),
            chosen,
            bench.judges(),
            name=bench.suite.name,
            attributes=bench.suite.attributes,
            real=real,
            settings=settings,
            progress=told,
        )
    save_report(found, folder)


def _detail(bench: Bench, folder: Path) -> None:
    chosen, real = bench.images(_IMAGES_OF_DETAIL)
    model, settings = bench.model(), bench.suite.scale.settings
    with stages(bench.console) as told:
        found = compare(
            [("with the photo's detail", model, 1.0), ("plain drawing", model, 0.0)],
            chosen,
            bench.judges(),
            attributes=bench.suite.attributes,
            real=real,
            settings=replace(settings, worst=0, without=settings.without | _NOT_OF_DETAIL),
            progress=told,
        )
    save_comparison(found, folder)


def _results(suite: Suite, folder: Path) -> Results:
    found = Findings.from_dict(read_results(folder / "evaluation"))
    compared = Comparison.from_dict(read_results(folder / "detail"))
    pictures = []
    for path in sorted((folder / "evaluation" / "figures").glob("pictures-*.png")):
        with Image.open(path) as image:
            pictures.append(image.convert("RGB"))
    said = f"the model is `{suite.model}`"
    if suite.model is None:
        steps = steps_done(folder / "model" / "run")
        said = f"the model was trained for {steps:,} steps of {suite.config.batch_size} images"
    drawn = bool(found.about["data"]["drawn"])
    return Results(suite.title, said, found, compared, tuple(pictures), drawn)


def _write_docs(page: Page, docs: Path) -> None:
    """``results.md`` and its figures; those of earlier results go."""
    text, pictures = page.markdown(_FIGURES)
    folder = docs / _FIGURES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.name not in pictures:
                old.unlink()
        for name, content in pictures.items():
            write_whole(folder / name, content)
        write_whole(docs / "results.md", text)
    except OSError as error:
        raise InputError(f"cannot write the results to {docs}: {error.strerror}") from None


def _state(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / _STATE).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return found


def _machine() -> str:
    return f"{os.cpu_count()} processor cores ({platform.machine()})"


class _Clock:
    """Says which step is being done, and about how long the rest will take."""

    def __init__(self, guesses: Sequence[float], console: Console) -> None:
        self.guesses, self.console = list(guesses), console
        self._took, self._guessed = 0.0, 0.0

    def begin(self, number: int, name: str) -> None:
        """A step begins."""
        # How much slower or faster than guessed the steps so far have been.
        pace = self._took / self._guessed if self._guessed else 1.0
        left = pace * sum(self.guesses[number:])
        about = f"{left / 60:.0f} min" if left >= 90 else f"{max(left, 1):.0f} s"
        place = f"[{number + 1}/{len(self.guesses)}]"
        self.console.print(f"{place} {name}, about {about} to the end", markup=False)

    def end(self, number: int, took: float | None) -> None:
        """A step has ended; None where it was done already."""
        if took is None:
            self.console.print("      done already")
        else:
            self._took += took
            self._guessed += self.guesses[number]
