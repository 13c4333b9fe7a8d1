"""What can be concluded from an effect, and what cannot, in words.

    depends                 the score changes by more than chance, and by more than under noise of
                            the same energy in the same place, both after correction for all tests
    not told from placebo   by more than chance, but not by more than under that noise
    none found              not by more than chance
    edit failed             a trusted judge sees less than half of the edits: nothing was audited
    too few images          fewer than 20 images, or persons

Judges can only take conclusions away. Where none was asked, that is said.
"""

from __future__ import annotations

from typing import NamedTuple

from cdvae_gan.auditing.result import Effect, Intervention, Sight, Verdict
from cdvae_gan.auditing.significance import LEVEL
from cdvae_gan.evaluation.bootstrap import Estimate

__all__ = ["FAILED_BELOW", "WEAK_BELOW", "Conclusion", "conclude", "percent", "signed"]

FAILED_BELOW = 0.5
"""Deception rate below which an edit audits nothing."""
WEAK_BELOW = 0.8
"""Deception rate below which effects are said to be diluted."""

_FEWEST = 20
_MOVED = 0.05


class Conclusion(NamedTuple):
    """A verdict in words."""

    verdict: Verdict
    can: str
    cannot: str


def conclude(
    intervention: Intervention, effect: Effect, *, p_alone: float, tests: int, people: int
) -> Conclusion:
    """Judge one effect.

    Args:
        intervention: What was done.
        effect: What came of it, with its corrected p.
        p_alone: The corrected p of the change alone, whatever noise does.
        tests: For how many effects p was corrected.
        people: Images, or persons where they are known.
    """
    verdict = _verdict(intervention, effect, p_alone, people)
    cannot = [*_limits(verdict, intervention, effect), *_doubts_of_edit(intervention)]
    if effect.nothing > 0:
        cannot.append(
            f"do(nothing) is not exact: it alone moves the score by up to {effect.nothing:.3g}."
        )
    if verdict in ("depends", "not told from placebo"):
        cannot += _doubts_of_specificity(effect)
    return Conclusion(verdict, _can(verdict, intervention, effect, tests), " ".join(cannot))


def signed(e: Estimate) -> str:
    """``+0.132 [+0.11, +0.154]``."""
    return f"{e.value:+.3g} [{e.low:+.3g}, {e.high:+.3g}]"


def percent(e: Estimate) -> str:
    """``97 % [95, 98]``."""
    return f"{e.value:.0%} [{100 * e.low:.0f}, {100 * e.high:.0f}]".replace("%", " %")


def _verdict(intervention: Intervention, effect: Effect, p_alone: float, people: int) -> Verdict:
    if people < _FEWEST:
        return "too few images"
    if _seen(intervention) < FAILED_BELOW:
        return "edit failed"
    if effect.p_corrected <= LEVEL and effect.excess.value * effect.change.value > 0:
        return "depends"
    return "not told from placebo" if p_alone <= LEVEL else "none found"


def _seen(intervention: Intervention) -> float:
    """The lowest deception rate that a trusted judge reports; 1 where there is none."""
    least = _strictest(intervention)
    return 1.0 if least is None else least.deception.value


def _strictest(intervention: Intervention) -> Sight | None:
    """Of the trusted judges the one that sees fewest of the edits."""
    asked = [s for s in intervention.sights if s.trusted and s.deception.n]
    return min(asked, key=lambda sight: sight.deception.value, default=None)


def _can(verdict: Verdict, intervention: Intervention, effect: Effect, tests: int) -> str:
    name, change = intervention.attribute, signed(effect.change)
    if verdict == "too few images":
        return f"Nothing: {intervention.n} images are too few."
    if verdict == "edit failed":
        strictest = _strictest(intervention)
        assert strictest is not None
        seen = percent(strictest.deception)
        return (
            f"Nothing about {name}: {strictest.judge} sees it in {seen} of the edits alone, and no "
            "judge may see less than half."
        )
    if verdict == "none found":
        return (
            f"No dependence of {effect.score} on {name} was found: the average effect of these "
            f"edits is {change}, an interval that has 95 % confidence."
        )
    tested = f" after correction for {tests} tests" if tests > 1 else ""
    corrected = f" ({_p(effect.p_corrected)}{tested})"
    noise = signed(effect.noise.change)
    if verdict == "not told from placebo":
        return (
            f"{effect.score} answers to the edit of {name} by {change} on average, but not by more "
            f"than to noise of the same energy in the same place ({noise})."
        )
    turned = ""
    if effect.to_yes is not None and effect.to_no is not None:
        turned = f" {effect.to_yes.value + effect.to_no.value:.1%} of the answers turn.".replace(
            "%", " %"
        )
    return (
        f"{effect.score} depends on {name} as this editor draws it: with it the score is {change} "
        f"on average, more than under noise of the same energy ({noise}){corrected}.{turned}"
    )


def _limits(verdict: Verdict, intervention: Intervention, effect: Effect) -> list[str]:
    """What the verdict itself leaves open."""
    name = intervention.attribute
    if verdict == "depends":
        return [f"That nothing but {name} changed is the editor's word and not shown here."]
    if verdict == "not told from placebo":
        return [f"The score may answer to {name}, or to changed pixels: that stays open."]
    if verdict == "none found":
        size, noise = effect.magnitude.value, effect.noise.magnitude.value
        more = size > 2 * noise and size > abs(effect.change.value)
        return [
            f"Independence is not shown: an effect inside the interval remains possible, and so do "
            f"effects of opposite sign that cancel (single images change by {size:.3g} on average, "
            f"under noise by {noise:.3g}{': they are likely' if more else ''})."
        ]
    return [f"Whether {effect.score} depends on {name} stays open."]


def _doubts_of_specificity(effect: Effect) -> list[str]:
    other = effect.unrelated
    if other is None or other.change.low <= 0 <= other.change.high:
        return []
    if abs(other.change.value) < abs(effect.change.value):
        return []
    return [
        f"A flip of {other.name} at no greater size moves the score as much "
        f"({signed(other.change)}): the score may answer to edits as such, or to {other.name}."
    ]


def _doubts_of_edit(intervention: Intervention) -> list[str]:
    name, result = intervention.attribute, []
    if not any(s.trusted and s.deception.n for s in intervention.sights):
        asked = "no judge was asked" if not intervention.sights else "no judge reads it well enough"
        result.append(f"Whether the edits show {name} is not known: {asked}.")
    for sight in intervention.sights:
        rate = sight.deception
        if not (sight.trusted and rate.n):
            continue
        if rate.value < FAILED_BELOW:
            result.append(
                f"Judge {sight.judge} reads only {percent(rate)} of the edits as flipped, and an "
                "edit that fails audits nothing."
            )
        elif rate.value < WEAK_BELOW:
            result.append(
                f"Judge {sight.judge} reads {percent(rate)} of the edits as flipped: the others "
                "dilute the effect."
            )
        for what, part in (("put on", sight.put_on), ("take off", sight.take_off)):
            if part.n and part.value < FAILED_BELOW <= rate.value:
                result.append(
                    f"Judge {sight.judge} reads only {percent(part)} as flipped where it was to be "
                    f"{'taken off' if what == 'take off' else what}: that direction was hardly "
                    "audited."
                )
        share = sight.moved_share
        if share is not None and share.value > _MOVED:
            result.append(
                f"Judge {sight.judge} sees {sight.moved} change too in {percent(share)} of the "
                "edits: part of the effect may be due to that."
            )
    return result


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
