"""The benchmark of the engine's cost: rows with tags, all ways the same length, the model as it was."""

import evaluation_model
import pytest

import edgellm
from benchmarks import engine
from edgellm.errors import PromptTooLong


def test_rows_of_every_way(tmp_path, monkeypatch):
    folder = evaluation_model.write_model(tmp_path / "noise")
    monkeypatch.setattr(engine, "PROMPT", "x")
    with edgellm.load(folder, "golden") as llm:
        stop_ids = llm.stop_ids
        rows = engine.overhead(llm, tokens=4, repeats=2)
        assert llm.stop_ids == stop_ids
    assert [row["what"] for row in rows] == [
        "golden, one stream, bare",
        "golden, one stream, generate",
        "golden, generate over bare",
        "golden, one stream, stream",
        "golden, stream over bare",
    ]
    assert {row["tag"] for row in rows} == {"measured"}
    assert all(row["value"] > 0 for row in rows if row["unit"] != "%")


def test_the_model_is_left_as_it_was_when_something_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "PROMPT", "x" * 99)
    with edgellm.load(evaluation_model.write_model(tmp_path / "noise"), "golden") as llm:
        stop_ids = llm.stop_ids
        with pytest.raises(PromptTooLong):
            engine.overhead(llm, tokens=4, repeats=2)
        assert llm.stop_ids == stop_ids
