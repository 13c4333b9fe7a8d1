"""An audit as a page: what can be concluded first, then what it rests on."""

from __future__ import annotations

from typing import Any

from cdvae_gan.auditing.conclusions import FAILED_BELOW, WEAK_BELOW, percent, signed
from cdvae_gan.auditing.result import Audit, Effect, Intervention, Placebo
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.report import Cell, Intervals, Page, Plot, Section, Series

__all__ = ["page"]

_KINDS = {"depends": "bad", "none found": "good"}


def page(audit: Audit, *, pictures: bool = True) -> Page:
    """The report.

    Args:
        audit: The result.
        pictures: With plots and images.
    """
    c, s = audit.classifier, audit.settings
    made = Page(
        f"Audit of {c['name']}",
        f"Does its answer change when one attribute of the image does? {s['images']:,} images of "
        f"{s['data']} ({s['split']}), counterfactuals by {s['model']}.",
        f"cdvae-gan {s['version']}, seed {s['seed']}, {s['resamples']:,} bootstrap resamples.",
    )
    _overview(audit, made.section("Conclusions"), pictures)
    limits = _limits(audit)
    for intervention in audit.interventions:
        part = made.section(intervention.attribute)
        _edit(intervention, part)
        for effect in intervention.effects:
            if len(audit.scores) > 1:
                part.heading(effect.score)
            _effect(intervention, effect, part, pictures, limits)
    _method(audit, made.section("How it was measured"))
    return made


def _overview(audit: Audit, part: Section, pictures: bool) -> None:
    for note in audit.notes:
        part.text(note)
    many = len(audit.scores) > 1
    rows = [
        [
            Cell(_label(one, effect, many)),
            Cell(effect.verdict, "", _KINDS.get(effect.verdict, "muted")),
            _cell(effect.change),
            Cell(_p(effect.p_corrected)),
            _cell(effect.noise.change),
            _turned(effect),
            _seen(one),
        ]
        for one, effect in audit
    ]
    part.table(
        ["intervention", "verdict", "change", "p", "noise", "answers turned", "edits seen"],
        rows,
        caption="Change of the score with the attribute against without it; p corrected for all "
        f"{len(rows)} tests; the same under noise of equal energy; share of answers that turn; "
        "share of edits that the strictest trusted judge reads as flipped.",
    )
    if pictures:
        bars = [
            (_label(one, e, many), e.change.value, e.change.low, e.change.high) for one, e in audit
        ]
        part.plot(
            Intervals(bars, "change of the score", reference=0),
            caption="Mean change with the attribute against without it, 95 % intervals.",
        )
    part.items([f"**{_label(one, e, many)}**: {e.can}" for one, e in audit])


def _edit(one: Intervention, part: Section) -> None:
    unknown = f"; {one.unknown:,} left out, of which nobody says it" if one.unknown else ""
    part.text(
        f"{one.n:,} images, {one.effects[0].put_on.change.n:,} of them without it and "
        f"{one.effects[0].take_off.change.n:,} with it (by {one.source}){unknown}. The edit "
        f"moves a pixel by {one.size.value:.1f} of 255 grey levels on average, and "
        f"{100 * one.area.value:.0f} % of them by more than 10."
    )
    if one.sights:
        part.table(
            ["judge", "all", "put on", "taken off", "other attribute moved most"],
            [
                [
                    Cell(s.judge, "" if s.trusted else "not trusted on this attribute"),
                    *(_share(e) for e in (s.deception, s.put_on, s.take_off)),
                    _share(s.moved_share, s.moved or ""),
                ]
                for s in one.sights
            ],
            caption="Share of edits that a judge reads as flipped, among images it reads right.",
        )


def _effect(
    one: Intervention,
    effect: Effect,
    part: Section,
    pictures: bool,
    limits: tuple[float, float] | None,
) -> None:
    part.text(f"**{effect.verdict}.** {effect.can}")
    if effect.cannot:
        part.warning(f"What cannot be concluded: {effect.cannot}")
    part.table(
        ["", "change", "mean size", "to yes", "to no", "energy", "n"],
        [
            ["edit", *_figures(effect.change, effect.magnitude, *_turns(effect), "1")],
            ["put on", *_figures(effect.put_on.change, None, *_turns(effect.put_on))],
            ["taken off", *_figures(effect.take_off.change, None, *_turns(effect.take_off))],
            ["do(nothing)", Cell(f"{effect.nothing:.3g}", "at most"), *[""] * 3, "0", f"{one.n:,}"],
            _placebo(effect.noise),
            *([] if effect.unrelated is None else [_placebo(effect.unrelated)]),
            ["edit less noise", *_figures(effect.excess, None, None, None)],
        ],
        caption="The first row is with the attribute against without it; put on and taken off are "
        "counterfactual against photo; mean size is that of a change whatever its sign; energy is "
        "that of the pixels' change, against the edit's.",
        strong=["edit"],
    )
    if pictures:
        part.plot(_dose(effect, limits), title="Dose and response", caption=_DOSE)
        if effect.groups:
            bars = [(g.name, g.change.value, g.change.low, g.change.high) for g in effect.groups]
            part.plot(Intervals(bars, "change", reference=0), title="By group")
    if effect.groups:
        part.table(
            ["group", "change", "against the others", "n"],
            [
                [g.name, _cell(g.change), _cell(g.difference), f"{g.change.n:,}"]
                for g in effect.groups
            ],
        )
    if pictures and effect.pairs:
        _pairs(one, effect, part)


