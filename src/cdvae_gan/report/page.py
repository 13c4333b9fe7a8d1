"""A page of sections, as one HTML file without anything outside it, and as Markdown.

Texts may hold ``**bold**``, ```code``` and ``[links](address)``; all else is shown as it is, so
names of files and attributes need no care.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cdvae_gan.errors import InputError
from cdvae_gan.figures import grid
from cdvae_gan.files import write_whole
from cdvae_gan.report.plots import COLORS, Intervals, Plot

__all__ = ["Cell", "Page", "Row", "Section"]

Pixels = NDArray[np.uint8]
Store = Callable[[str, bytes], str]
"""Keeps a file of a suffix and says how Markdown refers to it."""


class Cell(NamedTuple):
    """A cell of a table: its text, a smaller one below, and how it is meant.

    ``kind`` is empty, ``good``, ``bad`` or ``muted``.
    """

    text: str
    detail: str = ""
    kind: str = ""


Row = Sequence[Cell | str]
"""Of a table; the first cell is the row's name."""


class Fact(NamedTuple):
    """A figure that stands out."""

    name: str
    value: str
    detail: str = ""


class _Block(Protocol):
    """A part of a section."""

    def html(self) -> str: ...

    def markdown(self, store: Store) -> str: ...


@dataclass(frozen=True)
class _Text:
    text: str
    kind: str = ""

    def html(self) -> str:
        mark = f' class="{self.kind}"' if self.kind else ""
        return f"<p{mark}>{_inline(self.text)}</p>"

    def markdown(self, store: Store) -> str:
        return f"> **Note:** {self.text}" if self.kind == "warning" else self.text


@dataclass(frozen=True)
class _Heading:
    text: str

    def html(self) -> str:
        return f"<h3>{_inline(self.text)}</h3>"

    def markdown(self, store: Store) -> str:
        return f"### {self.text}"


@dataclass(frozen=True)
class _Items:
    items: Sequence[str]

    def html(self) -> str:
        return f"<ul>{''.join(f'<li>{_inline(i)}</li>' for i in self.items)}</ul>"

    def markdown(self, store: Store) -> str:
        return "\n".join(f"- {item}" for item in self.items)


@dataclass(frozen=True)
class _Facts:
    facts: Sequence[Fact]

    def html(self) -> str:
        parts = (
            f"<div><dt>{escape(f.name)}</dt><dd>{escape(f.value)}"
            f"{f'<small>{escape(f.detail)}</small>' if f.detail else ''}</dd></div>"
            for f in self.facts
        )
        return f'<dl class="facts">{"".join(parts)}</dl>'

    def markdown(self, store: Store) -> str:
        return "\n".join(f"- {f.name}: **{f.value}** {f.detail}".rstrip() for f in self.facts)


