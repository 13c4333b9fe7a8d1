"""The page of all results: what `cdvae_gan.reproduce` has found, suite by suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from cdvae_gan.evaluation.comparison import Comparison, in_short
from cdvae_gan.evaluation.conclusions import conclusions
from cdvae_gan.evaluation.findings import Findings
from cdvae_gan.evaluation.report import (
    by_attribute,
    by_group,
    by_judge,
    inside_the_model,
    provenance_rows,
    realism,
    strength_and_robustness,
    what_moves,
    what_stays,
)
from cdvae_gan.report import Page

__all__ = ["Results", "results_page"]

_CAPTIONS = (
    "Photos drawn by seed, not picked, with every attribute flipped; below each, put on or off, "
    "and how many of the judges see it.",
    "The worst: of each attribute the flips that the judges deny most firmly.",
    "The worst: the flips after which most other attributes read otherwise.",
)


@dataclass(frozen=True)
class Results:
    """Of one suite."""

    title: str
    said: str
    """What was done, in words"""
    found: Findings
    compared: Comparison
    pictures: tuple[Image.Image, ...]
    """Counterfactuals drawn by seed, then failures"""
    drawn: bool
    """The pictures are drawings: nobody is on them"""


def results_page(results: Sequence[Results], command: str, machine: str) -> Page:
    """The page.

    Args:
        results: In order.
        command: What was typed.
        machine: What it ran on.
    """
    page = Page(
        "Results",
        f"Every figure on this page was made by `{command}` on {machine}: the page is written by "
        "that command and never by hand. Brackets are intervals over images, or over "
        "people where it is known who is on a photo.",
    )
    for one in results:
        _suite(page, one)
    return page


def _suite(page: Page, one: Results) -> None:
    found, images = one.found, one.found.about["data"]["images"]
    part = page.section(one.title)
    jury = ", ".join(judge["name"] for judge in found.jury)
    part.text(
        f"n = {images:,} images that took part in no choice; {one.said}. Judges, trained aside: "
        f"{jury}."
    )
    by_attribute(part, found)
    by_judge(page.section(f"{one.title}: the judges"), found)
    what_moves(page.section(f"{one.title}: what else moves"), found)
    if {"strength", "robustness"} & set(found.tables):
        strength_and_robustness(page.section(f"{one.title}: strength and robustness"), found)
    what_stays(page.section(f"{one.title}: what stays"), found)
    if found.networks("realism"):
        realism(page.section(f"{one.title}: realism"), found)
    if found.networks("probe"):
        inside_the_model(page.section(f"{one.title}: inside the model"), found)
    if found.groups:
        by_group(page.section(f"{one.title}: by group"), found)
    compared = one.compared.evaluations[0].about["data"]["images"]
    part = page.section(f"{one.title}: with and without the photo's detail")
    part.text(
        "With the photo's detail (κ = 1) a counterfactual is the photo with its change; the plain "
        "drawing (κ = 0), the paper's form, is what the decoder draws. "
        f"n = {compared:,} of these images, drawn by seed."
    )
    in_short(part, one.compared, 1)
    if one.pictures:
        part = page.section(f"{one.title}: pictures")
        for image, caption in zip(one.pictures, _CAPTIONS, strict=False):
            part.picture(image, caption=caption)
    page.section(f"{one.title}: what cannot be concluded").items(conclusions(found))
    page.section(f"{one.title}: how it was made").table(["", ""], provenance_rows(found), left=True)
