"""What the log tells of a request besides its path and status: whoever knows something adds it.

Nothing that a client wrote belongs here, but its name.
"""

from __future__ import annotations

from contextvars import ContextVar

Note = str | int | float | bool
_notes: ContextVar[dict[str, Note] | None] = ContextVar("edgellm_notes", default=None)


def begin() -> dict[str, Note]:
    """A request begins here; the tasks that it starts share what is returned."""
    notes: dict[str, Note] = {}
    _notes.set(notes)
    return notes


def note(**fields: Note) -> None:
    """Add or replace; nothing happens outside a request."""
    notes = _notes.get()
    if notes is not None:
        notes.update(fields)


def add(**counts: int) -> None:
    """Add to counts: a request may have several answers."""
    notes = _notes.get()
    if notes is not None:
        for name, count in counts.items():
            notes[name] = int(notes.get(name, 0)) + count
