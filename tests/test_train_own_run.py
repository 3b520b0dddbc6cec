"""From a plain text to an integer model that goes on with it, all stages."""

import json
import random

import pytest

import edgellm
from edgellm import manifest
from edgellm.train import distill

pytestmark = pytest.mark.train

SHAPE = "vocab = 280\nwidth = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nhead_dim = 8\nffn = 16\ncontext = 32\n"
RECIPE = f"""
name = "tales"
description = "for tests"
[corpus]
kind = "text"
train = "tales.txt"
valid_share = 0.1
special_tokens = ["<scene>"]
licence = "CC0-1.0"
[teacher]
{SHAPE}
[teacher_plan]
tokens = 1500
[student]
{SHAPE}
[student_plan]
tokens = 1500
[qat_plan]
tokens = 1500
distil = 0.5
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("tales")
    rng = random.Random(0)
    names, things = ("fox", "girl", "mill"), ("sang", "slept", "went home")
    lines = [f"The {rng.choice(names)} {rng.choice(things)}. <scene>" * rng.randint(1, 6) for _ in range(80)]
    (place / "tales.txt").write_text("\n".join(f"{line} The end {n}." for n, line in enumerate(lines)))
    (place / "tales.toml").write_text(RECIPE)
    distill.run(place / "tales.toml", place / "run")
    return place / "run"


def test_the_model_knows_its_framing_and_licence(run):
    described = manifest.read(run / "model")
    assert described.prompt == manifest.Prompt("<s>{prompt}", ("strip_spaces",))
    assert described.licence == "CC0-1.0"


def test_it_goes_on_with_a_text(run):
    with edgellm.load(run / "model", "golden") as llm:
        answer = llm.generate("The fox\n", max_tokens=5)
        assert answer.prompt_tokens == [1, *llm.tokenizer.encode("The fox")]
        assert len(answer.tokens) <= 5


def test_long_documents_went_in_as_pieces(run):
    lines = [json.loads(line) for line in (run / "corpus" / "train.jsonl").read_text().splitlines()]
    assert {line.get("ends", True) for line in lines} == {True, False}


def test_every_model_is_measured_on_the_held_out_text(run):
    report = json.loads((run / "metrics.json").read_text())
    assert set(report) == {"float", "quantised", "integer"}
    for scores in report.values():
        assert set(scores) == {"valid"}
        assert 0 < scores["valid"]["bits_per_byte"] < 16
