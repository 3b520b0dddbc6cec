"""The text writer with a model that says what it is told, and the shipped plan."""

import json

import pytest
from paraphrase_corpus import Told

from edgellm.data.journal import Journal
from edgellm.data.texts import SHIPPED_PLAN, TextSettings, TextWriter, read_plan, write
from edgellm.errors import ConfigError, UsageError

pytestmark = pytest.mark.train

PLAN = {
    "prompt": "Stories.\n{title}",
    "titles": ["{who} and the {thing}.", "{who} helps {who}."],
    "lists": {"who": ["Tom", "Ben"], "thing": ["ball", "kite", "bell"]},
    "names": ["Tom", "Ben"],
    "sentences": [3, 8],
}


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


class Author(Told):
    """Two texts about everything in the title, one of them too short."""

    def sample(self, prompt, count, seed):
        who = " ".join(word.strip(".") for word in prompt.splitlines()[-1].split())
        day = "abcdefghijklmnopqrstuvwxyz"[seed % 26]
        self.texts = (f"{who} sat down on {day}. The sun was {day}. All ate {day}.", f"{who} sat.")
        return super().sample(prompt, count, seed)


def build(model, path, plan, **changes):
    settings = TextSettings(**{"prompts": 6, "samples": 2, "seen_in": 1, "least": -1.5, **changes})
    return TextWriter(plan, model, Journal(path / "work.jsonl"), settings)


def test_lines_are_title_and_text(tmp_path, plan_file):
    about = write(build(Author(), tmp_path, read_plan(plan_file)), tmp_path / "out.txt")
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert len(lines) == about["lines"] == 6
    assert about["bytes"] == (tmp_path / "out.txt").stat().st_size
    for line in lines:
        title, _, text = line.partition(". ")
        assert text.startswith(title)
        assert text.endswith(".")
    assert about["rejected"] == {"too short or too long": 6}
    assert about == json.loads((tmp_path / "out.json").read_text())


def test_every_title_once_and_no_entry_twice_in_one(plan_file):
    titles = dict(read_plan(plan_file).all_titles())
    assert len(titles) == 2 * 3 + 2
    assert titles["Tom and the bell."] == ("Tom", "bell")
    assert {"Tom helps Ben.", "Ben helps Tom."} <= set(titles)


def test_words_of_too_few_lines_go(tmp_path, plan_file):
    writer = build(Author(), tmp_path, read_plan(plan_file), seen_in=2)
    assert writer.run() == []
    assert writer.rejected["rare words"] == 6


def test_words_that_become_rare_by_that_stay(tmp_path, plan_file):
    writer = build(Author(), tmp_path, read_plan(plan_file), seen_in=2)
    chain = ["one two", "two three", "three four", "four five", "five five"]
    assert writer._common_words_only(chain) == chain[1:]


def test_nothing_kept_is_an_error_and_leaves_no_file(tmp_path, plan_file):
    writer = build(Author(), tmp_path, read_plan(plan_file), seen_in=2)
    expected = r"out.txt: no text passed the checks \(too short or too long 6, rare words 6\): raise prompts or samples"
    with pytest.raises(UsageError, match=expected):
        write(writer, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


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
        ({"titles": []}, "titles must not be empty"),
        ({"prompt": "no place"}, r"prompt has no \{title\} in it"),
        ({"titles": ["{place}"]}, r"title '\{place\}' needs entries in lists.place"),
        ({"lists": []}, "a field has the wrong shape"),
        ({"sentences": [1]}, "a field has the wrong shape"),
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
    with pytest.raises(ConfigError, match=r"plan.json: field 'lists' is missing"):
        read_plan(path)


def test_settings():
    with pytest.raises(UsageError, match="prompts must be at least 1, not 0"):
        TextSettings(prompts=0)


def test_the_shipped_plan():
    titles = dict(read_plan(SHIPPED_PLAN).all_titles())
    assert len(titles) > 2000
    assert titles["How do I clean a fork?"] == ("a fork",)
