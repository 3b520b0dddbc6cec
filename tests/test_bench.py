"""What `edgellm bench` measures, keeps and compares: on devices whose times and cycles are known."""

import dataclasses
import json

import pytest
from evaluation_model import write_model
from toy import Parrot

from edgellm.bench import compare, measure, results, tables
from edgellm.bench.measure import Bench, prompts
from edgellm.bench.plan import Case, Plan
from edgellm.bench.results import MEASURED, Percentiles, Result, Row
from edgellm.bench.stopwatch import TimedDevice
from edgellm.cli.main import main
from edgellm.errors import BackendFailed, UsageError
from edgellm.runtime.device import Traits
from edgellm.runtime.registry import BACKENDS

CLOCK = 1e6


class Counting(Parrot):
    """Counts cycles: 50 to the first token, 10 between tokens."""

    name = "sim"

    def __init__(self):
        super().__init__(b"abcdefgh" * 4)
        self.traits = Traits(4, logits=False, clock_hz=CLOCK)

    def counters(self, slot):
        return {"cycles": 100.0, "cycles_first_token": 50.0, "cycles_per_token": 10.0}


class Real(Counting):
    name = "fpga"


@dataclasses.dataclass
class Opens:
    device: object

    def open(self, model):
        return self.device


def row(backend="native", speeds=(100.0, 101.0, 102.0), p50=10.0):
    latency = Percentiles(p50, 2 * p50, 3 * p50)
    return Row(backend, Case(1, 4, 8), MEASURED, latency, latency, list(speeds), 0.1, None, 0.9)


def result(*rows, sha256="0" * 64, machine=None):
    return Result("m", sha256, machine or {"processor": "p"}, "2026-01-01", list(rows))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batches": ()}, "--batch is empty: give numbers from 1 on"),
        ({"prompts": (4, 0)}, "--prompt is 4,0: give numbers from 1 on"),
        ({"tokens": 1}, "--tokens is 1: a latency between tokens takes at least 2"),
        ({"repeats": 0}, "--repeats is 0: measure at least once"),
    ],
)
def test_a_plan_that_cannot_be_measured_is_refused(change, said):
    with pytest.raises(UsageError) as refused:
        Plan(**change)
    assert str(refused.value) == said


def test_cases_are_every_combination_once_and_fit_in_the_context():
    plan = Plan((8, 1, 8), (5, 3), 10)
    assert list(plan.cases(14)) == [Case(1, 3, 10), Case(1, 5, 10), Case(8, 3, 10), Case(8, 5, 10)]
    with pytest.raises(UsageError, match=r"5 tokens of prompt and 10 generated ones do not fit in .* of 13"):
        list(plan.cases(13))


def test_prompts_are_the_same_every_time_and_share_no_beginning():
    made = prompts(Case(8, 20, 5), 32)
    assert made == prompts(Case(8, 20, 5), 32)
    assert {len(prompt) for prompt in made} == {20}
    assert len({prompt[0] for prompt in made}) == 8
    assert all(0 <= token < 32 for prompt in made for token in prompt)


def test_cycles_become_times_at_the_clock_where_the_device_is_simulated():
    case = Case(2, 4, 6)
    with Bench(Opens(Counting()), None) as bench:
        bench.run(case)
        found = bench.row(case)
    assert found.tag == "simulated, projected at 1 MHz"
    assert found.ttft == Percentiles(50.0, 50.0, 50.0)
    assert found.itl == pytest.approx(Percentiles(10.0, 10.0, 10.0))
    assert found.speed == pytest.approx(12 / 100e-6)
    assert (found.host, found.transfer, found.device, found.cycles_per_token) == (0.0, 0.0, 1.0, 10.0)


def test_a_real_device_splits_its_calls_by_the_cycles_it_counted():
    case = Case(1, 4, 6)
    with Bench(Opens(Real()), None) as bench:
        bench.run(case, keep=False)
        bench.run(case)
        found = bench.row(case)
    assert found.tag == MEASURED
    assert found.host + found.transfer + found.device == pytest.approx(1.0)
    assert found.device > 0
    assert len(found.tokens_per_second) == 1


def test_more_prompts_than_a_counting_device_has_slots_are_refused():
    with (
        Bench(Opens(Counting()), None) as bench,
        pytest.raises(UsageError, match="--batch 5: sim has 4 slots"),
    ):
        bench.run(Case(5, 4, 6))


