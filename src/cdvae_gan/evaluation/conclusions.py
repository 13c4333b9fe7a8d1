"""What cannot be concluded from an evaluation: sentences that follow from its numbers.

Every sentence is there because a condition holds of this evaluation; another gets others.
"""

from __future__ import annotations

from collections.abc import Iterator

from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.findings import Findings
from cdvae_gan.evaluation.judges import TRUSTED_ABOVE
from cdvae_gan.evaluation.metrics import MEAN
from cdvae_gan.evaluation.metrics.agreement import COUNTERFACTUALS, PHOTOS
from cdvae_gan.evaluation.metrics.deception import ALL, PUT_ON, TAKE_OFF
from cdvae_gan.evaluation.metrics.realism import COUNTERFACTUAL, ENOUGH, FRECHET
from cdvae_gan.evaluation.metrics.robustness import AS_IS, HANDLINGS

__all__ = ["FEW", "conclusions"]

FEW = 50
"""Images below which a figure is called thin."""

_LISTED = 6
_DRIFT = 0.03
_UNEVEN = 0.15


def conclusions(found: Findings) -> list[str]:
    """The sentences, the gravest first."""
    return [*_judges(found), *_numbers(found), *_meaning(found), *_not_measured(found)]


def _judges(found: Findings) -> Iterator[str]:
    jury = found.jury
    families = {judge["family"] for judge in jury}
    trusted = {a: sum(a in judge["trusted"] for judge in jury) for a in found.attributes}
    none, one = ([a for a, n in trusted.items() if n == few] for few in (0, 1))
    if len(none) == len(found.attributes):
        yield (
            f"**Nothing about deception.** No judge reads any attribute with a balanced accuracy "
            f"above {TRUSTED_ABOVE:g} on these photos."
        )
    elif none:
        yield (
            f"**{_names(none)}: whether the edits work.** No judge reads "
            f"{'it' if len(none) == 1 else 'them'} with a balanced accuracy above "
            f"{TRUSTED_ABOVE:g} on these photos; the rows are grey and in no mean."
        )
    if len(families) == 1:
        yield (
            f"**Whether other kinds of classifiers agree.** All judges are of one kind "
            f"({next(iter(families))}), and may share its blind spots."
        )
    elif one:
        yield f"**{_names(one)}: whether a second judge agrees.** Only one can be trusted there."
    apart = [judge["name"] for judge in found.judges if judge["apart"]]
    if apart and len(apart) < len(found.judges):
        yield (
            f"**Anything from {_names(apart)} alone.** It looks through a network that the model's "
            "discriminator may have used, so it stands apart and is in no mean."
        )
    elif apart:
        yield (
            "**Deception of independent judges.** The only judge at hand looks through a network "
            "that the model's discriminator may have used."
        )
    agreement = found.tables.get("agreement")
    if agreement is not None:
        photos, edited = agreement[MEAN, PHOTOS], agreement[MEAN, COUNTERFACTUALS]
        if edited.high < photos.low:
            yield (
                f"**That a flip a judge believes is one a person would see.** The judges agree on "
                f"{_rate(photos)} of the photos and on only {_rate(edited)} of the "
                "counterfactuals: there, at least one of them is often wrong."
            )


