"""Back end `sim`: the accelerator's RTL in Verilator behind the same protocol as every other back end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from edgellm import cache, files, manifest, resources
from edgellm.errors import BackendFailed
from edgellm.numerics.generation import check_request
from edgellm.numerics.model import Architecture
from edgellm.numerics.sampling import GREEDY, Sampling
from edgellm.sim import design as designs
from edgellm.sim.accelerator import Accelerator, Event

DEFAULT_BOARD = "aup-zu3"
SLOT = 0


def open_session(folder: Path) -> SimulatedSession:
    """Compile the model for the default board (kept in the cache by content) and open the design."""
    from edgellm.compiler.compile import compile_model

    def build(work: Path) -> None:
        compile_model(folder, DEFAULT_BOARD, work / "design")

    return SimulatedSession(cache.fetch("design", _key(folder), build) / "design")


def _key(folder: Path) -> str:
    """Changes with the model and with everything that turns it into RTL."""
    digest = hashlib.sha256(DEFAULT_BOARD.encode())
    digest.update(
        json.dumps({n: e.sha256 for n, e in manifest.read(folder).files.items()}, sort_keys=True).encode()
    )
    compiler = resources.PACKAGE / "compiler"
    for path in sorted(
        [*compiler.rglob("*.py"), *resources.rtl().rglob("*.sv"), *resources.boards().glob("*.toml")]
    ):
        digest.update(path.name.encode() + files.sha256(path).encode())
    return digest.hexdigest()[:32]


class SimulatedSession:
    """One slot of a simulated accelerator; see `runtime.backends.base.Session`.

    `timings`: cycles (submit to last token), cycles_first_token, cycles_per_token (between tokens; all cycles of a single one).
    """

    name = "sim"

    def __init__(self, design: Path, finn_core: bool = False) -> None:
        self.device: Accelerator | None = Accelerator(design, finn_core=finn_core)
        self.design = self.device.design
        self.arch = Architecture(**manifest.read(design / designs.MODEL).arch)
        self.finish_reason = ""
        self.timings: Mapping[str, float] = {}

    def stream(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: frozenset[int],
        sampling: Sampling = GREEDY,
    ) -> Iterator[int]:
        """Tokens as the events arrive; an answer that is not read to its end resets the device."""
        check_request(self.arch, prompt_ids, max_tokens)
        device = self.open_device()
        return self._answer(
            device, partial(device.submit, SLOT, prompt_ids, max_tokens, stop_ids, 0, sampling)
        )

    def open_device(self) -> Accelerator:
        """The device; BackendFailed after `close`."""
        if self.device is None:
            raise BackendFailed("the simulated accelerator is closed")
        return self.device

    def _answer(self, device: Accelerator, submit: Callable[[], None]) -> Iterator[int]:
        start, seen = device.cycle, list[Event]()
        submit()
        try:
            while not seen or seen[-1].reason is None:
                for event in device.wait():
                    seen.append(event)
                    if event.reason == "rejected":
                        raise BackendFailed(f"the accelerator rejected a prompt for slot {SLOT}")
                    if event.reason != "stop":
                        yield event.token
        finally:
            if not seen or seen[-1].reason is None:
                device.reset()
        self.finish_reason = seen[-1].reason or ""
        self.timings = device_timings(start, seen)

    def close(self) -> None:
        """Free the simulator."""
        self.device = None


def device_timings(start: int, events: Sequence[Event]) -> dict[str, float]:
    """Cycle counts of one answer from its events."""
    first, last = events[0].cycle, events[-1].cycle
    between = (last - first) / (len(events) - 1) if len(events) > 1 else float(last - start)
    return {
        "cycles": float(last - start),
        "cycles_first_token": float(first - start),
        "cycles_per_token": between,
    }
