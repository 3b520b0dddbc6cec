"""Back ends golden and cpu: the same sessions, the same tokens."""

import builtins
import dataclasses

import numpy as np
import pytest
from shapes import HOME, SMALL, TINY

from edgellm.errors import (
    BackendFailed,
    BackendUnavailable,
    EmptyPrompt,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
    PromptTooLong,
    UsageError,
)
from edgellm.export.graph import build_onnx
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import LOGIT_STEP_KEY
from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.backends import cpu, golden
from edgellm.runtime.backends.base import MODEL_FILE, with_logits

pytestmark = pytest.mark.cpu

OPENERS = {"golden": golden.open_session, "cpu": cpu.open_session}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    (path / MODEL_FILE).write_bytes(build_onnx(random_model(TINY, 1)).SerializeToString())
    return path


@pytest.fixture(params=OPENERS)
def session(request, folder):
    opened = OPENERS[request.param](folder)
    assert opened.name == request.param
    yield opened
    opened.close()


def answer(session, prompt, max_tokens=100, stop=()):
    return list(session.stream(prompt, max_tokens, frozenset(stop))), session.finish_reason


def test_stream_is_the_golden_answer(session):
    want = GoldenModel(random_model(TINY, 1)).generate([4, 9], 10)
    assert answer(session, [4, 9], 10) == (want.tokens, "length")
    assert session.timings == {}


@pytest.mark.parametrize("seed", [0, 1, 1 << 63])
def test_seeded_answers_are_the_golden_ones(session, seed):
    how = Sampling.of(seed, 9.0)
    want = GoldenModel(random_model(TINY, 1)).generate([4, 9], 10, (), how)
    stream = session.stream([4, 9], 10, frozenset(), how)
    assert list(stream) == want.tokens
    assert want.tokens != GoldenModel(random_model(TINY, 1)).generate([4, 9], 10).tokens


def test_a_prefix_does_not_change_what_is_drawn(session):
    """Randomness belongs to positions: what was answered, given as a prompt, is gone on with in the same way."""
    how = Sampling.of(5, 2.0)
    tokens = list(session.stream([4, 9], 12, frozenset(), how))
    again = list(session.stream([4, 9, *tokens[:7]], 5, frozenset(), how))
    assert again == tokens[7:]


def test_a_model_that_cannot_be_sampled(tmp_path):
    broken = dataclasses.replace(random_model(TINY, 1), metadata={LOGIT_STEP_KEY: "0.3"})
    (tmp_path / MODEL_FILE).write_bytes(build_onnx(broken).SerializeToString())
    for opener in OPENERS.values():
        opened = opener(tmp_path)
        assert len(list(opened.stream([4], 3, frozenset()))) == 3
        with pytest.raises(
            ModelUnsupported, match=r"the logit step 0\.3 is no power of two: export the model again"
        ):
            list(opened.stream([4], 3, frozenset(), Sampling.of(1, 1.0)))


def test_finish_reasons(session):
    tokens, reason = answer(session, [4, 9])
    assert reason == "context"
    assert len(tokens) == TINY.context - 1
    assert answer(session, [4, 9], stop=[tokens[5]])[1] == "stop"


def test_sessions_are_used_again(session):
    first = answer(session, [7, 7, 7], 12)
    answer(session, [1, 2], 20)
    assert answer(session, [7, 7, 7], 12) == first


def test_an_abandoned_stream_leaves_nothing_behind(session):
    want = answer(session, [3], 8)
    stream = session.stream([5, 6], 10, frozenset())
    next(stream)
    stream.close()
    assert answer(session, [3], 8) == want


def test_requests_that_cannot_be_answered(session):
    with pytest.raises(EmptyPrompt):
        answer(session, [])
    with pytest.raises(PromptTooLong):
        answer(session, [1] * (TINY.context + 1))


def test_logits_of_many_sequences_are_the_golden_ones(session):
    """More than fit side by side, of every length; row t is about what follows t + 1 tokens."""
    rng, judge = np.random.default_rng(1), GoldenModel(random_model(TINY, 1))
    lengths = [1, TINY.context, *rng.integers(1, TINY.context, 40).tolist()]
    sequences = [rng.integers(TINY.vocab, size=length).tolist() for length in lengths]
    before = answer(session, [3], 8)
    for ids, got in zip(sequences, with_logits(session).logits(sequences), strict=True):
        cache = judge.new_cache()
        want = [judge.step(cache, token, position) for position, token in enumerate(ids)]
        assert got.dtype == np.int16
        assert np.array_equal(got, want)
    assert answer(session, [3], 8) == before


def test_many_answers_are_those_of_the_stream(session):
    """Prompts of every length up to the whole context; ends by a stop token, by length, by the context."""
    rng = np.random.default_rng(2)
    lengths = [1, TINY.context, TINY.context - 1, *rng.integers(1, TINY.context, 37).tolist()]
    prompts = [rng.integers(TINY.vocab, size=length).tolist() for length in lengths]
    reasons = set()
    for most in (1, 7, 100):
        want = []
        for prompt in prompts:
            want.append(answer(session, prompt, most, [3, 17])[0])
            reasons.add(session.finish_reason)
        assert session.answers(prompts, most, frozenset([3, 17])) == want
    assert reasons == {"stop", "length", "context"}
    assert session.answers([], 5, frozenset()) == []


