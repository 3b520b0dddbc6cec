"""Compiled designs in Verilator: every stream of every node equals the golden model, whatever the folding."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from compiled import design
from shapes import SHARED_KV, TINY

from edgellm.errors import Deviation
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.verify import verify

pytestmark = [pytest.mark.fpga, pytest.mark.sim]

# One layer has plain weight memories; odd lanes need converters of ratios that are no whole numbers.
DESIGNS = {"default": (TINY, 1, None), "one layer, odd folding": (SHARED_KV, 2, 5)}
COMPUTING = 18


def golden(folder: Path) -> GoldenModel:
    return GoldenModel(onnxfile.load(folder / "model" / "model.onnx"))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_stream_of_a_run_to_the_end_of_the_context(name: str) -> None:
    folder = design(*DESIGNS[name])
    model = golden(folder)
    prompt = [int(t) for t in np.random.default_rng(3).integers(0, model.arch.vocab, 9)]
    done = verify(Accelerator(folder), model, prompt, model.arch.context, [])
    steps = model.arch.context
    assert (done.finish_reason, done.nodes) == ("context", COMPUTING)
    assert done.vectors == (COMPUTING - 5) * model.arch.layers * steps + steps + 4 * (steps - len(prompt) + 1)


@pytest.mark.parametrize("name", DESIGNS)
def test_slots_and_stalls_do_not_change_the_answers(name: str) -> None:
    folder = design(*DESIGNS[name])
    model, device, rng = golden(folder), Accelerator(folder), np.random.default_rng(4)
    prompts = {slot: [int(t) for t in rng.integers(0, model.arch.vocab, 3 + 2 * slot)] for slot in range(4)}
    for slot, prompt in prompts.items():
        device.submit(slot, prompt, 8)
    answers: dict[int, list[int]] = {slot: [] for slot in prompts}
    waiting = set(prompts)
    while waiting:
        for event in device.wait(stall_in=0.3, stall_out=0.5, seed=5):
            answers[event.slot].append(event.token)
            if event.reason is not None:
                waiting.remove(event.slot)
    assert answers == {slot: model.generate(prompt, 8).tokens for slot, prompt in prompts.items()}


@pytest.mark.parametrize(("memory", "line", "bit"), [("gate_up_acc", 3, 1), ("rope", 1, 12), ("qkv", 5, 4)])
def test_a_changed_memory_is_found_at_its_node(memory: str, line: int, bit: int, tmp_path: Path) -> None:
    folder = shutil.copytree(design(TINY), tmp_path / "broken")
    image = next(
        path
        for path in (folder / "mem").iterdir()
        if path.name in (f"{memory}_weights.dat", f"{memory}_table_file.dat")
    )
    lines = image.read_text().splitlines()
    lines[line] = f"{int(lines[line], 16) ^ 1 << bit:0{len(lines[line])}x}"
    image.write_text("\n".join(lines) + "\n")
    with pytest.raises(Deviation) as found:
        verify(Accelerator(folder), golden(folder), [5, 6, 7, 8, 9], 4, [])
    assert found.value.node == memory
