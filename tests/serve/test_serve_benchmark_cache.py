"""The benchmark of the response cache runs and tells what it says it does."""

import re

import pytest

from benchmarks import response_cache


@pytest.mark.programs
def test_it_tells_of_every_place(monkeypatch, capsys):
    for name, few in (("ENTRIES", 20), ("HITS", 40), ("PORTIONS", 50)):
        monkeypatch.setattr(response_cache, name, few)
    response_cache.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "memory",
        "SQLite",
        "Redis (unix socket)",
        "flights",
        "measures",
    ]
    for line in lines[:3]:
        p50, p99, longest = map(float, re.findall(r"([\d.]+) us", line))
        assert 0 < p50 <= p99 <= longest
