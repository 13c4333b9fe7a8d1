"""For mkdocs: the environment that the tutorials run in."""

import os


def on_startup(**kwargs: object) -> None:
    # tqdm would ask for ipywidgets on every page, and those fetch scripts from elsewhere.
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
