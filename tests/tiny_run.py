"""A whole distillation in seconds: a recipe with a tiny teacher and student, run once for all tests of a session."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

RECIPE = """
name = "tiny"
description = "for tests"
seed = 3
least_per_intent = 8
test_lines = 2

[corpus]
train = 900
valid = 20

[teacher]
vocab = 360
width = 24
layers = 1
heads = 2
kv_heads = 1
head_dim = 12
ffn = 48
context = 256

[teacher_plan]
tokens = 24000

[student]
vocab = 360
width = 16
layers = 2
heads = 4
kv_heads = 2
head_dim = 8
ffn = 32
context = 256

[student_plan]
tokens = 24000

[qat_plan]
tokens = 3000
lr = 0.002
embedding_lr = 0.001
distil = 0.5
"""

_kept: list[tempfile.TemporaryDirectory[str]] = []


def write_recipe(folder: Path) -> Path:
    path = folder / "tiny.toml"
    path.write_text(RECIPE)
    return path


@functools.cache
def finished_run() -> Path:
    """The folder of a run of every stage; not to be changed."""
    from edgellm.train import distill

    place = tempfile.TemporaryDirectory()
    _kept.append(place)
    folder = Path(place.name)
    distill.run(write_recipe(folder), folder / "run")
    return folder / "run"
