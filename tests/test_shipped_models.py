"""Every model in the repository is what it says it is: checksums, QONNX and integer file, back ends."""

from functools import partial

import numpy as np
import pytest

from edgellm import manifest, resources
from edgellm.export.from_qonnx import from_qonnx
from edgellm.export.graph import build_onnx
from edgellm.numerics import onnxfile
from edgellm.runtime import scoring
from edgellm.runtime.backends import cpu, golden, native
from edgellm.runtime.engine import Engine

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


def test_golden_cpu_and_native_give_the_same_tokens():
    rng = np.random.default_rng(0)
    for folder in shipped():
        described = manifest.read(folder)
        prompts = [[1, *rng.integers(3, described.arch["vocab"], 8).tolist()] for _ in range(4)]
        answers = []
        for backend in (golden, cpu, native):
            engine = Engine([partial(backend.open_device, folder)])
            answers.append(scoring.answers(engine, prompts, 40, frozenset(described.stop_ids)))
            engine.close()
        assert answers[0] == answers[1] == answers[2], folder.name
