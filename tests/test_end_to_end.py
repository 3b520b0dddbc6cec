"""The promise: golden model, ONNX Runtime, C kernels and simulated accelerator give the same tokens, on the shipped model."""

import shutil
from functools import cache

import pytest
from commands import COMMANDS

import edgellm
from edgellm.errors import Deviation
from edgellm.sim import recording

MODEL = "home-260k"
LEAST_TOKENS = 500


@cache
def answers(backend: str) -> list[edgellm.Completion]:
    with edgellm.load(MODEL, backend) as llm:
        return [llm.generate(command) for command in COMMANDS]


def same(left: list[edgellm.Completion], right: list[edgellm.Completion]) -> int:
    """Tokens compared, all equal."""
    for a, b in zip(left, right, strict=True):
        assert (a.prompt_tokens, a.tokens, a.text, a.finish_reason) == (
            b.prompt_tokens,
            b.tokens,
            b.text,
            b.finish_reason,
        )
    return sum(len(a.tokens) for a in left)


@pytest.mark.cpu
@pytest.mark.parametrize("backend", ["cpu", "native"])
def test_golden_equals_the_others_on_this_machine(backend):
    assert len(COMMANDS) >= 25
    assert same(answers("golden"), answers(backend)) >= LEAST_TOKENS


@pytest.mark.fpga
@pytest.mark.sim
@pytest.mark.cpu
def test_golden_equals_cpu_equals_simulated_accelerator():
    assert same(answers("golden"), answers("sim")) >= LEAST_TOKENS
    assert same(answers("cpu"), answers("sim")) >= LEAST_TOKENS


@pytest.fixture(scope="module")
def design():
    """The design that back end `sim` uses for the shipped model."""
    with edgellm.load(MODEL, "sim") as llm:
        return llm.engine.device.design.folder


@pytest.mark.fpga
@pytest.mark.sim
def test_every_stream_equals_the_golden_model(design, tmp_path):
    from edgellm.sim.simulate import simulate

    folder = shutil.copytree(design, tmp_path / "moved")  # a design does not depend on where it lies
    done = simulate(folder, COMMANDS[0], None, judge=True)
    assert done.text.startswith("HassTurnOn")
    assert done.verified is not None
    assert done.verified["nodes"] >= 18
    tokens = len(done.tokens) + len(answers_prompt(COMMANDS[0]))
    assert done.verified["vectors"] > 14 * 5 * (tokens - 1)
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert "measured" in (folder / "report.txt").read_text()
    kept = recording.read(folder)
    assert kept.judgement is not None
    assert (kept.judgement.prompt, kept.judgement.message) == (COMMANDS[0], None)
    assert {name: getattr(kept.judgement, name) for name in done.verified} == done.verified
    assert kept.one_prompt is not None
    assert kept.one_prompt.cycles_per_token == done.cycles["cycles_per_token"]


@pytest.mark.fpga
@pytest.mark.sim
def test_all_slots_at_once_fill_the_report(design, tmp_path):
    from edgellm.report import page, study
    from edgellm.report.roofline import of
    from edgellm.sim.simulate import simulate_together

    folder = shutil.copytree(design, tmp_path / "moved")
    done = simulate_together(folder, COMMANDS[:2], None, fill=True)
    golden = answers("golden")
    assert [answer.tokens for answer in done.answers] == [
        golden[slot % 2].tokens for slot in range(done.slots)
    ]
    kept = recording.read(folder).full_pipeline
    assert kept is not None
    assert kept.cycles_per_token == done.cycles_per_token
    assert {span.slot for span in kept.spans} == set(range(done.slots))
    roofline = of(study.load(folder))
    assert roofline is not None
    assert roofline.used is not None
    # what left the nodes is the work of the tokens that came out, but for those under way at both ends
    counted = roofline.used * roofline.design.peak * (kept.last - kept.first)
    assert counted == pytest.approx(roofline.macs * kept.tokens, rel=0.15)
    assert page.write(folder).read_text().count("<svg") == 3


def answers_prompt(command: str) -> list[int]:
    return next(a.prompt_tokens for a, c in zip(answers("golden"), COMMANDS, strict=True) if c == command)


@pytest.mark.fpga
@pytest.mark.sim
@pytest.mark.parametrize(
    ("memory", "node"), [("qkv_acc", "qkv_acc"), ("down_acc", "down_acc"), ("head_acc", "head_acc")]
)
def test_a_flipped_weight_bit_is_found_at_its_node(design, tmp_path, memory, node):
    from edgellm.sim.simulate import simulate

    folder = shutil.copytree(design, tmp_path / "broken")
    image = next(path for path in sorted((folder / "mem").iterdir()) if memory in path.name)
    lines = image.read_text().splitlines()
    lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"
    image.write_text("\n".join(lines) + "\n")
    with pytest.raises(Deviation) as found:
        simulate(folder, COMMANDS[0], None, judge=True)
    assert found.value.node == node
    assert found.value.channel == 0
    kept = recording.read(folder).judgement
    assert kept is not None
    assert kept.deviation is not None
    assert (kept.deviation["node"], kept.message) == (node, str(found.value))


def test_the_shipped_model_answers_sensibly():
    texts = {c: a.text for c, a in zip(COMMANDS, answers("golden"), strict=True)}
    assert texts["turn on the kitchen light"].startswith("HassTurnOn area= kitchen")
    assert "item= oat milk" in texts["add oat milk to my shopping list"]
    assert "minutes= 12 name= pizza" in texts["set a timer named pizza for 12 minutes"]
