"""The promise: golden model, ONNX Runtime and the simulated accelerator give the same tokens, on the shipped model."""

import shutil
from functools import cache

import pytest
from commands import COMMANDS

import edgellm
from edgellm.errors import Deviation

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
def test_golden_equals_cpu():
    assert len(COMMANDS) >= 25
    assert same(answers("golden"), answers("cpu")) >= LEAST_TOKENS


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
        return llm.session.design.folder


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


def test_the_shipped_model_answers_sensibly():
    texts = {c: a.text for c, a in zip(COMMANDS, answers("golden"), strict=True)}
    assert texts["turn on the kitchen light"].startswith("HassTurnOn area= kitchen")
    assert "item= oat milk" in texts["add oat milk to my shopping list"]
    assert "minutes= 12 name= pizza" in texts["set a timer named pizza for 12 minutes"]
