"""LLM above a session that says what it is told."""

import pytest
import toy

import edgellm
from edgellm.errors import EmptyPrompt, ModelCorrupt, PromptTooLong, UsageError
from edgellm.runtime import registry


@pytest.fixture
def load(tmp_path, monkeypatch):
    folder = toy.write_model(tmp_path / "toy")

    def opened(answer: bytes):
        session = toy.Parrot(answer)
        backend = registry.Backend("parrot", "for tests", "toy")
        monkeypatch.setattr(registry.Backend, "open", lambda self, model: session)
        monkeypatch.setattr(registry, "choose", lambda name: (backend, "asked for"))
        return edgellm.load(folder), session

    return opened


def test_generate_gives_tokens_text_reason_and_timings(load):
    llm, session = load("Light ön".encode())
    done = llm.generate("Turn on the light!")
    assert done.text == "Light ön"
    assert bytes(done.tokens) == "Light ön".encode()
    assert (done.backend, done.model, done.finish_reason) == ("parrot", "toy", "stop")
    assert done.timings.device == {"cycles_per_token": 100.0}
    assert 0 < done.timings.first_token <= done.timings.total
    prompt, max_tokens, stop_ids = session.seen[0]
    assert prompt == [toy.BOS, *b" turn on the light", toy.TAB] == done.prompt_tokens
    assert (max_tokens, stop_ids) == (toy.ARCH["context"] + 1, frozenset([toy.EOS]))
    assert done.to_dict()["timings"]["device"]["cycles_per_token"] == 100.0


def test_stream_shows_whole_characters(load):
    llm, _ = load("aé".encode())
    chunks = list(stream := llm.stream("x"))
    assert [chunk.text for chunk in chunks] == ["a", "", "é"]
    assert stream.completion.text == "aé"


def test_held_back_text_comes_in_a_last_chunk(load):
    llm, _ = load(b"ab")
    chunks = list(llm.stream("x", stop="bc"))
    assert chunks[-1] == edgellm.Chunk(None, "b")


def test_a_stop_string_ends_the_answer_and_frees_the_slot(load):
    llm, session = load(b"one two three")
    done = llm.generate("x", stop=["two"])
    assert (done.text, done.finish_reason) == ("one ", "stop")
    assert session.given == len(b"one two")
    assert session.freed


def test_max_tokens(load):
    llm, _ = load(b"abcdef")
    assert llm.generate("x", max_tokens=3).finish_reason == "length"
    assert llm.generate("x", max_tokens=3).text == "abc"


def test_a_closed_stream_frees_the_slot(load):
    llm, session = load(b"abcdef")
    stream = llm.stream("x")
    next(stream)
    stream.close()
    assert session.freed
    with pytest.raises(UsageError, match="the answer is not complete yet: read the stream to its end first"):
        _ = stream.completion


def test_calls_that_cannot_be_meant(load):
    llm, session = load(b"a")
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not 0"):
        llm.generate("x", max_tokens=0)
    with pytest.raises(UsageError, match="a stop string must not be empty"):
        llm.generate("x", stop=["a", ""])
    with pytest.raises(EmptyPrompt):
        llm.generate(" ")
    with pytest.raises(PromptTooLong, match="the prompt has 103 tokens, the context holds 48: shorten it"):
        llm.generate("x" * 100)
    assert session.seen == []


def test_context_manager_closes(load):
    llm, session = load(b"a")
    with llm:
        assert not session.closed
    assert session.closed


def test_a_damaged_file_is_noticed_before_anything_runs(tmp_path):
    folder = toy.write_model(tmp_path / "toy")
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json: \d+ bytes instead of \d+"):
        edgellm.load(folder, "golden")
