"""The contract in C against the golden model: shapes, widths, instruction sets, other processors, memory."""

import shutil
import struct
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import HOME, SMALL, TINY

from edgellm.errors import BackendFailed, BackendUnavailable, ModelUnsupported
from edgellm.native import binding, compilation
from edgellm.native.decoder import NativeDecoder
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import Architecture, Widths
from edgellm.numerics.random import extreme_model, random_model
from edgellm.numerics.sampling import GREEDY, Sampling, noise_table, shift_of, step_bits_of

HERE = NativeDecoder(random_model(TINY, 1)).variant
VARIANTS = [
    name for name in ("generic", "avx2", "avx512", "neon") if binding.load().edgellm_use(name.encode())
]
binding.load().edgellm_use(HERE.encode())
REASONS = {1: "stop", 2: "length", 3: "context"}


@pytest.fixture(params=VARIANTS)
def variant(request):
    binding.load().edgellm_use(request.param.encode())
    yield request.param
    binding.load().edgellm_use(HERE.encode())


def answer(decoder, prompt, most=100, stop=(), sampling=GREEDY):
    decoder.submit(0, prompt, most, stop, 0, sampling)
    tokens, reason = [], 0
    while not reason:
        for _, token, reason, _ in decoder.run(3).tolist():
            if reason != 1:
                tokens.append(token)
    assert not len(decoder.run())
    return tokens, REASONS[reason]


def check(model, prompt, **wish):
    want = GoldenModel(model).generate(prompt, 100, **wish)
    assert answer(NativeDecoder(model), prompt, **wish) == (want.tokens, want.finish_reason)


def test_this_machine_has_the_best_kernels_there_are():
    flags = Path("/proc/cpuinfo").read_text()
    best = "avx512" if "avx512_vnni" in flags else "avx2" if "avx2" in flags else "generic"
    assert best == HERE or HERE == "neon"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("widths", [Widths(), Widths(4, 4, 4, 4), Widths(8, 4, 5, 8), Widths(4, 8, 8, 8)])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_width_on_every_instruction_set(variant, name, widths, bits):
    model = random_model(SMALL[name], 3, weight_bits=bits, widths=widths)
    check(model, [1, 2, 3, 5])
    check(model, [7], sampling=Sampling(9, 4096))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shape(data):
    kv_heads = data.draw(st.integers(1, 3))
    arch = Architecture(
        vocab=data.draw(st.integers(2, 80)),
        width=data.draw(st.integers(1, 70)),
        layers=data.draw(st.integers(1, 3)),
        heads=kv_heads * data.draw(st.integers(1, 5)),
        kv_heads=kv_heads,
        head_dim=2 * data.draw(st.integers(1, 20)),
        ffn=data.draw(st.integers(1, 70)),
        context=data.draw(st.integers(1, 40)),
    )
    model = random_model(arch, data.draw(st.integers(0, 99)), weight_bits=data.draw(st.integers(2, 8)))
    length = data.draw(st.integers(1, arch.context))
    prompt = data.draw(st.lists(st.integers(0, arch.vocab - 1), min_size=length, max_size=length))
    variant = data.draw(st.sampled_from(VARIANTS))
    binding.load().edgellm_use(variant.encode())
    check(model, prompt)
    binding.load().edgellm_use(HERE.encode())


@pytest.mark.parametrize("extreme", ["high", "low", "mixed"])
def test_numbers_at_their_ends(variant, extreme):
    for seed in range(4):
        check(extreme_model(TINY, seed, extreme), [1, 39, 0])
        check(extreme_model(TINY, seed, extreme, 8, Widths(4, 4, 8, 4)), [1, 39, 0])


def test_wide_multipliers_take_the_long_way(variant):
    check(random_model(HOME, 2, weight_bits=8, mult_bits=16), [1, 2, 3])


def test_a_long_prompt_in_several_steps(variant):
    model, rng = random_model(HOME, 4), np.random.default_rng(0)
    prompt = rng.integers(HOME.vocab, size=200).tolist()
    want = GoldenModel(model).generate(prompt, 9)
    decoder = NativeDecoder(model, slots=3, rows=7)
    for slot in (2, 0):
        decoder.submit(slot, prompt, 9)
    got = {0: [], 2: []}
    while len(events := decoder.run(1)) or len(got[0]) < 9 or len(got[2]) < 9:
        for slot, token, _, _ in events.tolist():
            got[slot].append(token)
    assert got == {0: want.tokens, 2: want.tokens}


def test_no_events_are_lost_when_there_is_no_room():
    model = random_model(TINY, 1)
    decoder = NativeDecoder(model, slots=4)
    decoder._events = np.zeros(5, binding.EVENT)
    for slot in range(4):
        decoder.submit(slot, [slot + 1], 9)
    got = {slot: [] for slot in range(4)}
    while len(events := decoder.run()):
        assert len(events) <= 5
        for slot, token, _, _ in events.tolist():
            got[slot].append(token)
    assert got == {slot: GoldenModel(model).generate([slot + 1], 9).tokens for slot in range(4)}


def test_prompts_are_not_starved_by_those_who_generate():
    model = random_model(TINY, 1)
    decoder = NativeDecoder(model, slots=4, rows=4)
    for slot in range(3):
        decoder.submit(slot, [slot + 1], 20)
    decoder.run(2)
    decoder.submit(3, [9, 8, 7], 1)
    events = [event for _ in range(3) for event in decoder.run(1).tolist()]
    assert [token for slot, token, _, _ in events if slot == 3] == GoldenModel(model).generate(
        [9, 8, 7], 1
    ).tokens


