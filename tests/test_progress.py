"""Progress lines: on a terminal, in a log, when the work is stopped."""

import io

import pytest

from edgellm import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_last_line_with_fields():
    out = io.StringIO()
    with progress.track("Training", total=4, stream=out) as bar:
        bar.advance(4, loss=0.12345, tokens=12345.0)
    assert out.getvalue() == f"Training  [{'#' * 24}] 100%  0:00  loss 0.1235  tokens 12,345\n"


def test_a_terminal_line_is_redrawn(monkeypatch):
    now = iter([0.0, 5.0, 6.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    out = Terminal()
    with progress.track("Work", total=10, stream=out) as bar:
        bar.advance(5)
    first, second = out.getvalue().split("\r")[1:]
    assert first.startswith("Work  [############            ]  50%  0:05 left 0:05")
    assert second.endswith("\n")


def test_time_left_counts_only_what_was_done_now(monkeypatch):
    """Resumed at 80 of 100: 10 more in 5 seconds leave 10, not 90, to do."""
    now = iter([0.0, 5.0, 6.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    out = Terminal()
    with progress.track("Work", total=100, stream=out, done=80) as bar:
        bar.advance(10)
    assert "90%  0:05 left 0:05" in out.getvalue().split("\r")[1]


def test_stopped_work_says_so():
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), progress.track("Work", total=10, stream=out):
        raise KeyboardInterrupt
    assert out.getvalue().endswith("stopped\n")


def test_unknown_total_and_quiet(monkeypatch):
    out = io.StringIO()
    with progress.track("Work", stream=out) as bar:
        bar.advance(3)
    assert out.getvalue() == "Work  0:00\n"
    monkeypatch.setenv("EDGELLM_PROGRESS", "0")
    out = io.StringIO()
    with progress.track("Work", stream=out):
        pass
    assert out.getvalue() == ""


def test_clock():
    assert [progress.clock(s) for s in (5, 95, 3725)] == ["0:05", "1:35", "1:02:05"]
