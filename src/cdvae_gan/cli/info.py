"""``cdvae-gan info``: what a model is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cdvae_gan.cli.common import JsonOutput, examples, open_model, output, print_json

if TYPE_CHECKING:
    from cdvae_gan.model import CDVAEGAN

__all__ = ["EXAMPLES", "info"]

EXAMPLES = examples(
    "cdvae-gan info",
    "cdvae-gan info runs/faces",
    "cdvae-gan info runs/faces --json | jq -r '.attributes[]'",
)


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            show_default=False,
            help="A run's or a model's folder, a hub id, or a shipped model; none to list the "
            "shipped ones.",
        ),
    ] = None,
    as_json: JsonOutput = False,
) -> None:
    """Tell a model's attributes, size, parameters and configuration."""
    if model is None:
        from cdvae_gan.model import shipped_models

        names = shipped_models()
        if as_json:
            print_json({"shipped": names})
        else:
            output().print(f"shipped models: {', '.join(names) or 'none'}")
        return
    network = open_model(model, "cpu")
    described = _describe(network)
    if as_json:
        print_json(described)
    else:
        _show(described)


def _describe(model: CDVAEGAN) -> dict[str, Any]:
    counts = {name: sum(p.numel() for p in n.parameters()) for name, n in model.named_children()}
    return {
        "attributes": list(model.attributes),
        "image_size": model.image_size,
        "exclusive": [list(group) for group in model.config.exclusive],
        "alternatives": [list(group) for group in model.config.alternatives],
        "companions": [list(group) for group in model.config.companions],
        "parameters": {**counts, "total": sum(p.numel() for p in model.parameters())},
        "scale": round(float(model.log_scale.detach().exp()), 6),
        "config": json.loads(model.config.to_json()),
        "licence": model.card.licence if model.card else "",
    }


def _show(described: dict[str, Any]) -> None:
    config, parameters = described["config"], described["parameters"]
    size = described["image_size"]
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    prior = config["prior"] or [0.5] * len(described["attributes"])
    names = (f"{n} ({p:.0%})" for n, p in zip(described["attributes"], prior, strict=True))
    table.add_row("attributes", ", ".join(names))
    groups = "; ".join(", ".join(group) for group in described["exclusive"])
    table.add_row("exclusive", groups or "none")
    instead = "; ".join(f"{n} by {', '.join(o)}" for n, *o in described["alternatives"])
    table.add_row("replaced", instead or "none")
    along = "; ".join(f"{n}=0: {', '.join(o)}" for n, *o in described["companions"])
    table.add_row("companions", along or "none")
    reach = config["reach"] or [(1, 1)] * len(described["attributes"])
    far = zip(described["attributes"], reach, strict=True)
    table.add_row("reach", ", ".join(f"{name} {on:g} on, {off:g} off" for name, (on, off) in far))
    table.add_row("images", f"{size} × {size} pixels")
    u = f", u of {config['u_channels']} × {size // 4} × {size // 4}" if config["u_channels"] else ""
    table.add_row("latents", f"z of {config['z_dim']}{u}")
    table.add_row(
        "parameters",
        f"{parameters['total']:,} ("
        + ", ".join(f"{name} {n:,}" for name, n in parameters.items() if name != "total")
        + ")",
    )
    table.add_row("scale s", f"{described['scale']:g}")
    others = ("width", "mask_channels", "gate_channels", "detail", "faint")
    table.add_row("configuration", ", ".join(f"{k} {config[k]}" for k in others if k in config))
    if described["licence"]:
        table.add_row("licence", described["licence"])
    output().print(table)
