"""Run notebooks from their first cell to the last and keep what they show.

    python tools/notebooks.py [NOTEBOOK ...]     all of notebooks/ by default, in place

Each runs in an empty folder of its own. Standard error (progress) is left out of what is kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CELL_SECONDS = 1200  # of one cell: the first build of a simulator takes minutes


def execute(path: Path, folder: Path) -> NotebookNode:
    """The notebook with its outputs, run in `folder`. Raises nbclient's CellExecutionError with the cell and its traceback."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources, ipython_hist_file=""
    ).execute()
    for cell in notebook.cells:
        _tidy(cell)
    return notebook


def _tidy(cell: NotebookNode) -> None:
    """Keep what differs from run to run out of the file."""
    cell.metadata.pop("execution", None)
    if cell.cell_type == "code":
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]


def main() -> None:
    """Run those named, or all."""
    os.environ["EDGELLM_PROGRESS"] = "0"
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        sys.stdout.write(f"{path.name}\n")
        with tempfile.TemporaryDirectory() as folder:
            done = execute(path, Path(folder))
        nbformat.write(done, path)


if __name__ == "__main__":
    main()
