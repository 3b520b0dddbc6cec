"""Back ends fpga (on a simulated board), native, cpu and golden: the same devices, the same tokens."""

import builtins
import dataclasses

import boards
import numpy as np
import pytest
from shapes import HOME, SMALL, TINY

from edgellm.errors import BackendFailed, BackendUnavailable, ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.export.graph import build_onnx
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import LOGIT_STEP_KEY, Widths
from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.backends import cpu, golden, native
from edgellm.runtime.backends.ort import ROWS, SESSION_TOKENS, OrtStepper
from edgellm.runtime.backends.stepped import Feed, SteppedDevice
from edgellm.runtime.device import LOGITS, MODEL_FILE, Event, Job

pytestmark = pytest.mark.cpu

OPENERS = {"golden": golden.open_device, "cpu": cpu.open_device, "native": native.open_device}
BOARD = pytest.param("fpga", marks=pytest.mark.board)
SLOTS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    (path / MODEL_FILE).write_bytes(build_onnx(random_model(TINY, 1)).SerializeToString())
    return path


def on_a_board(folder, slots):
    """The design of the same model, which has its own number of slots."""
    from edgellm.runtime.backends import fpga

    model = boards.install().fabric.design.model_folder
    assert (model / MODEL_FILE).read_bytes() == (folder / MODEL_FILE).read_bytes()
    return fpga.open_device(model)