_DOSE = "Mean change at parts of the edit, with 95 % intervals."


def _limits(audit: Audit) -> tuple[float, float] | None:
    """One axis for all dose-response curves, so that they can be compared."""
    ends = [v for _, e in audit for d in e.strengths.values() for v in (d.low, d.high)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.06 * (high - low)
    return (low - margin, high + margin) if margin > 0 else None


def _dose(effect: Effect, limits: tuple[float, float] | None) -> Plot:
    found = list(effect.strengths.values())
    return Plot(
        [
            Series(
                "change",
                [0.0, *(float(s) for s in effect.strengths)],
                [0.0, *(e.value for e in found)],
                [0.0, *(e.low for e in found)],
                [0.0, *(e.high for e in found)],
            )
        ],
        "strength",
        "change of the score",
        y_range=limits,
    )


def _pairs(one: Intervention, effect: Effect, part: Section) -> None:
    name = one.attribute
    part.images(
        [
            [pair.image for pair in effect.pairs],
            [pair.counterfactual for pair in effect.pairs],
        ],
        columns=[f"{name} {'off' if pair.present else 'on'}" for pair in effect.pairs],
        rows_labels=["photo", "counterfactual"],
        notes=[
            [f"{pair.before:.3g}" for pair in effect.pairs],
            [f"{pair.after:.3g}" for pair in effect.pairs],
        ],
        caption=f"The largest changes, with {effect.score} below: "
        f"{', '.join(pair.file for pair in effect.pairs)}.",
    )


def _method(audit: Audit, part: Section) -> None:
    c, s = audit.classifier, audit.settings
    part.items(
        [
            f"Classifier: {c['name']}, {c['family']}, {c['task']}; scores {', '.join(c['scores'])}",
            f"Judges: {', '.join(s['judges']) or 'none'}",
            f"Strengths: {', '.join(f'{v:g}' for v in s['strengths'])}; images of "
            f"{s['image_size']} pixels; data fingerprint `{s['fingerprint']}`",
        ]
    )
    part.text(
        "For each image the attribute is set to what it is not. The **change** is the score with "
        "the attribute less the score without it, one of which is that of the photo. Intervals are "
        "95 % bootstrap intervals over images, or over persons where they are known. The test "
        "flips the signs of the changes at random; p is the greater of that of the change and that "
        "of the change less that under noise, corrected by Holm for all tests of this audit."
    )
    part.text(
        "**Noise** has the energy of the edit where the edit acts, without its outline. The "
        "**unrelated** edit flips the attribute that is least correlated with this one and with "
        "the scores, made no larger than the edit. **depends** needs a significant change, larger "
        f"than under noise, and edits of which trusted judges see at least {FAILED_BELOW:.0%}; "
        f"below {WEAK_BELOW:.0%} the effect is called diluted."
    )


def _label(one: Intervention, effect: Effect, many: bool) -> str:
    return f"{one.attribute} on {effect.score}" if many else one.attribute


def _cell(e: Estimate | None) -> Cell:
    if e is None or not e.n:
        return Cell("–", "", "muted")
    value, _, interval = signed(e).partition(" ")
    return Cell(value, interval)


def _share(e: Estimate | None, name: str = "") -> Cell:
    if e is None or not e.n:
        return Cell("–", "", "muted")
    value, _, interval = percent(e).rpartition(" [")
    return Cell(f"{name} {value}".strip(), f"[{interval} n = {e.n:,}")


def _figures(
    change: Estimate,
    size: Estimate | None,
    to_yes: Estimate | None,
    to_no: Estimate | None,
    energy: str = "",
) -> list[Cell]:
    plain = Cell("") if size is None else Cell(f"{size.value:.3g}")
    turned = [Cell("") if e is None or not e.n else _brief(e) for e in (to_yes, to_no)]
    return [_cell(change), plain, *turned, Cell(energy), Cell(f"{change.n:,}")]


def _brief(e: Estimate) -> Cell:
    return Cell(f"{e.value:.1%}".replace("%", " %"), f"[{100 * e.low:.1f}, {100 * e.high:.1f}]")


def _turns(direction: Any) -> tuple[Estimate | None, Estimate | None]:
    return direction.to_yes, direction.to_no


def _placebo(placebo: Placebo) -> list[Cell | str]:
    energy = f"{placebo.energy:.2f}"
    return [placebo.name, *_figures(placebo.change, placebo.magnitude, None, None, energy)]


def _turned(effect: Effect) -> Cell:
    if effect.to_yes is None or effect.to_no is None:
        return Cell("–", "", "muted")
    share = effect.to_yes.value + effect.to_no.value
    yes, no = (f"{e.value:.1%}".replace("%", " %") for e in (effect.to_yes, effect.to_no))
    return Cell(f"{share:.1%}".replace("%", " %"), f"{yes} to yes, {no} to no")


def _seen(one: Intervention) -> Cell:
    known = [s for s in one.sights if s.trusted and s.deception.n]
    if not known:
        return Cell("not known", "", "muted")
    strictest = min(known, key=lambda s: s.deception.value)
    return _share(strictest.deception)


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"