def test_the_stopwatch_runs_in_the_calls_only_and_through_errors():
    class Slow(Parrot):
        def poll(self, timeout):
            raise BackendFailed("broken")

    timed = TimedDevice(Slow(b"a"))
    assert timed.seconds == 0.0
    with pytest.raises(BackendFailed):
        timed.poll(0.0)
    assert timed.seconds > 0.0
    timed.restart()
    assert timed.seconds == 0.0


def test_what_breaks_down_is_told_and_not_measured():
    class Broken(Parrot):
        def poll(self, timeout):
            raise BackendFailed("the device is stuck")

    with Bench(Opens(Broken(b"a")), None) as bench, pytest.raises(BackendFailed, match="stuck"):
        bench.run(Case(1, 4, 6))


def test_a_run_is_the_same_out_of_its_file(tmp_path):
    kept = result(row(), row("cpu", (1.0,)))
    results.write(kept, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == kept


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("{", "not a readable result of edgellm bench"),
        ("[]", "not a result of this edgellm bench"),
        ('{"format": 99}', "not a result of this edgellm bench"),
        ('{"format": 1, "model": "m"}', "a field is missing or wrong"),
        (
            '{"format": 1, "model": "m", "sha256": "", "machine": {}, "date": "", "rows": [{}]}',
            "missing or wrong",
        ),
    ],
)
def test_a_file_that_is_no_run_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=said) as refused:
        results.read(path)
    assert "r.json" in str(refused.value)


def test_a_change_counts_when_it_leaves_the_spread_of_both_runs():
    def verdict(old, new):
        return compare.compare(result(row(speeds=old)), result(row(speeds=new))).changes[0].verdict

    assert verdict((100, 101, 102), (110, 111, 112)) == "faster"
    assert verdict((110, 111, 112), (100, 101, 102)) == "slower"
    assert verdict((80, 101, 130), (90, 111, 112)) == "same"
    assert verdict((100, 100, 100), (101, 101, 101)) == "same"  # under 2 %


def test_a_comparison_says_what_makes_the_runs_differ():
    old = result(row(), row("cpu"), sha256="a" * 64)
    new = result(row(p50=20.0), machine={"processor": "q"})
    found = compare.compare(old, new)
    assert [change.backend for change in found.changes] == ["native"]
    assert (found.changes[0].ttft, found.changes[0].itl) == (2.0, 2.0)
    assert found.notes == [
        "different models: m aaaaaaaa and m 00000000",
        "different machines: processor p and q",
        "1 row is in one of the runs only",
    ]
    with pytest.raises(UsageError, match="no case on the same back end in common"):
        compare.compare(result(row()), result(row("cpu")))


def test_tables_have_a_cell_for_every_column():
    found = result(row(), dataclasses.replace(row("cpu"), transfer=0.25))
    lines = tables.run(found)
    assert [len(line) for line in lines] == [len(tables.RUN)] * 2
    assert [line[tables.RUN.index("transfer %")] for line in lines] == ["-", 25.0]
    changes = tables.comparison(compare.compare(found, found))
    assert [len(line) for line in changes] == [len(tables.COMPARISON)] * 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "noise")


SMALL = ["--backend", "golden,native", "--batch", "1,2", "--prompt", "4", "--tokens", "4", "--repeats", "2"]


def test_the_command_measures_keeps_and_compares(model, tmp_path, capsys):
    kept = str(tmp_path / "r.json")
    assert main(["bench", str(model), *SMALL, "-o", kept]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()[4:8]] == [
        ["golden", "1", "4"],
        ["native", "1", "4"],
        ["golden", "2", "4"],
        ["native", "2", "4"],
    ]
    assert main(["bench", "--compare", kept, kept, "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert [change["verdict"] for change in changes] == ["same"] * 4


def test_the_command_prints_json(model, capsys):
    assert main(["bench", str(model), *SMALL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["python"]
    assert [len(row["tokens_per_second"]) for row in found["rows"]] == [2] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a MODEL to measure, or --compare OLD NEW"),
        (["m", "--compare", "a", "b"], "--compare takes two results and no model: leave out 'm'"),
        (["home-260k", "--backend", "tpu"], "back end 'tpu' does not exist"),
    ],
)
def test_the_command_refuses_by_name(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_back_ends_are_those_of_auto_but_the_judge():
    from edgellm.cli import bench

    assert "golden" not in [backend.name for backend in bench._backends(None)]
    assert bench._backends("golden, golden") == [BACKENDS["golden"]]


def test_measuring_leaves_out_the_warm_up(model):
    found = measure.measure(model, [BACKENDS["golden"]], Plan((1,), (4,), 4, repeats=3))
    assert [len(entry.tokens_per_second) for entry in found.rows] == [3]
