"""The program ``cdvae-gan``: its commands, and how a call ends.

A call ends with exit code 0, or 2 and one line on standard error for what the user can mend, 130
after Ctrl-C, and 1 for an error of the program itself. Tracebacks are shown with ``--debug`` alone.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from cdvae_gan import __version__
from cdvae_gan.cli import (
    audit,
    augment,
    calibrate,
    card,
    compare,
    counterfactual,
    data,
    demo,
    edit,
    evaluate,
    export,
    info,
    judge,
    reproduce,
    retouch,
    sample,
    serve,
    train,
    traverse,
)
from cdvae_gan.cli.common import examples
from cdvae_gan.errors import InputError, needs_torch

__all__ = ["app", "main"]

_NAME = "cdvae-gan"
_WRONG_INPUT, _ERROR, _INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name=_NAME,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "cdvae-gan demo",
        "cdvae-gan train photos/ --attributes Smiling,Eyeglasses --out runs/faces --max-time 1h",
        "cdvae-gan counterfactual runs/faces face.jpg --do Smiling=1 --out out/",
    ),
)
app.add_typer(data.app, name="data")
app.add_typer(judge.app, name="judge")
app.command(epilog=train.EXAMPLES)(train.train)
app.command(epilog=counterfactual.EXAMPLES)(counterfactual.counterfactual)
app.command(epilog=edit.EXAMPLES)(edit.edit)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(epilog=compare.EXAMPLES)(compare.compare)
app.command(epilog=reproduce.EXAMPLES)(reproduce.reproduce)
app.command(epilog=sample.EXAMPLES)(sample.sample)
app.command(epilog=traverse.EXAMPLES)(traverse.traverse)
app.command(epilog=audit.EXAMPLES)(audit.audit)
app.command(epilog=augment.EXAMPLES)(augment.augment)
app.command(epilog=calibrate.EXAMPLES)(calibrate.calibrate)
app.command(epilog=retouch.EXAMPLES)(retouch.retouch)
app.command(epilog=info.EXAMPLES)(info.info)
app.command(epilog=card.EXAMPLES)(card.card)
app.command(epilog=export.EXAMPLES)(export.export)
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(name="app", epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=demo.TRAIN_EXAMPLES)(demo.demo_train)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{_NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere on the line.")
    ] = False,
) -> None:
    """Counterfactual images by attribute: what would this face look like with glasses, smiling?"""


def main(args: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        args: The command line without the program's name; None for that of the process.

    Returns:
        The exit code.
    """
    if f"_{_NAME}_COMPLETE".upper().replace("-", "_") in os.environ:
        app(prog_name=_NAME)  # the shell asks for completions; this does not return
    words = list(sys.argv[1:] if args is None else args) or ["--help"]
    options = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in options
    words = [w for w in options if w != "--debug"] + words[len(options) :]
    try:
        return _run(words)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the flush at exit
        return 0
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            traceback.print_exc()
        code, message = _verdict(error)
        print(f"{_NAME}: {' '.join(message.split())}", file=sys.stderr)
        return code


def _run(words: list[str]) -> int:
    # Not the command's own main, which has other ideas of exit codes and of messages.
    command = typer.main.get_command(app)
    try:
        with command.make_context(_NAME, words) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return int(ended.exit_code)
    return 0


def _verdict(error: BaseException) -> tuple[int, str]:
    """Exit code and message."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _INTERRUPTED, str(error) or "interrupted"
    if isinstance(error, InputError):
        return _WRONG_INPUT, str(error)
    if isinstance(error, ModuleNotFoundError):
        return _WRONG_INPUT, needs_torch("this", error)
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return _WRONG_INPUT, f"{error.strerror or error}{place}"
    # A wrong command line; typer has no public name for this error in all of its versions.
    if (usage := getattr(error, "format_message", None)) is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else _NAME
        return _WRONG_INPUT, f"{usage().rstrip('. ')}; see {command} --help"
    return _ERROR, f"{type(error).__name__}: {error} (--debug shows where)"