def test_an_unknown_instruction_set():
    decoder = NativeDecoder(random_model(TINY, 1))
    with pytest.raises(
        BackendUnavailable, match=rf"^this machine cannot run the sse9 kernels; it uses {HERE}$"
    ):
        decoder.use("sse9")


def test_a_logit_step_that_cannot_be_sampled():
    model = replace(random_model(TINY, 1), metadata={"edgellm.logit_step": "0.3"})
    with pytest.raises(ModelUnsupported, match=r"the logit step 0\.3 is no power of two"):
        NativeDecoder(model).submit(0, [1], 1, sampling=Sampling(1, 4096))


def test_a_closed_decoder_says_so():
    decoder = NativeDecoder(random_model(TINY, 1))
    decoder.close()
    decoder.close()
    for call in (lambda: decoder.run(), lambda: decoder.submit(0, [1], 1), lambda: decoder.logits(0)):
        with pytest.raises(BackendFailed, match=r"^the decoder is closed: open the model again$"):
            call()


def test_too_many_slots_for_this_machine():
    arch = Architecture(
        vocab=2, width=4, layers=255, heads=64, kv_heads=64, head_dim=256, ffn=4, context=65535
    )
    with pytest.raises(
        BackendFailed, match=r"^not enough memory for 100000 slots: open the model with fewer$"
    ):
        NativeDecoder(replace(random_model(TINY, 1), arch=arch), 100000)


def dump(model, prompt, most, how):
    """What tests/native_host.c reads."""
    shape = astuple(model.arch) + astuple(model.numerics)
    widths = model.widths
    parts = [struct.pack("18i", *shape, widths.activation, widths.kv, widths.glu, 1, 8)]
    base, drop = noise_table()
    tables = [(model.embedding, np.int8), (model.exp_table, np.uint8), (model.silu_table, np.int8)]
    tables += [(model.rope_cos, np.int16), (model.rope_sin, np.int16), (base, np.int32), (drop, np.int32)]
    parts += [np.ascontiguousarray(values, kind).tobytes() for values, kind in tables]
    linears = [getattr(block, kind) for block in model.blocks for kind in binding.KINDS]
    for linear in [*linears, model.head]:
        parts += [linear.weight.astype(np.int8).tobytes(), linear.mult.astype(np.int32).tobytes()]
        parts += [linear.bias.astype(np.int32).tobytes(), struct.pack("i", linear.shift)]
    shift = shift_of(step_bits_of(model.logit_step))
    parts += [struct.pack("5i", len(prompt), most, how.temperature, shift, how.seed)]
    return b"".join([*parts, struct.pack(f"{len(prompt)}i", *prompt)])


def outside(compiler, runner, folder, model, variant=()):
    """Tokens, last logits and instruction set of a program in C, for the prompt 1, 2, 3."""
    program = folder / "host"
    sources = [str(path) for path in sorted(compilation.SOURCES.glob("*.c"))]
    flags = [flag for flag in compilation.FLAGS if flag not in ("-shared", "-fPIC")]
    source = str(Path(__file__).with_name("native_host.c"))
    command = [
        compiler,
        *flags,
        "-static",
        "-I",
        str(compilation.SOURCES),
        "-o",
        str(program),
        source,
        *sources,
        "-lm",
    ]
    subprocess.run(command, check=True)
    how = Sampling(5, 2048)
    data = dump(model, [1, 2, 3], 30, how)
    done = subprocess.run([*runner, str(program), *variant], input=data, capture_output=True, check=True)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    tokens = [int(line[0]) for line in lines if len(line) == 2]
    logits = [int(line[0]) for line in lines if len(line) == 1]
    want = GoldenModel(model).generate([1, 2, 3], 30, (), how)
    assert tokens == want.tokens
    judge = GoldenModel(model)
    cache = judge.new_cache()
    rows = [judge.step(cache, token, at) for at, token in enumerate([1, 2, 3, *tokens[:-1]])]
    assert logits == rows[-1].tolist()
    return done.stderr.decode().strip()


CROSS = {
    "armv7l": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
}


@pytest.mark.cross
@pytest.mark.parametrize("machine", CROSS)
@pytest.mark.parametrize("variant", ["neon", "generic"])
def test_other_processors_give_the_same_tokens(machine, variant, tmp_path):
    compiler, emulator = CROSS[machine]
    model = random_model(HOME, 3, widths=Widths(8, 4, 8, 8))
    assert outside(compiler, [emulator], tmp_path, model, [variant]) == variant


def test_a_program_without_python(tmp_path):
    assert outside(compilation.find_compiler()[0], [], tmp_path, random_model(TINY, 1)) == HERE


@pytest.mark.parametrize("tool", [tool for tools in CROSS.values() for tool in tools])
@pytest.mark.cross
def test_the_tools_of_the_cross_tests_are_there(tool):
    assert shutil.which(tool), f"apt-get install the package of {tool}"


def test_an_answer_that_is_dropped_at_the_end_of_the_process_frees_nothing_twice(tmp_path):
    script = tmp_path / "dropped.py"
    script.write_text(
        "import edgellm\n"
        "llm = edgellm.load('home-260k', 'native')\n"
        "for chunk in llm.stream('turn on the light'):\n"
        "    break\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_memory_that_was_freed_is_not_used():
    decoder = NativeDecoder(random_model(TINY, 1), 2)
    decoder._free()  # as the interpreter does before it ends, whoever still holds the decoder
    with pytest.raises(BackendFailed, match="the decoder is closed: open the model again"):
        decoder.cancel(0)
