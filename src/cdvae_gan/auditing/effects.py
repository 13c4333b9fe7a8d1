"""From measured scores to effects with intervals, tests and conclusions.

With s the score, x′ the flip of attribute k on image x, and σ = +1 where it is put on, −1 where it
is taken off,

    change      mean of  σ (s(x′) − s(x))
    excess      mean of  σ (s(x′) − s(x)) − σ (s(noise) − s(x))

Intervals draw images, or persons where they are known, and all columns of a table together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.auditing.conclusions import conclude
from cdvae_gan.auditing.measure import Bools, Edited, Floats, Measured, Witness
from cdvae_gan.auditing.result import (
    Direction,
    Effect,
    Group,
    Intervention,
    Pair,
    Pixels,
    Placebo,
    Sight,
)
from cdvae_gan.auditing.significance import holm, sign_test
from cdvae_gan.evaluation.bootstrap import Estimate, estimates, grouped
from cdvae_gan.evaluation.metrics.deception import ALL, PUT_ON, TAKE_OFF

__all__ = ["Draw", "interventions"]

Draw = Callable[[str, list[int]], list[tuple[Pixels, Pixels]]]
"""``draw(attribute, rows)``: these images before and after, uint8 ``(H, W, 3)``."""


@dataclass(frozen=True)
class _Sampler:
    """Means with intervals over the images of an audit."""

    groups: npt.NDArray[np.int64]
    resamples: int
    seed: int

    def means(self, columns: Sequence[Floats], *, share: bool = False) -> list[Estimate]:
        """Of ``(N,)`` columns, each over the images where it is finite."""
        values = np.stack(columns, axis=1)
        weights = np.isfinite(values).astype(np.float64)
        found = estimates(
            grouped(np.stack([np.where(weights > 0, values, 0), weights], axis=2), self.groups),
            lambda t: t[..., 0] / t[..., 1],
            weights.sum(0).astype(int),
            share=share,
            resamples=self.resamples,
            seed=self.seed,
        )
        return list(found)

    def difference(self, column: Floats, inside: Bools) -> Estimate:
        """Mean over the images inside less mean over the others."""
        known = np.isfinite(column)
        parts = [known & inside, known & ~inside]
        sums = [np.stack([np.where(p, column, 0), p.astype(np.float64)], axis=1) for p in parts]
        found = estimates(
            grouped(np.stack(sums, axis=1), self.groups),
            lambda t: t[..., 0, 0] / t[..., 0, 1] - t[..., 1, 0] / t[..., 1, 1],
            int(parts[0].sum()),
            resamples=self.resamples,
            seed=self.seed,
        )
        result: Estimate = found.item()
        return result


def interventions(
    measured: Measured,
    groups: Sequence[str],
    draw: Draw,
    *,
    shown: int,
    resamples: int,
    seed: int,
) -> tuple[Intervention, ...]:
    """Effects of every intervention on every score, with p corrected for all of them together.

    Args:
        measured: The scores.
        groups: Attributes whose values, crossed, make the groups.
        draw: Draws the pairs that are shown.
        shown: Pairs for each effect.
        resamples: Of the bootstrap.
        seed: Of bootstrap and tests.
    """
    sampler = _Sampler(measured.groups, resamples, seed)
    masks = _masks(measured, groups)
    found: list[Intervention] = []
    for name, edited in measured.edited.items():
        effects = tuple(
            _effect(measured, edited, k, sampler, masks, draw, shown)
            for k in range(len(measured.classifier.names))
        )
        size, area = sampler.means([edited.size, edited.area])
        found.append(
            Intervention(
                attribute=name,
                n=int(edited.known.sum()),
                unknown=int((~edited.known).sum()),
                source=measured.sources[name],
                size=size,
                area=area,
                sights=tuple(_sights(measured.witnesses, name, resamples, seed)),
                effects=effects,
            )
        )
    return _corrected(found, measured)


def _corrected(found: list[Intervention], measured: Measured) -> tuple[Intervention, ...]:
    every = [effect for one in found for effect in one.effects]
    alone = holm([e.p for e in every])
    both = iter(zip(holm([max(e.p, e.p_placebo) for e in every]), alone, strict=True))
    result = []
    for one in found:
        people = len(np.unique(measured.groups[measured.edited[one.attribute].known]))
        effects = []
        for effect in one.effects:
            corrected, p_alone = next(both)
            effect = replace(effect, p_corrected=corrected)
            said = conclude(one, effect, p_alone=p_alone, tests=len(every), people=people)
            effects.append(replace(effect, **said._asdict()))
        result.append(replace(one, effects=tuple(effects)))
    return tuple(result)


def _effect(
    measured: Measured,
    edited: Edited,
    k: int,
    sampler: _Sampler,
    masks: dict[str, Bools],
    draw: Draw,
    shown: int,
) -> Effect:
    known = edited.known
    factual = measured.factual[:, k]
    sign = _sign(edited.present)
    raw = edited.scores[1.0][:, k] - factual
    noise = edited.noise[:, k] - factual
    off, on = edited.present == 0, edited.present == 1
    doses = {s: sign * (scores[:, k] - factual) for s, scores in edited.scores.items()}
    signed = doses[1.0]
    excess = signed - sign * noise
    change, magnitude, put_on, take_off, over, noise_change, noise_size = sampler.means(
        [
            signed,
            np.abs(raw),
            np.where(off, raw, np.nan),
            np.where(on, raw, np.nan),
            excess,
            sign * noise,
            np.abs(noise),
        ]
    )
    turned = _turned(measured, edited, k, sampler)
    who = sampler.groups[known]
    return Effect(
        score=measured.classifier.names[k],
        change=change,
        magnitude=magnitude,
        to_yes=turned["all"][0],
        to_no=turned["all"][1],
        put_on=Direction(put_on, *turned["off"]),
        take_off=Direction(take_off, *turned["on"]),
        strengths={
            f"{s:g}": e for s, e in zip(doses, sampler.means(list(doses.values())), strict=True)
        },
        groups=tuple(_group(name, signed, mask, sampler) for name, mask in masks.items()),
        nothing=float(np.abs(measured.nothing[:, k] - factual).max()),
        noise=Placebo(
            f"noise in place of {edited.attribute}",
            noise_change,
            noise_size,
            _relative(edited.energies, 1),
        ),
        unrelated=_unrelated(measured, edited, k, sampler),
        excess=over,
        p=sign_test(signed[known], who, sampler.seed),
        p_placebo=sign_test(excess[known], who, sampler.seed),
        p_corrected=np.nan,
        verdict="none found",
        can="",
        cannot="",
        pairs=_pairs(measured, edited, k, raw, draw, shown),
    )


def _group(name: str, signed: Floats, mask: Bools, sampler: _Sampler) -> Group:
    (inside,) = sampler.means([np.where(mask, signed, np.nan)])
    return Group(name, inside, sampler.difference(signed, mask))


def _sign(present: npt.NDArray[np.int8]) -> Floats:
    return np.where(present == 0, 1.0, np.where(present == 1, -1.0, np.nan))


def _turned(
    measured: Measured, edited: Edited, k: int, sampler: _Sampler
) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    """Shares of answers that turned to yes and to no: of all, where it was off, where it was on."""
    where = {"all": edited.known, "off": edited.present == 0, "on": edited.present == 1}
    if measured.yes is None or edited.yes is None:
        return dict.fromkeys(where, (None, None))
    before, after = measured.yes[:, k], edited.yes[:, k]
    columns = [
        np.where(mask, turned, np.nan)
        for mask in where.values()
        for turned in (~before & after, before & ~after)
    ]
    found = sampler.means(columns, share=True)
    return {name: (found[2 * i], found[2 * i + 1]) for i, name in enumerate(where)}


def _unrelated(measured: Measured, edited: Edited, k: int, sampler: _Sampler) -> Placebo | None:
    if edited.unrelated is None:
        return None
    raw = edited.other[:, k] - measured.factual[:, k]
    change, size = sampler.means([_sign(edited.other_present) * raw, np.abs(raw)])
    return Placebo(edited.unrelated, change, size, _relative(edited.energies, 2))


def _relative(energies: Floats, column: int) -> float:
    known = np.isfinite(energies[:, column])
    total = energies[known, 0].sum()
    return float(energies[known, column].sum() / total) if total else float("nan")


def _masks(measured: Measured, names: Sequence[str]) -> dict[str, Bools]:
    if not names:
        return {}
    crossed = {
        ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True)): np.logical_and.reduce(
            [measured.values[n] == v for n, v in zip(names, values, strict=True)]
        )
        for values in product((0, 1), repeat=len(names))
    }
    return {name: mask for name, mask in crossed.items() if mask.any()}


def _sights(witnesses: list[Witness], name: str, resamples: int, seed: int) -> list[Sight]:
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    result = []
    for witness in witnesses:
        judge = witness.judge
        if name not in judge.attributes:
            continue
        seen = witness.deception.compute(**options)
        moved = witness.preservation.confusion(**options)
        shares = {
            other: moved[name, other]
            for k, other in enumerate(judge.attributes)
            if witness.preservation.counts[judge.attributes.index(name), k]
        }
        most = max(shares, key=lambda other: shares[other].value, default=None)
        result.append(
            Sight(
                judge=judge.name,
                trusted=bool(witness.preservation.trusted[judge.attributes.index(name)]),
                deception=seen[name, ALL],
                put_on=seen[name, PUT_ON],
                take_off=seen[name, TAKE_OFF],
                moved=most,
                moved_share=None if most is None else shares[most],
            )
        )
    return result


def _pairs(
    measured: Measured, edited: Edited, k: int, raw: Floats, draw: Draw, shown: int
) -> tuple[Pair, ...]:
    size = np.where(np.isfinite(raw), np.abs(raw), -1)
    order = [int(i) for i in np.argsort(-size, kind="stable")[:shown] if size[i] > 0]
    if not order:
        return ()
    return tuple(
        Pair(
            file=measured.data.files[i],
            present=bool(edited.present[i] == 1),
            before=float(measured.factual[i, k]),
            after=float(edited.scores[1.0][i, k]),
            image=image,
            counterfactual=counterfactual,
        )
        for i, (image, counterfactual) in zip(order, draw(edited.attribute, order), strict=True)
    )