def _numbers(found: Findings) -> Iterator[str]:
    images = found.about["data"]["images"]
    deception = found.tables["deception"]
    counts = {
        f"{name} {column} ({row[column].n})": row[column].n
        for name, row in deception
        for column in (PUT_ON, TAKE_OFF)
        if name != MEAN
    }
    thin = sorted((name for name, n in counts.items() if n < FEW), key=lambda name: counts[name])
    if thin:
        more = f" and {len(thin) - _LISTED} more" if len(thin) > _LISTED else ""
        yield (
            f"**Small differences in {len(thin)} of the {len(counts)} rates by direction.** So few "
            f"images stand behind them: {', '.join(thin[:_LISTED])}{more}."
        )
    if images < 500:
        yield (
            f"**Differences of a few hundredths.** {images:,} images were evaluated; the "
            "intervals say how far chance alone can move each figure."
        )
    unknown = found.about["unknown_labels"]
    if unknown:
        yield (
            f"**The {unknown:.0%} of labels that nobody has set.** Their attributes were not "
            "flipped."
        )
    for name, table in found.tables.items():
        if name.startswith("realism/") and table[COUNTERFACTUAL, FRECHET].n < ENOUGH:
            n = table[COUNTERFACTUAL, FRECHET].n
            yield (
                f"**Realism in {name.removeprefix('realism/')} features.** {n:,} counterfactuals "
                f"were compared with as many real images; below {ENOUGH:,} the distance is mostly "
                "that of a small sample, which the floor shows."
            )
    few = [f"{g} ({n})" for g, n in found.about["groups"].items() if n < FEW]
    if few:
        yield f"**Anything about the groups {_names(few)}.** That is all the images there are."


def _meaning(found: Findings) -> Iterator[str]:
    deception, tables = found.tables["deception"], found.tables
    put_on, take_off = deception[MEAN, PUT_ON], deception[MEAN, TAKE_OFF]
    if put_on.low > take_off.high + _UNEVEN or take_off.low > put_on.high + _UNEVEN:
        yield (
            f"**One rate for both directions.** Putting on succeeds in {_rate(put_on)}, taking off "
            f"in {_rate(take_off)}: their average describes neither."
        )
    shown = [g for g in found.groups if f"group/{g}/deception" in tables]
    if len(shown) > 1:
        rates = {g: tables[f"group/{g}/deception"][MEAN, ALL] for g in shown}
        worst, best = (f(shown, key=lambda g: rates[g].value) for f in (min, max))
        if rates[worst].high < rates[best].low:
            yield (
                f"**One rate for everybody.** Deception ranges from {_rate(rates[worst])} for "
                f"{worst} to {_rate(rates[best])} for {best}."
            )
    if "robustness" in tables:
        table = tables["robustness"]
        lost = [
            f"{name} ({_rate(table[MEAN, name])})"
            for name in HANDLINGS
            if table[MEAN, name].high < table[MEAN, AS_IS].low
            and table[MEAN, name].value < table[MEAN, AS_IS].value - _DRIFT
        ]
        if lost:
            yield (
                f"**That the edits survive handling.** Deception as is: "
                f"{_rate(table[MEAN, AS_IS])}; after {_names(lost)}."
            )
    if "truth" not in tables:
        yield (
            "**That the counterfactuals are the true ones.** A photo's true counterfactual is "
            "not known: a judge that is convinced says that the attribute shows, not that "
            "nothing else should differ. Drawn avatars have a truth to compare with."
        )
    if "realism/object" in tables:
        yield (
            "**Realism from object features alone**, for models whose discriminator looks through "
            "the same network, as this package's default does."
        )
    if any(name.startswith("realism/") for name in tables):
        yield (
            "**A realism of the floor as the goal.** The real images have the labels that were "
            "asked for, as far as there are such; of what nobody has, such as a woman's beard, and "
            "of what goes together without a label, even perfect counterfactuals differ."
        )
    config = found.about["model"].get("config")
    if "probe/linear" in tables and config and config["u_channels"]:
        yield (
            "**That no latent knows the attributes.** The probes read z; the model has a spatial "
            f"latent u of {config['u_channels']} channels too, which they do not see."
        )
    if set(found.about["data"]["splits"]) & {"train"}:
        yield "**Anything about new images.** Some of these may have been trained on."
    yield (
        "**How another training run would do.** The intervals are over images; one model was "
        "evaluated, and models trained with other seeds differ by more than its images tell."
    )


def _not_measured(found: Findings) -> Iterator[str]:
    for reason in dict.fromkeys(found.missing.values()):
        names = [name for name, why in found.missing.items() if why == reason]
        yield f"**{_names(names)}**: not measured, {reason}."


def _rate(e: Estimate) -> str:
    return f"{e.value:.2f}".removeprefix("0")


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
