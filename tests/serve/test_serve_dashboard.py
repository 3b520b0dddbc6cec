"""The Grafana dashboard asks only for metrics that there are, in ways that their kinds allow."""

import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import parser

from edgellm.serve.cache.responses import CacheFigures
from edgellm.serve.cache.stores import Figures
from edgellm.serve.metrics import Looks, Metrics
from edgellm.serve.orders import WorkerState

FILE = Path(__file__).parents[2] / "deploy" / "grafana-dashboard.json"
DASHBOARD = json.loads(FILE.read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
NAME = re.compile(r"\b(?:edgellm:|process_)\w+")


def full():
    """Every sample name, with its labels, of a service in which everything has happened."""
    metrics = Metrics()
    tally = metrics.tally("toy")
    tally.finished["stop"] = tally.failed["Overloaded"] = 1
    worker = SimpleNamespace(name="native-0", backend="native", state=lambda: WorkerState(True))
    pool, queue = SimpleNamespace(moved=1, hedged=1), SimpleNamespace(running=1, waiting=1)
    looks = Looks(lambda: [worker], lambda: queue, lambda: pool, lambda: {"native-0": 1})
    metrics.watch("toy", looks)
    figures = CacheFigures("sqlite", "", 0, Figures(1, 1), Figures(1, 1), 1, 1, 0)
    metrics.watch_cache(SimpleNamespace(queries=Counter(toy=1), hits=Counter(toy=1), figures=lambda: figures))
    metrics.responded(429)
    text, _ = metrics.exposition()
    return {
        sample.name: (family.type, set(sample.labels))
        for family in parser.text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


SAMPLES = full()


def test_there_is_a_panel_for_each_concern():
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Requests", "Latency", "Caches", "Back ends"]
    assert Counter(panel["type"] for panel in PANELS)["heatmap"] == 3


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_names_only_metrics_and_labels_that_exist(expression):
    names = NAME.findall(expression)
    assert names
    for name in names:
        assert name in SAMPLES
    for name, selector in re.findall(r"([\w:]+)\{(\w+)=~", expression):
        assert selector in SAMPLES[name][1]
    for labels in re.findall(r"by \((\w+)\)", expression):
        assert all(labels in SAMPLES[name][1] for name in names)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rates_are_of_counters_and_gauges_are_as_they_are(expression):
    within = set(re.findall(r"(?:rate|increase)\(([\w:]+)", expression))
    for name in NAME.findall(expression):
        gauge = SAMPLES[name][0] == "gauge"
        assert gauge != (name in within), name


def test_every_metric_of_the_service_is_shown():
    """Of a histogram its buckets, of tokens a request the means."""
    shown = {name for expression in EXPRESSIONS for name in NAME.findall(expression)}
    own = {name for name in SAMPLES if name.startswith("edgellm:")}
    parts = {name for name in own if re.search(r"_(bucket|count|sum)$", name)}
    assert own - parts <= shown
    assert {name.rsplit("_", 1)[0] for name in parts} == {name.rsplit("_", 1)[0] for name in parts & shown}


def test_expressions_are_closed():
    for expression in EXPRESSIONS:
        for left, right in ("()", "{}", "[]"):
            assert expression.count(left) == expression.count(right)


def test_the_model_is_chosen_by_a_variable_and_so_is_the_data_source():
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "model"}
    assert NAME.findall(variables["model"]["definition"])[0] in SAMPLES
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert used <= {"datasource", "model", "__rate_interval"}


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    places = Counter()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        places.update(
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        )
    assert set(places.values()) == {1}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
