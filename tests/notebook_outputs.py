"""What a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator

from nbformat import NotebookNode


def pictures(notebook: NotebookNode) -> int:
    """How many there are."""
    return sum("image/png" in output.get("data", {}) for output in _outputs(notebook))


def said(notebook: NotebookNode) -> str:
    """What it printed, from the first cell to the last."""
    return "".join(output.get("text", "") for output in _outputs(notebook))


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (output for cell in notebook.cells for output in cell.get("outputs", []))
