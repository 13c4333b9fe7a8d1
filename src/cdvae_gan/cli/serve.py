"""``cdvae-gan app``: edit photos and audit classifiers in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from cdvae_gan.cli.common import examples

__all__ = ["EXAMPLES", "serve"]

EXAMPLES = examples("cdvae-gan app", "cdvae-gan app --model runs/faces --port 8000 --browser")


def serve(
    model: Annotated[
        str, typer.Option(help="A shipped model, a run's or a model's folder, a hub id.")
    ] = "celeba64",
    host: Annotated[
        str, typer.Option(help="Address to listen on: by default only this machine can connect.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, show_default="first free one from 7860")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open a browser window.")] = False,
) -> None:
    """Edit photos with sliders, and audit classifiers, in the browser.

    Nothing leaves this machine, and what is uploaded is removed when the app ends.
    """
    from cdvae_gan.app import launch

    launch(model, host=host, port=port, browser=browser)