@pytest.fixture(params=[*OPENERS, BOARD])
def device(request, folder):
    opened = OPENERS.get(request.param, on_a_board)(folder, SLOTS)
    assert (opened.name, opened.arch) == (request.param, TINY)
    assert opened.traits.slots == (8 if request.param == "fpga" else SLOTS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def judge():
    return GoldenModel(random_model(TINY, 1))


def finish(device, *slots):
    """Events of the slots' jobs to their ends: slot -> (tokens, reason)."""
    tokens, reasons = {slot: [] for slot in slots}, {}
    while len(reasons) < len(slots):
        for slot, token, reason, before in device.poll(1.0):
            tokens[slot] += before
            if reason != "stop":
                tokens[slot].append(token)
            if reason:
                assert slot not in reasons
                reasons[slot] = reason
    assert not device.poll(0.0)
    return {slot: (tokens[slot], reasons[slot]) for slot in slots}


def answer(device, prompt, max_tokens=100, stop=(), slot=0, **more):
    device.submit(slot, Job(prompt, max_tokens, frozenset(stop), **more))
    return finish(device, slot)[slot]


def golden_answer(judge, prompt, max_tokens=100, stop=(), **more):
    done = judge.generate(prompt, max_tokens, stop, **more)
    return done.tokens, done.finish_reason


def test_an_answer_is_the_golden_one(device, judge):
    assert answer(device, [4, 9], 10) == golden_answer(judge, [4, 9], 10)
    assert device.counters(0) == {}


@pytest.mark.parametrize("seed", [0, 1, 1 << 63])
def test_seeded_answers_are_the_golden_ones(device, judge, seed):
    how = Sampling.of(seed, 9.0)
    want = golden_answer(judge, [4, 9], 10, sampling=how)
    assert answer(device, [4, 9], 10, sampling=how) == want
    assert want != golden_answer(judge, [4, 9], 10)


def test_finish_reasons(device, judge):
    tokens, reason = answer(device, [4, 9])
    assert (reason, len(tokens)) == ("context", TINY.context - 1)
    assert answer(device, [4, 9], stop=[tokens[5], 39]) == golden_answer(judge, [4, 9], stop=[tokens[5], 39])
    assert answer(device, [3] * TINY.context, 5)[1] == "context"
    assert answer(device, [3] * TINY.context, 1)[1] == "length"


def test_slots_do_not_see_each_other(device, judge):
    """Jobs of every length come and go in five slots; each is as if it were alone."""
    rng = np.random.default_rng(5)
    jobs, running, done, most = [], {}, {}, 30
    for _ in range(most):
        length = int(rng.integers(1, TINY.context))
        jobs.append((rng.integers(TINY.vocab, size=length).tolist(), int(rng.integers(1, 12))))
    for number, (prompt, limit) in enumerate(jobs):
        while len(running) == SLOTS:
            collect(device, running, done)
        slot = next(slot for slot in range(SLOTS) if slot not in running)
        running[slot] = number
        done[number] = []
        how = Sampling.of(number, 3.0 if number % 2 else 0.0)
        device.submit(slot, Job(prompt, limit, frozenset([7]), how))
    while running:
        collect(device, running, done)
    for number, (prompt, limit) in enumerate(jobs):
        how = Sampling.of(number, 3.0 if number % 2 else 0.0)
        assert done[number] == golden_answer(judge, prompt, limit, [7], sampling=how)[0]


def collect(device, running, done):
    for slot, token, reason, before in device.poll(1.0):
        done[running[slot]] += before
        if reason != "stop":
            done[running[slot]].append(token)
        if reason:
            del running[slot]


def test_a_slot_goes_on_from_any_earlier_position(device, judge):
    first = answer(device, [4, 9, 3, 8, 1], 6)[0]
    history = [4, 9, 3, 8, 1, *first[:-1]]
    for start in (len(history), 7, 4, 1):
        prompt = [*history[:start], 11, 12]
        got = answer(device, prompt[start:], 5, start=start)
        assert got == golden_answer(judge, prompt, 5)
        history = [*prompt, *got[0][:-1]]


def test_a_prefix_is_copied_to_other_slots(device, judge):
    prefix = [5, 1, 7, 7, 2, 9, 30]
    for target in (1, 4):
        answer(device, prefix, 2, slot=0)
        answer(device, [9] * TINY.context, 1, slot=target)
        device.copy(0, target, len(prefix) - 1)
        device.submit(target, Job([30, 3], 6, start=len(prefix) - 1))
        device.submit(2, Job([3], 6))  # somebody steps along
        want = golden_answer(judge, [*prefix, 3], 6), golden_answer(judge, [3], 6)
        got = finish(device, target, 2)
        assert (got[target], got[2]) == want


def test_an_idle_slot_keeps_what_it_was_fed(device, judge):
    """Also a slot whose context is full, and one that has a copy only, while others of the batch are stepped."""
    full = [int(t) for t in np.random.default_rng(2).integers(TINY.vocab, size=TINY.context)]
    answer(device, full, 1, slot=1)
    device.copy(1, 0, 9)
    answer(device, [6, 6], 8, slot=4)
    assert answer(device, full[-1:], 1, slot=1, start=TINY.context - 1) == golden_answer(judge, full, 1)
    assert answer(device, full[9:12], 4, slot=0, start=9) == golden_answer(judge, full[:12], 4)


def test_a_cancelled_slot_is_free_at_once(device, judge):
    device.submit(0, Job([5, 6], 50))
    device.submit(3, Job([3], 8))
    device.poll(1.0)
    device.cancel(0)
    device.cancel(2)
    device.submit(0, Job([7, 7, 7], 12))
    device.cancel(3)
    assert finish(device, 0) == {0: golden_answer(judge, [7, 7, 7], 12)}
    assert answer(device, [3], 8, slot=3) == golden_answer(judge, [3], 8)


def test_the_host_chooses(device, judge):
    """The host takes the second best every time; logits are those of the golden model."""
    device.submit(2, Job([4, 9], 6, frozenset([17]), by_host=True))
    cache, fed, reason = judge.new_cache(), [4, 9], None
    rows = [judge.step(cache, token, position) for position, token in enumerate(fed)]
    while reason is None:
        assert list(device.poll(1.0)) == [Event(2, LOGITS)]
        assert not device.poll(0.0)
        assert np.array_equal(device.logits(2), rows[-1])
        token = int(np.argsort(rows[-1])[-2])
        reason = device.choose(2, token)
        rows.append(judge.step(cache, token, len(fed)))
        fed.append(token)
    assert (reason, len(fed)) == ("length", 8)


@pytest.mark.parametrize(("token", "reason"), [(17, "stop"), (3, "length")])
def test_why_a_hosts_choice_ends(device, token, reason):
    device.submit(0, Job([4], 1, frozenset([17]), by_host=True))
    assert list(device.poll(1.0)) == [Event(0, LOGITS)]
    assert device.choose(0, token) == reason
    assert not device.poll(0.0)
    device.submit(0, Job([4] * TINY.context, 2, by_host=True))
    assert list(device.poll(1.0)) == [Event(0, LOGITS)]
    assert device.choose(0, 3) == "context"


def test_a_model_that_cannot_be_sampled(tmp_path):
    broken = dataclasses.replace(random_model(TINY, 1), metadata={LOGIT_STEP_KEY: "0.3"})
    (tmp_path / MODEL_FILE).write_bytes(build_onnx(broken).SerializeToString())
    for opener in OPENERS.values():
        opened = opener(tmp_path)
        with pytest.raises(
            ModelUnsupported, match=r"the logit step 0\.3 is no power of two: export the model again"
        ):
            opened.submit(0, Job([4], 3, sampling=Sampling.of(1, 1.0)))
        assert len(answer(opened, [4], 3)[0]) == 3


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_missing_and_damaged_models(opener, folder, tmp_path):
    with pytest.raises(ModelNotFound, match=r"model\.onnx: cannot be read"):
        opener(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-9])
    with pytest.raises(ModelCorrupt, match=r"model\.onnx: damaged ONNX file"):
        opener(tmp_path)


@pytest.mark.parametrize("name", ["cpu", "native"])
def test_a_closed_device_says_so(name, folder):
    device = OPENERS[name](folder, 1)
    device.close()
    device.close()
    with pytest.raises(BackendFailed, match="is closed: open the model again"):
        answer(device, [1], 1)


def test_without_onnx_runtime(folder, monkeypatch):
    real = builtins.__import__

    def importer(name, *rest):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importer)
    with pytest.raises(BackendUnavailable, match=r"^onnxruntime is not installed: pip install onnxruntime$"):
        cpu.open_device(folder)


