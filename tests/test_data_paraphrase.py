"""The paraphrase pipeline with a model that says what it is told."""

import json
from pathlib import Path

import paraphrase_corpus
import pytest
from paraphrase_corpus import Told

from edgellm import downloads
from edgellm.data import paraphrase
from edgellm.data.journal import Journal
from edgellm.data.lexicon import Command
from edgellm.data.paraphrase import Paraphraser, Settings, listed, tidy, write
from edgellm.errors import TrainingError, UsageError

pytestmark = pytest.mark.train

SMALL = Settings(sources=2, samples=3, shown=4, rivals=2, variants=1)


def build(model, path, settings=SMALL):
    return Paraphraser(paraphrase_corpus.rows(), model, Journal(path / "work.jsonl"), settings)


class Speaker(Told):
    """Says a new wording of the last line of the list."""

    def sample(self, prompt, count, seed):
        last = prompt.splitlines()[-2].removeprefix("- ")
        area = next((area for area in paraphrase_corpus.AREAS if area in last), None)
        kind = "lights" if "lights" in last else "fans"
        state = "on" if " on" in last else "off"
        self.texts = (f"{kind} of the {area} {state}",) if area else ()
        return Told.sample(self, prompt, count, seed)


def test_kept_rows_have_the_sources_label_and_the_variants_theirs(tmp_path):
    about = write(build(Speaker(), tmp_path), tmp_path / "out.tsv")
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert len(rows) == about["lines"] == 2 * about["paraphrases"] > 0
    known = {row[1]: row[2] for row in paraphrase_corpus.rows()}
    for text, target, reply in rows:
        intent, area, kind = target.split(" ")[0], target.split(" ")[2], target.split(" ")[-1]
        assert text == f"{kind}s of the {area} {'on' if intent == 'HassTurnOn' else 'off'}"
        assert known[target] == reply
    assert not {row[0] for row in rows} & {row[0] for row in paraphrase_corpus.rows()}


def test_provenance(tmp_path):
    about = write(build(Speaker(), tmp_path), tmp_path / "out.tsv")
    assert about == json.loads((tmp_path / "out.json").read_text())
    assert about["teacher"] == {"name": "told"}
    assert about["settings"]["seed"] == 1
    assert about["prompt"].startswith("Different ways")
    assert set(about["intents"]) == {"HassTurnOff", "HassTurnOn"}


def test_each_rejection_is_counted(tmp_path):
    for model, reason in (
        (Told("turn on", finished=False), "cut off"),
        (Told("turn on", log_likelihood=-9.0), "unlikely"),
        (Told("turn on"), "value lost or doubled"),
    ):
        paraphraser = build(model, tmp_path / reason)
        assert paraphraser.run() == []
        assert +paraphraser.rejected == {reason: 12}


def test_a_text_that_another_label_explains_better_is_rejected(tmp_path):
    class Deaf(Speaker):
        def score(self, prompt, texts):
            return [0.0 for _ in texts]

    paraphraser = build(Deaf(), tmp_path)
    assert paraphraser.run() == []
    assert paraphraser.rejected["other meaning"] > 0


def test_interrupted_work_goes_on_and_ends_the_same(tmp_path):
    whole = write(build(Speaker(), tmp_path / "a"), tmp_path / "a" / "out.tsv")

    class Tired(Speaker):
        def sample(self, prompt, count, seed):
            if len(self.prompts) == 4:
                raise KeyboardInterrupt
            return super().sample(prompt, count, seed)

    with pytest.raises(KeyboardInterrupt):
        build(Tired(), tmp_path / "b").run()
    model = Speaker()
    assert write(build(model, tmp_path / "b"), tmp_path / "b" / "out.tsv") == whole
    assert len(model.prompts) == 8  # of 12
    same = [(tmp_path / name / "out.tsv").read_bytes() for name in "ab"]
    assert same[0] == same[1]


def test_finished_work_needs_no_model(tmp_path):
    build(Speaker(), tmp_path).run()
    model = Speaker()
    build(model, tmp_path).run()
    assert model.prompts == model.scored == []


def test_the_shipped_set():
    """Sound rows, as many as its provenance says, with every copied value in the command."""
    folder = Path(paraphrase.__file__).parent
    raw = (folder / "paraphrases.tsv").read_text()
    about = json.loads((folder / "paraphrases.json").read_text())
    rows = [tuple(line.split("\t")) for line in raw.splitlines()]
    assert len({*rows}) == len(rows) == about["lines"]
    assert about["teacher"]["sha256"] == downloads.TEACHER.sha256
    for row in rows:
        command = Command.of(row)
        assert row[0] == command.text
        for key in ("area", "floor", "name", "item", "message", "search_query"):
            assert key in command.copied or key not in dict(command.slots)


def test_prompt_and_answer():
    assert listed(["a", "b"]).endswith(":\n- a\n- b\n-")
    assert tidy(' "Turn  ON the Lights!" ') == "turn on the lights"


def test_bad_arguments(tmp_path):
    with pytest.raises(UsageError, match="samples must be at least 1, not 0"):
        Settings(samples=0)
    with pytest.raises(TrainingError, match="the corpus has no lines to paraphrase"):
        Paraphraser([], Told(), Journal(tmp_path / "w"), SMALL)
