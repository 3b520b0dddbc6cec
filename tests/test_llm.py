"""LLM above a device that says what it is told."""

import asyncio
import time

import evaluation_model
import pytest
import toy

import edgellm
from edgellm import cache
from edgellm.errors import EmptyPrompt, ModelCorrupt, PromptTooLong, UsageError


@pytest.fixture
def load(tmp_path):
    folder = toy.write_model(tmp_path / "toy")

    def opened(answer: bytes):
        device = toy.Parrot(answer)
        return edgellm.LLM(folder, [lambda: device]), device

    return opened


def test_a_model_in_the_cache_is_held_until_it_is_closed(tmp_path, monkeypatch):
    """The next back end opens the same folder, maybe hours later."""
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    entry = cache.fetch("bundle", "key", lambda work: toy.write_model(work / "model"))
    llm = edgellm.LLM(entry / "model", [lambda: toy.Parrot(b"a")])
    assert cache.clear() == 0
    llm.close()
    assert cache.clear() > 0


def test_generate_gives_tokens_text_reason_and_timings(load):
    llm, device = load("Light ön".encode())
    done = llm.generate("Turn on the light!")
    assert done.text == "Light ön"
    assert bytes(done.tokens) == "Light ön".encode()
    assert (done.backend, done.model, done.finish_reason) == ("parrot", "toy", "stop")
    assert done.timings.device == {"cycles_per_token": 100.0}
    assert 0 < done.timings.first_token <= done.timings.total
    (job,) = device.seen
    assert job.prompt == [toy.BOS, *b" turn on the light", toy.TAB] == done.prompt_tokens
    assert (job.max_tokens, job.stop_ids) == (toy.ARCH["context"] + 1, frozenset([toy.EOS]))
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
    llm, device = load(b"one two three")
    done = llm.generate("x", stop=["two"])
    assert (done.text, done.finish_reason) == ("one ", "stop")
    assert device.given == len(b"one two")
    assert device.cancelled == 1


def test_max_tokens(load):
    llm, _ = load(b"abcdef")
    assert llm.generate("x", max_tokens=3).finish_reason == "length"
    assert llm.generate("x", max_tokens=3).text == "abc"


def test_a_closed_stream_frees_the_slot(load):
    llm, device = load(b"abcdef")
    stream = llm.stream("x")
    next(stream)
    stream.close()
    assert device.cancelled == 1
    with pytest.raises(UsageError, match="the answer is not complete yet: read the stream to its end first"):
        _ = stream.completion


def test_calls_that_cannot_be_meant(load):
    llm, device = load(b"a")
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not 0"):
        llm.generate("x", max_tokens=0)
    with pytest.raises(UsageError, match="a stop string must not be empty"):
        llm.generate("x", stop=["a", ""])
    with pytest.raises(EmptyPrompt):
        llm.generate(" ")
    with pytest.raises(PromptTooLong, match="the prompt has 103 tokens, the context holds 48: shorten it"):
        llm.generate("x" * 100)
    assert device.seen == []


def test_context_manager_closes(load):
    llm, device = load(b"a")
    with llm:
        assert not device.closed
    assert device.closed


def test_a_damaged_file_is_noticed_before_anything_runs(tmp_path):
    folder = toy.write_model(tmp_path / "toy")
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json: \d+ bytes instead of \d+"):
        edgellm.load(folder, "golden")


def test_going_round_in_circles_ends_an_answer(load):
    llm, device = load(b"abababababab")
    done = llm.generate("x", repeats=3)
    assert (done.text, done.finish_reason) == ("ababab", "repetition")
    assert device.cancelled == 1


def test_a_long_prompt_is_truncated_where_asked(load):
    llm, device = load(b"ok")
    done = llm.generate("x" * 100, truncate="left", max_tokens=5)
    assert len(done.prompt_tokens) == toy.ARCH["context"] - 5 + 1
    assert done.prompt_tokens[0] == toy.BOS
    assert done.prompt_tokens[-1] == toy.TAB
    assert device.seen[0].prompt == done.prompt_tokens


def test_a_deadline(load):
    llm, device = load(b"x" * 40)
    poll = device.poll
    device.poll = lambda timeout: time.sleep(0.05) or poll(timeout)
    done = llm.generate("x", deadline=0.8)
    assert done.finish_reason == "deadline"
    assert 0 < len(done.tokens) < 40


def test_what_the_host_chooses_by(tmp_path):
    folder = evaluation_model.write_model(tmp_path / "noise")
    with edgellm.load(folder) as llm:
        plain = llm.generate("x", max_tokens=8)
        shown = llm.generate("x", max_tokens=8, logprobs=2)
        assert shown.tokens == plain.tokens
        assert (
            [info.token for info in shown.logprobs]
            == [info.top[0][0] for info in shown.logprobs]
            == plain.tokens
        )
        banned = llm.generate("x", max_tokens=8, logit_bias={plain.tokens[0]: -100})
        assert plain.tokens[0] not in banned.tokens
        unsure = llm.generate("x", max_tokens=8, least_confidence=0.99)
        assert (unsure.tokens, unsure.finish_reason) == ([], "confidence")
        again = llm.generate("x", max_tokens=8, temperature=2.0, seed=3, top_k=4)
        assert again.tokens == llm.generate("x", max_tokens=8, temperature=2.0, seed=3, top_k=4).tokens
        with pytest.raises(
            UsageError, match=r"^logit_bias names token 259; the vocabulary has tokens 0\.\.258$"
        ):
            llm.generate("x", logit_bias={259: 1.0})


def test_the_same_for_asyncio(load):
    llm, device = load(b"one two three")

    async def main():
        stream = llm.astream("x", stop=["two"])
        chunks = [chunk async for chunk in stream]
        answers = await asyncio.gather(*(llm.agenerate("x", max_tokens=n) for n in range(1, 6)))
        left = llm.astream("x")
        await left.__anext__()
        await left.aclose()
        with pytest.raises(UsageError, match="the answer is not complete yet"):
            _ = left.completion
        return chunks, stream.completion, answers

    chunks, completion, answers = asyncio.run(main())
    assert "".join(chunk.text for chunk in chunks) == completion.text == "one "
    assert (completion.finish_reason, completion.backend) == ("stop", "parrot")
    assert [answer.text for answer in answers] == ["o", "on", "one", "one ", "one t"]
    llm.close()
    assert device.closed
