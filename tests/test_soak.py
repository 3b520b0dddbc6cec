"""Memory stays flat however many requests an engine has served."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("soak.py")
SLACK = 512  # KiB: what an allocator may still grow by between the third tenth of the requests and the last


def residents(*arguments):
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [int(line) for line in run.stdout.split()]


def test_memory_is_flat():
    found = residents("20000")
    assert found[-1] - found[2] <= SLACK, found


@pytest.mark.campaign
@pytest.mark.parametrize(("requests", "backend"), [(100_000, "native"), (10_000, "cpu")])
def test_memory_is_flat_over_many_requests_of_a_shipped_model(requests, backend):
    found = residents(str(requests), backend)
    assert found[-1] - found[2] <= SLACK, found
