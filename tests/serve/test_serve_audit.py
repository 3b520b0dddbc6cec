"""The audit of dependencies: a database that does not answer is never taken for good news."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "audit.py"
SPEC = importlib.util.spec_from_file_location("audit", TOOL)
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

WELL = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ([WELL], 0, ["1 of 1 pins were looked up, 0 findings"]),
        ([WELL, BAD], 1, ["b 2: CVE-1, mended in 2.1, 3", "2 of 2 pins were looked up, 1 findings"]),
        (
            [WELL, SKIPPED],
            2,
            [
                "1 of 2 pins were looked up, 0 findings",
                "NOT AUDITED: 1 pins; the database of vulnerabilities did not answer for c",
            ],
        ),
        ("no network", 2, ["NOT AUDITED: no network"]),
    ],
)
def test_what_is_told(answer, code, told):
    assert audit.judged(answer) == (code, told)


def test_a_finding_counts_more_than_what_was_not_looked_up():
    assert audit.judged([BAD, SKIPPED])[0] == 1
    assert audit.judged([])[0] == 2


@pytest.mark.parametrize(
    ("done", "answer"),
    [
        (subprocess.CompletedProcess([], 0, '{"dependencies": []}', ""), []),
        (
            subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no network\n"),
            "ConnectionError: no network",
        ),
        (subprocess.CompletedProcess([], 1, "", ""), "it says nothing"),
    ],
)
def test_what_pip_audit_may_do(monkeypatch, done, answer):
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.asked(audit.PINS) == answer


def test_where_possible(monkeypatch, capsys):
    monkeypatch.setattr(audit, "asked", lambda pins: [SKIPPED])
    assert audit.main([]) == 2
    assert audit.main(["--where-possible"]) == 0
    assert "audit of constraints/serve.txt: NOT AUDITED: 1 pins" in capsys.readouterr().out
    monkeypatch.setattr(audit, "asked", lambda pins: [BAD])
    assert audit.main(["--where-possible"]) == 1
