"""Every model in the repository is what it says it is: checksums, QONNX and integer file, back ends."""

import numpy as np
import pytest

from edgellm import manifest, resources
from edgellm.export.from_qonnx import from_qonnx
from edgellm.export.graph import build_onnx
from edgellm.numerics import onnxfile
from edgellm.runtime.backends import cpu, golden

pytestmark = pytest.mark.cpu


def shipped():
    return sorted(path.parent for path in resources.models().glob("*/manifest.json"))


def test_the_integer_file_is_the_one_that_the_qonnx_file_gives():
    with_qonnx = [folder for folder in shipped() if "model.qonnx.onnx" in manifest.read(folder).files]
    assert "home-260k" in [folder.name for folder in with_qonnx]  # the larger ones go without, for their size
    for folder in with_qonnx:
        described = manifest.read(folder)
        model = from_qonnx(folder / "model.qonnx.onnx")
        stored = onnxfile.load(folder / "model.onnx")
        assert described.arch == {name: getattr(stored.arch, name) for name in described.arch}
        assert stored.arch == model.arch
        assert build_onnx(model).graph == build_onnx(stored).graph


def test_golden_and_cpu_give_the_same_tokens():
    rng = np.random.default_rng(0)
    for folder in shipped():
        described = manifest.read(folder)
        sessions = golden.open_session(folder), cpu.open_session(folder)
        for _ in range(4):
            prompt = [1, *rng.integers(3, described.arch["vocab"], 8).tolist()]
            answers = [
                list(session.stream(prompt, 40, frozenset(described.stop_ids))) for session in sessions
            ]
            assert answers[0] == answers[1], (folder.name, prompt)