@dataclass(frozen=True)
class _Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    strong: Collection[str]
    muted: Collection[str]
    left: bool

    def html(self) -> str:
        head = "".join(f'<th scope="col">{_name(c)}</th>' for c in self.columns)
        head = f"<thead><tr>{head}</tr></thead>" if any(self.columns) else ""
        body = "".join(self._row(row) for row in self.rows)
        return _figure(
            f'<div class="scroll" tabindex="0"><table{" class=left" if self.left else ""}>'
            f"{head}<tbody>{body}</tbody></table></div>",
            self.caption,
        )

    def markdown(self, store: Store) -> str:
        rule = ["---", *(["---" if self.left else "---:"] * (len(self.columns) - 1))]
        lines = [[_plain(c) for c in self.columns], rule, *map(self._line, self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{table}\n\n{self.caption}" if self.caption else table

    def _line(self, row: Sequence[Cell]) -> list[str]:
        """For Markdown, which has no grey: what stands back is in italics."""
        name = row[0].text
        mark = "**" if name in self.strong else "*" if name in self.muted else ""
        cells = (
            ("*" if cell.kind == "muted" and cell.detail else mark if not i else "", cell)
            for i, cell in enumerate(row)
        )
        return [
            f"{m}{_plain(cell.text)}{m}{f' {_plain(cell.detail)}' if cell.detail else ''}"
            for m, cell in cells
        ]

    def _row(self, row: Sequence[Cell]) -> str:
        name = row[0].text
        kind = "strong" if name in self.strong else "muted" if name in self.muted else ""
        cells = "".join(_cell(c) for c in row[1:])
        mark = f' class="{kind}"' if kind else ""
        return f'<tr{mark}><th scope="row">{_name(name)}{_small(row[0].detail)}</th>{cells}</tr>'


@dataclass(frozen=True)
class _Plot:
    plot: Plot | Intervals
    title: str
    caption: str

    def html(self) -> str:
        legend = self.plot.legend if len(self.plot.legend) > 1 else []
        items = "".join(
            f'<li><i style="background:var(--s{i % len(COLORS)})"></i>{escape(name)}</li>'
            for name, i in legend
        )
        below = f'<ul class="legend">{items}</ul>' if items else ""
        title = f"<h3>{_inline(self.title)}</h3>" if self.title else ""
        return _figure(f"{title}{self.plot.svg()}{below}", self.caption)

    def markdown(self, store: Store) -> str:
        name = store("svg", self.plot.svg().encode())
        title = f"**{self.title}.** " if self.title else ""
        legend = self.plot.legend if len(self.plot.legend) > 1 else []
        colors = ", ".join(f"{n} ({_COLOR_NAMES[i % len(COLORS)]})" for n, i in legend)
        caption = f"{title}{self.caption}{f' {colors}.' if colors else ''}"
        return f"![{self.title or self.caption}]({name})\n\n{caption}"


_COLOR_NAMES = ("blue", "orange", "green", "pink", "olive", "light blue")


@dataclass(frozen=True)
class _Picture:
    image: Image.Image
    caption: str

    def html(self) -> str:
        source = _data("png", _png(self.image))
        return _figure(
            f'<div class="scroll" tabindex="0"><img class="picture" src="{source}" '
            f'alt="{escape(self.caption)}" width="{self.image.width}" '
            f'height="{self.image.height}"></div>',
            self.caption,
        )

    def markdown(self, store: Store) -> str:
        return f"![{self.caption}]({store('png', _png(self.image))})\n\n{self.caption}"


@dataclass(frozen=True)
class _Images:
    rows: Sequence[Sequence[Pixels | None]]
    columns: Sequence[str]
    rows_labels: Sequence[str] | None
    notes: Sequence[Sequence[str | None]] | None
    caption: str

    def html(self) -> str:
        corner = '<th class="corner"></th>' if self.rows_labels else ""
        head = "".join(f'<th scope="col">{_name(c)}</th>' for c in self.columns)
        body = "".join(self._row(i) for i in range(len(self.rows)))
        return _figure(
            f'<div class="scroll" tabindex="0"><table class="images"><thead><tr>{corner}{head}'
            f"</tr></thead><tbody>{body}</tbody></table></div>",
            self.caption,
        )

    def markdown(self, store: Store) -> str:
        picture = grid(
            self.rows, columns=self.columns, rows_labels=self.rows_labels, notes=self.notes
        )
        return f"![{self.caption}]({store('png', _png(picture))})\n\n{self.caption}"

    def _row(self, i: int) -> str:
        name = self.rows_labels[i] if self.rows_labels else ""
        label = f'<th scope="row">{_name(name)}</th>' if self.rows_labels else ""
        notes = self.notes[i] if self.notes else [None] * len(self.columns)
        cells = []
        for pixels, column, note in zip(self.rows[i], self.columns, notes, strict=True):
            alt = escape(" ".join(part for part in (name, column, note) if part))
            image = (
                ""
                if pixels is None
                else f'<img src="{_data("png", _png(Image.fromarray(pixels)))}" alt="{alt}">'
            )
            cells.append(f"<td>{image}{escape(note or '')}</td>")
        return f"<tr>{label}{''.join(cells)}</tr>"


@dataclass
class Section:
    """A part of a page with a title, filled by its methods in order."""

    title: str
    _blocks: list[_Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What a link within the page points to."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    def text(self, text: str) -> None:
        """A paragraph."""
        self._blocks.append(_Text(text))

    def warning(self, text: str) -> None:
        """A paragraph that must not be overlooked."""
        self._blocks.append(_Text(text, "warning"))

    def heading(self, text: str) -> None:
        """A smaller title."""
        self._blocks.append(_Heading(text))

    def items(self, items: Sequence[str]) -> None:
        """A list."""
        self._blocks.append(_Items(tuple(items)))

    def facts(self, facts: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        """Figures that stand out: name, value, and a smaller text such as an interval."""
        self._blocks.append(_Facts([Fact(*f) for f in facts]))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Row],
        *,
        caption: str = "",
        strong: Collection[str] = (),
        muted: Collection[str] = (),
        left: bool = False,
    ) -> None:
        """A table; the first cell of a row is its name.

        Args:
            columns: C labels.
            rows: Of C cells each.
            caption: Below.
            strong: Names of rows that stand out, such as means.
            muted: Names of rows that stand back.
            left: The cells hold words, not numbers.
        """
        cells = [[Cell(c) if isinstance(c, str) else c for c in row] for row in rows]
        for row in cells:
            if len(row) != len(columns):
                raise InputError(f"a row has {len(row)} cells for {len(columns)} columns")
        self._blocks.append(_Table(columns, cells, caption, strong, muted, left))

    def plot(self, plot: Plot | Intervals, *, title: str = "", caption: str = "") -> None:
        """A plot; plots that follow each other stand side by side where there is room."""
        self._blocks.append(_Plot(plot, title, caption))

    def picture(self, image: Image.Image, *, caption: str) -> None:
        """A picture as it is; the caption says what it shows, also to whoever cannot see it."""
        self._blocks.append(_Picture(image, caption))

    def images(
        self,
        rows: Sequence[Sequence[Pixels | None]],
        *,
        columns: Sequence[str],
        rows_labels: Sequence[str] | None = None,
        notes: Sequence[Sequence[str | None]] | None = None,
        caption: str,
    ) -> None:
        """Small images in rows and columns, as `cdvae_gan.figures.grid` has them.

        Args:
            rows: R rows of C images uint8 ``(H, W, 3)``, or None for a blank cell.
            columns: C labels for the top.
            rows_labels: R labels for the left, or None.
            notes: R rows of C short texts below the images, or None.
            caption: Below all.
        """
        self._blocks.append(_Images(rows, columns, rows_labels, notes, caption))

    def html(self) -> str:
        """As part of a page."""
        parts = []
        for are_plots, blocks in groupby(self._blocks, lambda b: isinstance(b, _Plot)):
            inner = "".join(block.html() for block in blocks)
            parts.append(f'<div class="plots">{inner}</div>' if are_plots else inner)
        return (
            f'<section id="{self.anchor}"><h2>{_inline(self.title)}</h2>{"".join(parts)}</section>'
        )

    def markdown(self, store: Store) -> str:
        """As part of a page."""
        return "\n\n".join([f"## {self.title}", *(b.markdown(store) for b in self._blocks)])


@dataclass
class Page:
    """A report.

    Args:
        title: Of the page.
        lead: A sentence below the title.
        footer: How the page came about: command, versions, seeds.
    """

    title: str
    lead: str = ""
    footer: str = ""
    sections: list[Section] = field(default_factory=list)

    def section(self, title: str) -> Section:
        """A new section at the end."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def html(self) -> str:
        """The whole page. It loads nothing from elsewhere, which it also forbids itself."""
        style = resources.files("cdvae_gan.report").joinpath("style.css").read_text("utf-8")
        links = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in self.sections)
        lead = f'<p class="lead">{_inline(self.lead)}</p>' if self.lead else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{style}</style></head><body><main>"
            f"<header><h1>{escape(self.title)}</h1>{lead}<nav>{links}</nav></header>"
            f"{''.join(s.html() for s in self.sections)}"
            f"<footer>{_inline(self.footer)}</footer></main></body></html>\n"
        )

    def markdown(self, files: str = "figures") -> tuple[str, dict[str, bytes]]:
        """The page as Markdown, and its pictures by their names.

        Args:
            files: Where the pictures will lie, seen from the text.
        """
        pictures: dict[str, bytes] = {}

        def store_of(section: Section) -> Store:
            def store(suffix: str, content: bytes) -> str:
                number = sum(name.startswith(f"{section.anchor}-") for name in pictures) + 1
                name = f"{section.anchor}-{number}.{suffix}"
                pictures[name] = content
                return f"{files}/{name}"

            return store

        parts = [f"# {self.title}", self.lead, *(s.markdown(store_of(s)) for s in self.sections)]
        parts.append(self.footer)
        return "\n\n".join(p for p in parts if p) + "\n", pictures

    def save(self, folder: str | Path, name: str = "report") -> tuple[Path, Path]:
        """Write ``report.html``, ``report.md`` and the pictures of the latter in ``figures/``.

        Returns:
            The paths of the two.

        Raises:
            InputError: The folder cannot be written to.
        """
        folder = Path(folder)
        text, pictures = self.markdown()
        files: dict[str, str | bytes] = {f"{name}.html": self.html(), f"{name}.md": text}
        files |= {f"figures/{n}": content for n, content in pictures.items()}
        try:
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                write_whole(folder / file, content)
        except OSError as error:
            raise InputError(f"cannot write the report to {folder}: {error.strerror}") from None
        return folder / f"{name}.html", folder / f"{name}.md"


_MARKUP = re.compile(r"\*\*(.+?)\*\*|`(.+?)`|\[([^\]]+)\]\((\S+?)\)")


def _inline(text: str) -> str:
    parts, end = [], 0
    for found in _MARKUP.finditer(text):
        parts.append(escape(text[end : found.start()]))
        bold, code, link, address = found.groups()
        if bold:
            parts.append(f"<strong>{escape(bold)}</strong>")
        elif code:
            parts.append(f"<code>{escape(code)}</code>")
        else:
            parts.append(f'<a href="{escape(address)}">{escape(link)}</a>')
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def _name(text: str) -> str:
    """A label that may be broken where its words meet: ``Mouth_Slightly_Open``."""
    return escape(text).replace("_", "_<wbr>")


def _plain(text: str) -> str:
    """Text that Markdown leaves alone inside a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _cell(cell: Cell) -> str:
    mark = f' class="{cell.kind}"' if cell.kind else ""
    return f"<td{mark}>{escape(cell.text)}{_small(cell.detail)}</td>"


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _figure(inner: str, caption: str) -> str:
    below = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
    return f"<figure>{inner}{below}</figure>"


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
