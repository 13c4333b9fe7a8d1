"""How long things take in a real Chromium: edits in the page, the app's opening and edits in it.

    python benchmarks/browser.py [--page FOLDER] [--edits 60] [--rounds 5]

The page is that of ``celeba64``, made anew, or one that ``cdvae-gan export --web`` has made, served
as a plain file server does; each edit flips one attribute by keyboard, and its time is what the
page itself says. The app is started as ``cdvae-gan app``, a process of its own for each round; it
is open when the browser shows where photos go, and an edit is done when the command line beneath
tells of it. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import http.server
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from cdvae_gan.cli import main as command_line
from cdvae_gan.packages import file_of_package

_RESTING = "body[data-ready=true][data-idle=true]"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WARM_UP = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, help="a page that is there; none: made anew")
    parser.add_argument("--edits", type=int, default=60, help="in the page, and half in the app")
    parser.add_argument("--rounds", type=int, default=5, help="of opening the app")
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        folder = options.page or Path(temporary, "page")
        if options.page is None:
            command_line(["export", "celeba64", "--web", str(folder)])
        with served(folder) as address:
            model, whole = page_edits(browser, address, options.edits)
        tell("page, the model alone", model, "ms")
        tell("page, with putting it into the photo", whole, "ms")
        opened, edits = app_times(browser, options.rounds, options.edits // 2)
        tell("app, from the command to the page", opened, "s")
        tell("app, from the key to the edit", edits, "ms")
        browser.close()


def tell(name: str, taken: Sequence[float], unit: str) -> None:
    """Print the median of times, and the middle half of them."""
    low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
    digits = 0 if unit == "ms" else 1
    spread = f"{low:.{digits}f} to {high:.{digits}f}"
    print(f"{name}: median {middle:.{digits}f} {unit} (half of {len(taken)}: {spread})", flush=True)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder's address while it is served."""
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def page_edits(browser: Browser, address: str, edits: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each single flip, of the model alone and until the photo is shown."""
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.goto(address)
    page.wait_for_selector(_RESTING, timeout=120_000)
    sliders = page.locator("[id^=attribute-]")
    model, whole = [], []
    for i in range(edits + _WARM_UP):
        slider = sliders.nth(i % sliders.count())
        slider.press("Home" if float(slider.input_value()) > 0.5 else "End")
        page.wait_for_selector(_RESTING)
        took = page.evaluate("({ ...document.getElementById('time').dataset })")
        model.append(float(took["model"]))
        whole.append(float(took["all"]))
        page.click("#reset")
        page.wait_for_selector(_RESTING)
    page.close()
    return model[_WARM_UP:], whole[_WARM_UP:]


def app_times(browser: Browser, rounds: int, edits: int) -> tuple[list[float], list[float]]:
    """Seconds that each start takes until the page is there, and milliseconds of edits."""
    opened, edited = [], []
    for i in range(rounds):
        with app() as (start, address):
            page = open_app(browser, address)
            opened.append(time.monotonic() - start)
            if i == 0:
                edited = app_edits(page, edits)
            page.close()
    return opened, edited


@contextmanager
def app() -> Iterator[tuple[float, str]]:
    """The app in a process of its own: when it was started, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    command = [sys.executable, "-m", "cdvae_gan", "app", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield start, f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def open_app(browser: Browser, address: str) -> Page:
    """The app's page as soon as it shows where photos go."""
    while True:  # until it listens; a browser that was refused once takes its time to come again
        try:
            urllib.request.urlopen(address).close()
            break
        except OSError:
            time.sleep(0.02)
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.goto(address)
    page.locator("#upload input[type=file]").wait_for(state="attached", timeout=60_000)
    return page


def app_edits(page: Page, edits: int) -> list[float]:
    """Milliseconds from a key pressed on a slider until the edit is told of."""
    page.set_input_files("#upload input[type=file]", str(portrait()))
    page.get_by_text("1 face found").wait_for()
    sliders = page.locator("[id^=do-] input[type=range]")
    taken = []
    for i in range(edits + _WARM_UP):
        words = page.locator("#command textarea").input_value()
        slider = sliders.nth(i % sliders.count())
        slider.focus()
        start = time.monotonic()
        slider.press("Home" if float(slider.input_value()) > 0.5 else "End")
        page.wait_for_function(
            "words => document.querySelector('#command textarea').value !== words",
            arg=words,
            polling=5,
        )
        taken.append(1000 * (time.monotonic() - start))
        page.wait_for_timeout(400)  # the file to download is still written
    return taken[_WARM_UP:]


def portrait() -> Path:
    """The example's photo."""
    path = file_of_package("skimage", "data", "astronaut.png")
    if path is None:
        raise SystemExit("no photo to edit: pip install scikit-image")
    return path


if __name__ == "__main__":
    main()
