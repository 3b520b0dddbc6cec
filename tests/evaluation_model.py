"""A small random model in a folder, test sets for it, and readers that do what a test wants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toy import ARCH, EOS, tokenizer_json

from edgellm import manifest
from edgellm.evaluation.examples import Reading
from edgellm.evaluation.sets import Case, CaseSet
from edgellm.export.graph import build_onnx
from edgellm.numerics.model import LOGIT_STEP_KEY, Architecture
from edgellm.numerics.random import random_model
from edgellm.runtime.device import MODEL_FILE

STEP = 1 / 512
SHAPE = Architecture(**ARCH)
RIGHT = "HassTurnOn area= dining room name= lamp\tTurned on the light"
COMMAND = Case(1, "turn on the lamp", *RIGHT.split("\t"))


def model(step: str | None = repr(STEP)):
    metadata = {} if step is None else {LOGIT_STEP_KEY: step}
    return replace(random_model(SHAPE, 5), metadata=metadata)


def write_model(folder: Path, step: str | None = repr(STEP)) -> Path:
    """A model folder whose answers are noise, with the toy tokenizer: a token a byte."""
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(build_onnx(model(step)).SerializeToString())
    (folder / "tokenizer.json").write_text(tokenizer_json())
    files = {name: manifest.describe(folder / name) for name in (MODEL_FILE, "tokenizer.json")}
    manifest.write(folder, manifest.Manifest("noise", "random weights", files, (EOS,), ARCH))
    return folder


def case_set(*cases: Case, name: str = "tried.tsv", commands: bool = True) -> CaseSet:
    return CaseSet(name, Path("somewhere") / name, "0" * 64, cases, commands)


class Scripted:
    """A reader that gives fixed readings."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = readings

    def read(self, examples):
        self.examples = examples
        yield from reversed(list(enumerate(self.readings)))
