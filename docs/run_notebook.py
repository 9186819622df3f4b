#!/usr/bin/env python
"""Run docs/quick_start.ipynb from top to bottom, and store in it what it shows.

    python docs/run_notebook.py

The files that it writes go to a temporary folder. Progress bars, and when a cell ran and how often,
are not stored.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "quick_start.ipynb"


def execute(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Run all cells of a notebook in a kernel of its own, which imports this repository's package.

    Args:
        notebook: gets the outputs.
        folder: in which it runs, and writes.

    Raises:
        CellExecutionError: with the cell that failed and its trace.
    """
    os.environ["PYTHONPATH"] = str(ROOT)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]


def main(args: argparse.Namespace) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        try:
            execute(notebook, folder)
        except CellExecutionError as error:
            sys.exit(f"error: {NOTEBOOK.relative_to(ROOT)} does not run\n{error}")
    # The version of the Python that ran it would differ with each machine.
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, NOTEBOOK)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    return argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )


if __name__ == "__main__":
    main(argument_parser().parse_args())