def test_what_onnx_runtime_refuses_is_a_backend_error():
    with pytest.raises(BackendFailed, match="ONNX Runtime cannot load the model"):
        OrtStepper(b"not onnx", TINY, cpu.TARGET)


def opened(model, name, slots=1):
    """A device on a model that lies in no folder."""
    if name == "native":
        return native.NativeDevice(model, slots)
    data = build_onnx(model).SerializeToString()
    return SteppedDevice(OrtStepper(data, model.arch, cpu.TARGET, slots, model.logit_step))


@pytest.mark.parametrize("bits", [(4, 8), (4, 16), (2, 8), (8, 8)])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("backend", ["cpu", "native"])
def test_golden_equals_the_others(backend, name, bits):
    model = random_model(SMALL[name], seed=7, weight_bits=bits[0], mult_bits=bits[1])
    device, rng = opened(model, backend), np.random.default_rng(0)
    for length in (1, 5):
        prompt = rng.integers(model.arch.vocab, size=length).tolist()
        assert answer(device, prompt) == golden_answer(GoldenModel(model), prompt)


@pytest.mark.parametrize("backend", ["cpu", "native"])
def test_golden_equals_the_others_through_a_whole_context(backend):
    model = random_model(HOME, seed=3, widths=Widths(kv=4) if backend == "native" else Widths())
    want = golden_answer(GoldenModel(model), [1, 2, 3], 1000)
    assert answer(opened(model, backend), [1, 2, 3], 1000) == want
    assert want[1] == "context"
    assert len(set(want[0])) > 50


def test_caches_live_as_long_as_the_decoder():
    """ONNX Runtime borrows an array's memory; with 1.23 garbage of the same size ended up in the caches."""
    model = random_model(HOME, 4)
    stepper = OrtStepper(build_onnx(model).SerializeToString(), HOME, cpu.TARGET, 1)
    size = HOME.kv_heads * HOME.context * HOME.head_dim
    garbage = [np.full(size, 85, np.int8) for _ in range(4 * HOME.layers)]
    golden_model, tokens = GoldenModel(model), [5, 9, 3, 7, 1, 8]
    cache = golden_model.new_cache()
    for position, token in enumerate(tokens):
        stepper.step([Feed(0, [token], position)])
        assert (stepper.logits(0) == golden_model.step(cache, token, position)).all()
        for block in garbage:
            block.fill(position)


PLANS = [
    ([13], [(13, 1)]),
    ([8, 15], [(8, 1), (15, 1)]),
    ([8, 11, 15], [(8, 8)]),
    ([7, 9, 10, 11], [(7, 1), (8, 8)]),
    ([3, 16, 19], [(3, 1), (16, 1), (19, 1)]),
    ([0, 1, 2, 9, 10, 11], [(0, 20)]),
    ([16, 17, 18, 19], [(0, 20)]),
]


@pytest.mark.parametrize(("slots", "calls"), PLANS)
def test_a_step_takes_no_more_slots_than_it_must(slots, calls):
    """Few streams are stepped alone, in whichever slots they are; many neighbours together."""
    model = random_model(TINY, 1)
    stepper = OrtStepper(build_onnx(model).SerializeToString(), TINY, cpu.TARGET, 20)
    stepper.step([Feed(slot, [3], 0) for slot in slots])
    assert {call: None for call in stepper._batches if call != (0, 1)} == dict.fromkeys(calls)
    want = GoldenModel(model).step(GoldenModel(model).new_cache(), 3, 0)
    assert all((stepper.logits(slot) == want).all() for slot in slots)


def test_a_prompt_in_chunks_is_the_same_as_token_by_token():
    """Chunks of every length, between slots that go on; the session for them is made when it pays."""
    model = random_model(HOME, 4)
    stepper = OrtStepper(build_onnx(model).SerializeToString(), HOME, cpu.TARGET, 3)
    golden_model, rng = GoldenModel(model), np.random.default_rng(0)
    caches, fed = [golden_model.new_cache() for _ in range(3)], [0, 0, 0]

    def feed(lengths):
        feeds = [
            Feed(slot, rng.integers(HOME.vocab, size=count).tolist(), fed[slot])
            for slot, count in lengths.items()
        ]
        stepper.step(feeds)
        for slot, tokens, position in feeds:
            for at, token in enumerate(tokens, position):
                want = golden_model.step(caches[slot], token, at)
            assert (stepper.logits(slot) == want).all()
            fed[slot] += len(tokens)

    feed({0: 5, 2: 1})
    assert None not in stepper._sessions  # five tokens do not pay for a session
    stepper._one_by_one = SESSION_TOKENS
    for lengths in ({1: 7, 0: 1}, {2: ROWS}, {1: 2, 0: 1, 2: 1}, {0: 33, 1: ROWS, 2: 3}, {0: 1, 1: 1, 2: 1}):
        feed(lengths)
    assert None in stepper._sessions
    while fed[2] < HOME.context:
        feed({2: min(ROWS, HOME.context - fed[2])})
