"""`edgellm distill` and `edgellm export`: from a recipe to a trained model, from a checkpoint to an integer model."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from edgellm.cli.common import Commands, command
from edgellm.errors import BackendUnavailable

DISTILL_EXAMPLES = """\
examples:
  edgellm distill models/home-260k/config.toml -o runs/home
  edgellm distill models/home-260k/config.toml -o runs/home --resume    go on after an interruption
  edgellm distill models/home-260k/config.toml -o runs/home --until student
  edgellm distill models/home-260k/config.toml -o runs/home --stage qat one stage; those it reads from are finished
  torchrun --nproc-per-node 2 -m edgellm.cli.main distill models/home-260k/config.toml -o runs/home --device cuda
"""
EXPORT_EXAMPLES = """\
examples:
  edgellm export runs/home/checkpoint -o runs/home/model
  edgellm generate runs/home/model -p "turn on the kitchen light"
"""
TRAIN_HINT = "pip install torch==2.13.0 && pip install 'edgellm[train]'"


def add(commands: Commands) -> None:
    """Register both commands."""
    distill = command(
        commands,
        "distill",
        "train a model from its recipe: corpus, teacher, student, pruning, QAT, evaluation, integer model",
        run_distill,
        DISTILL_EXAMPLES,
    )
    distill.add_argument("config", metavar="CONFIG", type=Path, help="TOML recipe")
    distill.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="folder for checkpoints and logs"
    )
    distill.add_argument("--resume", action="store_true", help="go on from the last checkpoint in DIR")
    distill.add_argument(
        "--stage",
        metavar="NAME",
        help="this stage alone: corpus, teacher, student, prune, qat, evaluate or export",
    )
    distill.add_argument("--until", metavar="NAME", help="the stages up to this one")
    distill.add_argument("--device", metavar="DEVICE", default="cpu", help="cpu (default) or cuda")
    distill.add_argument(
        "--threads", metavar="N", type=int, default=1, help="CPU threads; 1 (default) repeats bit for bit"
    )
    export = command(
        commands,
        "export",
        "turn a checkpoint into QONNX and the integer ONNX model",
        run_export,
        EXPORT_EXAMPLES,
    )
    export.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="checkpoint folder written by distill"
    )
    export.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="model folder to write"
    )


def require(module: str, hint: str) -> None:
    """BackendUnavailable with the way to install `module` when it is not there."""
    if importlib.util.find_spec(module) is None:
        raise BackendUnavailable(f"{module} is not installed, this command needs it: {hint}")


def run_distill(options: argparse.Namespace) -> int:
    """Train what the recipe describes, or the stages asked for."""
    require("torch", TRAIN_HINT)
    require("brevitas", TRAIN_HINT)
    from edgellm.train import distill

    distill.run(
        options.config,
        options.output,
        options.resume,
        options.stage,
        options.until,
        options.device,
        options.threads,
    )
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Write the model folder."""
    require("torch", TRAIN_HINT)
    require("brevitas", TRAIN_HINT)
    from edgellm.export.integer import export_model

    export_model(options.checkpoint, options.output)
    print(f"wrote {options.output}")
    return 0
