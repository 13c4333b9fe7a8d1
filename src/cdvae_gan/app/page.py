"""What is seen of the app: a Gradio page. All work is done by `cdvae_gan.app.session`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from cdvae_gan.app.session import (
    EVERY,
    Photo,
    Settings,
    audited,
    command,
    edited,
    flips,
    opened,
    positions,
    shown,
    with_value,
)
from cdvae_gan.editing import EditedPhoto
from cdvae_gan.errors import InputError
from cdvae_gan.model import CDVAEGAN, load
from cdvae_gan.packages import file_of_package

__all__ = ["build", "launch"]

_SIDE = 1024  # of photos on the screen; downloads have all their pixels
_LARGEST_FILE = "20mb"
_KEPT = 900  # seconds, for a download that was not fetched
_CSS = """
.gradio-container {max-width: 1100px !important; margin: auto; overflow: clip !important}
#status {min-height: 1.6em}
#command textarea {font-family: monospace}
#edit {display: grid; gap: 16px; grid-template: "take controls" "result controls"
  "keep controls" 1fr / minmax(0, 3fr) minmax(0, 2fr)}
#take {grid-area: take} #result {grid-area: result}
#keep {grid-area: keep} #controls {grid-area: controls}
@media (max-width: 720px) {
  #edit {grid-template: "take" "result" "controls" "keep" / minmax(0, 1fr)}
  #result {position: sticky; top: 0; z-index: 1000; gap: 0; background: var(--body-background-fill)}
  #result img {max-height: 34vh}
  #controls input {scroll-margin-top: 60vh}
}
"""
_HEAD = '<meta name="viewport" content="width=device-width, initial-scale=1">'
_ABOUT = """# Counterfactual photos
What would this face look like with glasses, smiling, with other hair?
The photo stays on this machine and is removed when the app ends."""
_FIRST = "Upload a photo, take one, or choose the example."


def build(model: CDVAEGAN, name: str, folder: Path) -> Any:
    """The page, as Gradio's ``Blocks``.

    Args:
        model: What edits.
        name: Of the model, as the command line takes it.
        folder: For downloads; who calls removes it.

    Raises:
        InputError: Gradio is missing.
    """
    gr = _gradio()
    measured = model.deception
    with gr.Blocks(
        title="Counterfactual photos", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)
    ) as page:
        gr.Markdown(_ABOUT)
        with gr.Tab("Edit a photo"):
            _edit_tab(gr, model, name, measured, folder)
        with gr.Tab("Audit a classifier"):
            _audit_tab(gr, model, folder)
    return page


def launch(
    model: str | Path = "celeba64",
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = False,
    block: bool = True,
) -> Any:
    """Show the app until it is stopped.

    Everything that is uploaded or made lies in a temporary folder, which is removed when the
    app ends, by Ctrl-C or SIGTERM, or with the program where it does not wait.

    Args:
        model: What :func:`cdvae_gan.load` takes.
        host: Address to listen on; only this machine by default.
        port: None for the first free one from 7860.
        browser: Open a browser window.
        block: Wait until it is stopped; else return the running page at once.

    Raises:
        InputError: There is no such model, Gradio is missing, or the port is taken.
    """
    network = load(model)
    temporary = tempfile.TemporaryDirectory(prefix="cdvae-gan-app-")
    if block:
        signal.signal(signal.SIGTERM, _stop)
    # Read by Gradio when it is imported and when files arrive.
    os.environ["GRADIO_TEMP_DIR"] = temporary.name
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    gr = _gradio()
    page = build(network, str(model), Path(temporary.name))
    page.temporary = temporary  # lives as long as the page: it is removed with its last reference
    try:
        page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            allowed_paths=[str(e) for e in [_example()] if e is not None],
            max_file_size=_LARGEST_FILE,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            footer_links=[],
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=_CSS,
            head=_HEAD,
            ssr_mode=False,
        )
    except OSError:
        taken = "all ports from 7860 on are" if port is None else f"port {port} is"
        raise InputError(f"{taken} taken: give a free one, --port") from None
    if block:
        print(f"the app is at {page.local_url}, Ctrl-C ends it", flush=True)
        try:
            page.block_thread()
        finally:
            temporary.cleanup()
    return page


def _stop(*_: object) -> None:
    """SIGTERM ends a process at once, and would leave what was uploaded."""
    sys.exit(128 + signal.SIGTERM)


def _edit_tab(
    gr: Any, model: CDVAEGAN, name: str, measured: dict[str, float], folder: Path
) -> None:
    photo, do, last = gr.State(None), gr.State({}), gr.State(None)
    there = gr.State([0.0] * len(model.attributes))
    with gr.Row(elem_id="edit"):
        with gr.Column(elem_id="take"):
            upload = gr.Image(
                label="Photo",
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                image_mode=None,
                height=260,
                elem_id="upload",
            )
            # Gradio would read the file, and say in its own words what is wrong with it.
            upload.preprocess = _path
            example = _example()
            if example is not None:
                gr.Examples([[str(example)]], [upload], label="Example: Eileen Collins, by NASA")
            status = gr.Markdown(_FIRST, elem_id="status")
        with gr.Column(elem_id="result"):
            result = gr.ImageSlider(
                label="Before and after", type="pil", interactive=False, max_height=560
            )
            line = gr.Slider(
                0,
                100,
                value=50,
                step=5,
                label="Before, to the left of … %",
                elem_id="line",
                buttons=[],
            )
        with gr.Column(elem_id="controls"):
            with gr.Row():
                face = gr.Dropdown([EVERY], value=EVERY, label="Face", min_width=120)
                reset = gr.Button("Start again", min_width=120, elem_id="reset")
            sliders = [
                gr.Slider(
                    0,
                    1,
                    value=0,
                    step=0.05,
                    label=_label(attribute, measured),
                    elem_id=f"do-{attribute}",
                    interactive=True,
                    buttons=[],
                )
                for attribute in model.attributes
            ]
            strength = gr.Slider(
                0, 1, value=1, step=0.05, label="Strength of the whole edit", buttons=[]
            )
            detail = gr.Slider(
                0,
                1,
                value=model.config.detail,
                step=0.05,
                label="Detail of the photo that is kept",
                buttons=[],
            )
            with gr.Accordion("What the model reads", open=False):
                table = gr.Dataframe(headers=["attribute", "before", "after"], interactive=False)
        with gr.Column(elem_id="keep"):
            save = gr.DownloadButton(
                "Download the photo (PNG, all its pixels)", interactive=False, elem_id="download"
            )
            words = gr.Textbox(label="The same, as a command", interactive=False, elem_id="command")
    with gr.Accordion("All single flips", open=False):
        every = gr.Button("Show them", elem_id="show-flips")
        gallery = gr.Gallery(columns=5, height="auto", label="Each attribute flipped by itself")

    shown_outputs = [last, result, status, words, table]
    settings = [photo, do, face, strength, detail]

    def take(path: str | None) -> tuple[Any, ...]:
        none = [0.0] * len(sliders)
        still = (None, {}, none, *(gr.update(value=0) for _ in sliders), gr.update(), None, None)
        if path is None:
            return (*still, _FIRST, "", None)
        try:
            found, first = opened(path, model)
        except InputError as error:
            return (*still, f"**{error}**", "", None)
        numbers = [str(i) for i in range(1, len(found.faces) + 1)]
        read = [float(round(float(p))) for p in first.counterfactuals.before[0]]
        return (
            found,
            {},
            read,
            *(gr.update(value=p) for p in read),
            gr.update(choices=[EVERY, *numbers], value=EVERY),
            *_shown(found, first, command(found, Settings({}), name)),
        )

    def show(
        found: Photo | None, wanted: dict[str, float], which: str, much: float, kept: float
    ) -> tuple[Any, ...]:
        if found is None:
            return None, None, f"**{_FIRST}**", "", None
        now = Settings(wanted, which, much, kept)
        try:
            after = edited(found, now, model)
        except InputError as error:
            return None, gr.update(), f"**{error}**", gr.update(), gr.update()
        return _shown(found, after, command(found, now, name))

    def file(found: Photo | None, after: EditedPhoto | None) -> Any:
        if found is None or after is None:
            return gr.update(value=None, interactive=False)
        path = folder / uuid4().hex / f"{Path(found.name).stem}-edited.png"
        path.parent.mkdir()
        return gr.update(value=str(after.save(path)), interactive=True)

    def all_flips(
        found: Photo | None, wanted: dict[str, float], which: str, much: float, kept: float
    ) -> Any:
        return [] if found is None else flips(found, Settings({}, which, much, kept), model)

    def set_to(
        attribute: str, value: float, wanted: dict[str, float], read: list[float]
    ) -> tuple[Any, ...]:
        now = with_value(wanted, attribute, value, model)
        before, after = (positions(d, read, model) for d in (wanted, now))
        moved = [
            gr.update(value=new) if new != old and name != attribute else gr.skip()
            for name, old, new in zip(model.attributes, before, after, strict=True)
        ]
        return now, *moved

    def then_saved(shown: Any) -> None:
        """The file follows the picture: writing all pixels takes longer than showing few."""
        shown.then(file, [photo, last], save, show_progress="hidden")

    taken = [photo, do, there, *sliders, face, *shown_outputs]
    then_saved(upload.change(take, upload, taken, show_progress="minimal"))
    then_saved(reset.click(take, upload, taken, show_progress="minimal"))
    for slider, attribute in zip(sliders, model.attributes, strict=True):
        moved = slider.input(
            partial(set_to, attribute),
            [slider, do, there],
            [do, *sliders],
            show_progress="hidden",
            queue=False,
        )
        then_saved(moved.then(show, settings, shown_outputs, show_progress="hidden"))
    for control in (face, strength, detail):
        then_saved(control.input(show, settings, shown_outputs, show_progress="hidden"))
    line.input(
        lambda at: gr.update(slider_position=at), line, result, show_progress="hidden", queue=False
    )
    every.click(all_flips, settings, gallery)


def _audit_tab(gr: Any, model: CDVAEGAN, folder: Path) -> None:
    gr.Markdown(
        "Does a classifier's answer change when one attribute of the image changes? Bring an ONNX "
        "file and photos of faces: 20 or more for a conclusion."
    )
    classifier = gr.File(label="Classifier (.onnx)", file_types=[".onnx"], elem_id="classifier")
    photos = gr.File(label="Photos", file_count="multiple", file_types=["image"], elem_id="photos")
    which = gr.CheckboxGroup(list(model.attributes), label="Interventions")
    start = gr.Button("Audit", elem_id="audit")
    report = gr.Markdown(elem_id="report")
    page = gr.DownloadButton("Download the report (HTML)", interactive=False)

    def run(file: str | None, images: list[str] | None, chosen: list[str]) -> tuple[str, Any]:
        try:
            if file is None:
                raise InputError("no classifier: upload a file in .onnx")
            found = audited(file, images or [], chosen, model)
        except InputError as error:
            return f"**{error}**", gr.update(value=None, interactive=False)
        path = folder / uuid4().hex / "audit.html"
        path.parent.mkdir()
        path.write_text(found.html())
        return found.markdown(), gr.update(value=str(path), interactive=True)

    start.click(run, [classifier, photos, which], [report, page])


def _path(payload: Any) -> str | None:
    return None if payload is None else str(payload.path)


def _label(attribute: str, measured: dict[str, float]) -> str:
    """An attribute, and how often edits of it were believed."""
    words = attribute.replace("_", " ")
    if attribute not in measured:
        return f"{words} (not measured)"
    return f"{words} (believed {measured[attribute]:.0%})"


def _said(photo: Photo, result: EditedPhoto) -> str:
    number = len(photo.faces)
    parts = ["1 face found." if number == 1 else f"{number} faces found."]
    parts += [f"{sentence}." for sentence in (*result.notes, *result.counterfactuals.resolved)]
    return " ".join(parts)


def _shown(photo: Photo, result: EditedPhoto, line: str) -> tuple[Any, ...]:
    """An edit, and what is shown of it: the pair, the status, the command, the readings."""
    pair = shown(result.original, _SIDE), shown(result.photo, _SIDE)
    return result, pair, _said(photo, result), line, _table(result)


def _table(result: EditedPhoto) -> list[list[str]]:
    c = result.counterfactuals
    rows = zip(c.attributes, c.before[0].tolist(), c.after[0].tolist(), strict=True)
    return [[name, f"{before:.2f}", f"{after:.2f}"] for name, before, after in rows]


def _example() -> Path | None:
    return file_of_package("skimage", "data", "astronaut.png")


def _gradio() -> Any:
    try:
        import gradio
    except ModuleNotFoundError:
        raise InputError("the app needs Gradio: pip install 'cdvae-gan[app]'") from None
    return gradio
