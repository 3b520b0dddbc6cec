"""What is timed of a back end: who may guess tokens, and where an answer ends."""

import evaluation_model
import pytest

import edgellm
from benchmarks import speed


@pytest.fixture
def llm(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "PROMPT", "x")
    with edgellm.load(evaluation_model.write_model(tmp_path / "noise"), "golden") as llm:
        yield llm


@pytest.fixture
def jobs(llm, monkeypatch):
    """All that the device gets."""
    found = []
    submit = llm.engine.device.submit
    monkeypatch.setattr(llm.engine.device, "submit", lambda slot, job: found.append(job) or submit(slot, job))
    return found


def test_one_stream_does_not_guess_nor_stop(llm, jobs):
    assert speed.one_stream(llm, 5) > 0
    assert speed.bare(llm.engine.device, [3, 4], 5) > 0
    assert [(job.speculate, set(job.stop_ids), job.max_tokens) for job in jobs] == [(False, set(), 5)] * 2


def test_who_guesses_stops_where_the_model_does(llm, jobs):
    assert speed.guessing(llm, ["x", "y"]) > 0
    assert [(job.speculate, job.stop_ids) for job in jobs] == [(True, llm.stop_ids)] * 2


def test_the_commands_are_real_ones():
    commands = speed.commands()
    assert len(set(commands)) == speed.COMMANDS
    assert all(command.strip() and "\t" not in command for command in commands)
