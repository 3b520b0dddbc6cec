"""The picture of a run: every row is in it, and simulated ones are told apart."""

import pytest

from edgellm.bench import picture
from edgellm.bench.plan import Case
from edgellm.bench.results import MEASURED, Percentiles, Result, Row

pytestmark = pytest.mark.train  # matplotlib


def rows():
    fast, slow = Percentiles(30.0, 40.0, 50.0), Percentiles(900.0, 1000.0, 1100.0)
    yield Row("native", Case(1, 16, 8), MEASURED, slow, fast, [100.0], 0.1, None, 0.9)
    yield Row("sim", Case(1, 16, 8), "simulated, projected at 200 MHz", slow, fast, [1e5], 0.0, 0.0, 1.0)


def test_every_row_is_in_it(tmp_path):
    result = Result("m", "0" * 64, {}, "2026-01-01", list(rows()))
    chart = picture.figure(result)
    labels = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert labels == ["sim*  batch 1, prompt 16", "native  batch 1, prompt 16"]
    assert "* simulated, projected at 200 MHz" in chart.get_suptitle()
    shares = [patch.get_width() for patch in chart.axes[3].patches]
    assert shares == pytest.approx([0.0, 10.0, 0.0, 0.0, 100.0, 90.0])
    picture.draw(result, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_latency_of_zero_has_no_logarithm():
    none = Percentiles(0.0, 0.0, 0.0)
    result = Result(
        "m", "", {}, "", [Row("native", Case(1, 1, 2), MEASURED, none, none, [1.0], 0.0, None, 1.0)]
    )
    assert picture.figure(result).axes[1].get_xscale() == "linear"
