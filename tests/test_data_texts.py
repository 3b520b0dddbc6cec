"""The text writer with a model that says what it is told, and the shipped plan."""

import json
import random

import pytest
from paraphrase_corpus import Told

from edgellm.data.journal import Journal
from edgellm.data.texts import SHIPPED_PLAN, TextSettings, TextWriter, read_plan, write
from edgellm.errors import ConfigError, UsageError

pytestmark = pytest.mark.train

PLAN = {
    "instruction": "Stories.",
    "names": ["Tom", "Ben"],
    "lists": {"who": ["Tom", "Ben"], "thing": ["ball", "kite", "bell"]},
    "titles": ["{who} and the {thing}", "{who} helps {who}"],
    "examples": [
        ["Tom sits", "Tom sat down. He was tired. He slept."],
        ["Ben runs", "Ben ran far. He got home. He ate."],
    ],
}


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


class Author(Told):
    """Two different short texts about whoever is in the title."""

    def sample(self, prompt, count, seed):
        who = " and ".join(name for name in PLAN["names"] if name in prompt.splitlines()[-1])
        day = "abcdefghijklmnopqrstuvwxyz"[seed % 26]
        self.texts = (f"{who} sat down on {day}. The sun was {day}. All ate {day}.", f"{who} sat.")
        return super().sample(prompt, count, seed)


def build(model, path, plan, **changes):
    settings = TextSettings(**{"prompts": 6, "samples": 2, "shown": 2, "seen_in": 1, **changes})
    return TextWriter(plan, model, Journal(path / "work.jsonl"), settings)


def test_lines_are_title_and_text(tmp_path, plan_file):
    about = write(build(Author(), tmp_path, read_plan(plan_file)), tmp_path / "out.txt")
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert len(lines) == about["lines"] == 6
    assert about["bytes"] == (tmp_path / "out.txt").stat().st_size
    for line in lines:
        title, _, text = line.partition(": ")
        assert text.endswith(".")
        assert all(name in text for name in PLAN["names"] if name in title)
    assert about["rejected"] == {"too short or too long": 6}
    assert json.loads(json.dumps(about)) == json.loads((tmp_path / "out.json").read_text())


def test_prompt(plan_file):
    plan, rng = read_plan(plan_file), random.Random(1)
    prompt = plan.prompt("Tom and the kite", 1, rng)
    assert prompt.startswith("Stories.\n\n")
    assert prompt.endswith(".\n\nTom and the kite:")
    assert prompt.count("\n\n") == 2


def test_a_list_named_twice_gives_two_entries(plan_file):
    plan, rng = read_plan(plan_file), random.Random(1)
    titles = {plan.title(rng) for _ in range(60)}
    assert {"Tom helps Ben", "Ben helps Tom", "Tom and the bell"} <= titles
    assert not {"Tom helps Tom", "Ben helps Ben"} & titles


def test_words_of_too_few_lines_go(tmp_path, plan_file):
    writer = build(Author(), tmp_path, read_plan(plan_file), seen_in=2)
    assert writer.run() == []
    assert writer.rejected["rare words"] == 6


def test_work_goes_on_where_it_stopped(tmp_path, plan_file):
    plan = read_plan(plan_file)
    first = build(Author(), tmp_path, plan, prompts=4).run()
    model = Author()
    assert build(model, tmp_path, plan).run()[:4] == first
    assert len(model.prompts) == 2


def test_unlikely_and_unfinished(tmp_path, plan_file):
    for number, (model, reason) in enumerate(
        ((Told("x", finished=False), "cut off"), (Told("x", log_likelihood=-3.0), "unlikely"))
    ):
        writer = build(model, tmp_path / str(number), read_plan(plan_file))
        assert writer.run() == []
        assert +writer.rejected == {reason: 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titles": []}, "titles and examples must not be empty"),
        ({"titles": ["{who} {who} {who}"]}, r"title '\{who\} \{who\} \{who\}' needs 3 entries in lists.who"),
        ({"titles": ["{place}"]}, r"title '\{place\}' needs 1 entries in lists.place"),
        ({"lists": []}, "a field has the wrong shape"),
        ({"examples": [["only a title"]]}, "a field has the wrong shape"),
        ({"names": None}, "a field has the wrong shape"),
    ],
)
def test_wrong_plans(tmp_path, change, message):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN | change))
    with pytest.raises(ConfigError, match=rf"plan.json: {message}"):
        read_plan(path)


def test_missing_field_file_and_syntax(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(ConfigError, match=r"plan.json: no such plan file"):
        read_plan(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"plan.json: not JSON"):
        read_plan(path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"plan.json: field 'instruction' is missing"):
        read_plan(path)


def test_settings():
    with pytest.raises(UsageError, match="prompts must be at least 1, not 0"):
        TextSettings(prompts=0)


def test_the_shipped_plan_and_its_examples_pass_the_checks(tmp_path):
    plan = read_plan(SHIPPED_PLAN)
    checks = TextWriter(plan, Told(), Journal(tmp_path / "work"), TextSettings()).checks
    assert [checks.reason(text, title) for title, text in plan.examples] == [None] * len(plan.examples)
    rng = random.Random(0)
    assert len({plan.title(rng) for _ in range(1000)}) > 400