def test_logits_are_not_changed_by_what_comes_later(session):
    (first,) = session.logits([[1, 2, 3]])
    kept = first.copy()
    session.logits([[4, 5, 6]])
    assert np.array_equal(first, kept)
    assert len({row.tobytes() for row in first}) == 3


def test_logits_that_cannot_be_given(session):
    with pytest.raises(EmptyPrompt):
        session.logits([[1], []])
    with pytest.raises(PromptTooLong):
        session.logits([[1] * (TINY.context + 1)])
    with pytest.raises(UsageError, match=r"^max_tokens must be at least 1, not 0$"):
        session.answers([[1]], 0, frozenset())
    with pytest.raises(UsageError, match=r"^prompt token 1 is 40; the vocabulary has tokens 0\.\.39$"):
        session.logits([[1, TINY.vocab]])


def test_a_back_end_with_tokens_only_says_so():
    class Sampler:
        name = "sim"

        def stream(self, prompt_ids, max_tokens, stop_ids, sampling): ...

        def close(self): ...

    with pytest.raises(
        BackendUnavailable,
        match=r"^back end sim gives tokens only: metrics without loss, or --backend cpu$",
    ):
        with_logits(Sampler())


@pytest.mark.parametrize("opener", OPENERS.values())
def test_missing_and_damaged_models(opener, folder, tmp_path):
    with pytest.raises(ModelNotFound, match=r"model\.onnx: cannot be read"):
        opener(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-9])
    with pytest.raises(ModelCorrupt, match=r"model\.onnx: damaged ONNX file"):
        opener(tmp_path)


def test_a_closed_cpu_session_says_so(folder):
    session = cpu.open_session(folder)
    session.close()
    session.close()
    for ask in (lambda: answer(session, [1]), lambda: session.logits([[1]])):
        with pytest.raises(BackendFailed, match="the session is closed: open the model again"):
            ask()


def test_without_onnx_runtime(folder, monkeypatch):
    real = builtins.__import__

    def importer(name, *rest):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importer)
    with pytest.raises(BackendUnavailable, match=r"^onnxruntime is not installed: pip install onnxruntime$"):
        cpu.open_session(folder)


def test_what_onnx_runtime_refuses_is_a_backend_error():
    with pytest.raises(BackendFailed, match="ONNX Runtime cannot load the model"):
        cpu.Decoder(b"not onnx", TINY)


@pytest.mark.parametrize("bits", [(4, 8), (4, 16), (2, 8), (8, 8)])
@pytest.mark.parametrize("name", SMALL)
def test_golden_equals_cpu(name, bits):
    model = random_model(SMALL[name], seed=7, weight_bits=bits[0], mult_bits=bits[1])
    session = cpu.CpuSession(cpu.Decoder(build_onnx(model).SerializeToString(), model.arch))
    rng = np.random.default_rng(0)
    for length in (1, 5):
        prompt = rng.integers(model.arch.vocab, size=length).tolist()
        want = GoldenModel(model).generate(prompt, 100)
        assert answer(session, prompt) == (want.tokens, want.finish_reason)


def test_golden_equals_cpu_through_a_whole_context():
    model = random_model(HOME, seed=3)
    session = cpu.CpuSession(cpu.Decoder(build_onnx(model).SerializeToString(), HOME))
    want = GoldenModel(model).generate([1, 2, 3], 1000)
    assert answer(session, [1, 2, 3], 1000) == (want.tokens, "context")
    assert len(set(want.tokens)) > 50


def test_slots_of_a_batch_do_not_see_each_other():
    """Four conversations of different length in one decoder: each as if it were alone."""
    model = random_model(SMALL["full_kv"], seed=5)
    decoder = cpu.Decoder(build_onnx(model).SerializeToString(), model.arch, batch=4)
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 11]]
    want = [GoldenModel(model).generate(prompt, 20).tokens for prompt in prompts]
    fed, got = [list(prompt) for prompt in prompts], [[] for _ in prompts]
    for position in range(24):
        tokens = np.array([f[position] for f in fed], np.int64)
        following = decoder.step(tokens, np.full(4, position, np.int64))
        for slot, token in enumerate(following.tolist()):
            if position >= len(prompts[slot]) - 1:
                fed[slot].append(token)
                got[slot].append(token)
    assert [tokens[:20] for tokens in got] == want


def test_logits_of_the_last_step():
    model = random_model(TINY, 1)
    decoder = cpu.Decoder(build_onnx(model).SerializeToString(), TINY)
    decoder.step(np.array([5]), np.array([0]))
    oracle = GoldenModel(model)
    assert np.array_equal(decoder.logits()[0], oracle.step(oracle.new_cache(), 5, 0))


def test_caches_live_as_long_as_the_decoder():
    """ONNX Runtime borrows an array's memory; with 1.23 garbage of the same size ended up in the caches."""
    model = random_model(HOME, 4)
    decoder = cpu.Decoder(build_onnx(model).SerializeToString(), HOME)
    size = HOME.kv_heads * HOME.context * HOME.head_dim
    garbage = [np.full(size, 85, np.int8) for _ in range(4 * HOME.layers)]
    golden_model, tokens = GoldenModel(model), [5, 9, 3, 7, 1, 8]
    cache = golden_model.new_cache()
    for position, token in enumerate(tokens):
        decoder.step(np.array([token]), np.array([position]))
        assert (decoder.logits()[0] == golden_model.step(cache, token, position)).all()
        for block in garbage:
            block.fill(position)
