"""Hypothesis: the same examples in every run, and no time limits, which a busy machine would break."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "edgellm",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("edgellm")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose `pytestmark` the -m expression excludes is not imported: it needs what this environment lacks."""
    if collection_path.suffix != ".py":
        return None
    excluded = re.findall(r"not (\w+)", config.option.markexpr)
    marks = re.search(r"^pytestmark = (.*)$", collection_path.read_text("utf-8"), re.MULTILINE)
    return True if marks and any(f"mark.{name}" in marks[1] for name in excluded) else None
