"""A compiled design behind its shell, as a host on the bus has it. tests/test_rtl_shell.py runs this.

The file named by EDGELLM_EXPECTED holds the design's build and slots, and per slot a prompt, the golden model's answer and the
logits that are shown with it.
"""

import json
import os
from pathlib import Path

import cocotb
from cocotb.triggers import with_timeout
from shell_bench import BUILD, COMMANDS, EVENTS, HOST, LOGITS, SHAPE, Host

EXPECTED = json.loads(Path(os.environ["EDGELLM_EXPECTED"]).read_text())
SUBMIT, SHOW, NO_STOP = 1 << 28, 1 << 24, 0xFFFFFFFF
LAST = 1 << 24


class Accelerator(Host):
    """The host of a real accelerator: logits are kept, by slot."""

    def __init__(self, dut, seed: int, stalls: float) -> None:
        super().__init__(dut, seed, stalls)
        self.logits: dict[int, list[list[int]]] = {}

    async def _take_logits(self) -> None:
        while (found := self.peek_logits()) is not None:
            tag, logits = found
            self.logits.setdefault(tag >> 16 & 0xFF, []).append(logits)
            self.shown += 1
            await self.write(LOGITS + HOST, self.shown)


def words_of(slot: int, request: dict) -> list[int]:
    """A SUBMIT, greedy."""
    head = SUBMIT | (SHOW if request["logits"] else 0) | slot << 16 | len(request["prompt"])
    return [head, len(request["tokens"]) << 16, NO_STOP, 0, 0, 0, *request["prompt"]]


@cocotb.test()
@cocotb.parametrize(stalls=[0.0, 0.5])
async def all_slots_answer_as_the_golden_model(dut, stalls):
    host = Accelerator(dut, 1, stalls)
    await host.start({COMMANDS: 4, EVENTS: 3, LOGITS: 1})
    assert await host.read(BUILD) == EXPECTED["build"]
    assert await host.read(SHAPE) == EXPECTED["slots"]
    requests = EXPECTED["requests"]
    words = [word for slot, request in enumerate(requests) for word in words_of(slot, request)]
    sending = cocotb.start_soon(host.send(words))
    answers: list[list[int]] = [[] for _ in requests]
    events = await with_timeout(host.take(sum(len(request["tokens"]) for request in requests)), 2, "ms")
    await sending
    for event in events:
        answers[event >> 16 & 0xFF].append(event & 0xFFFF)
    assert answers == [request["tokens"] for request in requests]
    assert sum(bool(event & LAST) for event in events) == len(requests)
    assert host.logits == {slot: r["logits"] for slot, r in enumerate(requests) if r["logits"]}
