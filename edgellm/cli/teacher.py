"""`edgellm paraphrase` and `edgellm write`: a language-model teacher writes training text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm import downloads
from edgellm.cli.build import TRAIN_HINT, require
from edgellm.cli.common import Commands, command, table
from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm.train.sampling import Writer

PARAPHRASE_EXAMPLES = """\
examples:
  edgellm fetch teacher
  edgellm paraphrase runs/home/corpus/train.tsv -o paraphrases.tsv
  edgellm paraphrase train.tsv -o more.tsv --teacher ~/models/my-llama --sources 20 --seed 2

Work that is done lies beside the output (FILE.work.jsonl): after an interruption the same command goes on.
"""
WRITE_EXAMPLES = """\
examples:
  edgellm fetch teacher
  edgellm write -o household.txt --prompts 1000           the plan that ships: questions about the home
  edgellm write --plan my-domain.json -o texts.txt --prompts 500

Work that is done lies beside the output (FILE.work.jsonl): after an interruption the same command goes on.
"""
PARAPHRASE_TOKENS, WRITE_TOKENS = 24, 40


def add(commands: Commands) -> None:
    """Register both commands."""
    reword = command(
        commands,
        "paraphrase",
        "let a teacher reword the commands of a corpus",
        run_paraphrase,
        PARAPHRASE_EXAMPLES,
    )
    reword.add_argument("corpus", metavar="CORPUS", type=Path, help="TSV file: command, target, reply")
    _number(reword, "sources", 8, "corpus lines an intent")
    _number(reword, "samples", 32, "texts tried for each line")
    _number(reword, "variants", 2, "copies of each paraphrase with other values")
    write = command(
        commands, "write", "let a teacher write a plain-text corpus from a plan", run_write, WRITE_EXAMPLES
    )
    write.add_argument(
        "--plan", metavar="FILE", type=Path, help="JSON: prompt, titles, lists, names, sentences"
    )
    _number(write, "prompts", 100, "titles of the plan")
    _number(write, "samples", 12, "texts tried for each title")
    for parser in (reword, write):
        _add_teacher(parser)


def _number(parser: argparse.ArgumentParser, name: str, value: int, meaning: str) -> None:
    parser.add_argument(
        f"--{name}", metavar="N", type=int, default=value, help=f"{meaning} (default: {value})"
    )


def _add_teacher(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="file to write; how goes to the .json beside it",
    )
    parser.add_argument(
        "--teacher",
        metavar="PATH",
        type=Path,
        help="Hugging Face folder or GGUF file (default: the fetched one)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="default: 1")
    parser.add_argument("--threads", metavar="N", type=int, help="CPU threads (default: as PyTorch decides)")


def run_paraphrase(options: argparse.Namespace) -> int:
    """Write the paraphrases; say how many were kept and why the others were not."""
    from edgellm.data import corpus, paraphrase
    from edgellm.data.journal import Journal

    if options.corpus.suffix != ".tsv":
        raise UsageError(f"{options.corpus}: give a .tsv file of command, target, reply")
    settings = paraphrase.Settings(
        sources=options.sources, samples=options.samples, variants=options.variants, seed=options.seed
    )
    rows = corpus.read_split(options.corpus.parent, options.corpus.stem)
    writer = _writer(options, PARAPHRASE_TOKENS, 0.85)
    paraphraser = paraphrase.Paraphraser(rows, writer, Journal(_work(options.output)), settings)
    _report(paraphrase.write(paraphraser, options.output), options.output)
    return 0


def run_write(options: argparse.Namespace) -> int:
    """Write the texts; say how many were kept and why the others were not."""
    from edgellm.data import texts
    from edgellm.data.journal import Journal

    plan = texts.read_plan(options.plan or texts.SHIPPED_PLAN)
    settings = texts.TextSettings(prompts=options.prompts, samples=options.samples, seed=options.seed)
    writer = _writer(options, WRITE_TOKENS, 0.8)
    author = texts.TextWriter(plan, writer, Journal(_work(options.output)), settings)
    _report(texts.write(author, options.output), options.output)
    return 0


def _writer(options: argparse.Namespace, max_tokens: int, temperature: float) -> Writer:
    """The teacher of the options, loaded."""
    require("torch", TRAIN_HINT)
    require("transformers", TRAIN_HINT)
    import torch

    from edgellm.train.sampling import Sampling, Writer
    from edgellm.train.teachers import load_teacher

    if options.threads is not None:
        if options.threads < 1:
            raise UsageError(f"--threads must be at least 1, not {options.threads}")
        torch.set_num_threads(options.threads)
    teacher = load_teacher(options.teacher or downloads.find(downloads.TEACHER))
    return Writer(teacher, Sampling(max_tokens=max_tokens, temperature=temperature))


def _work(output: Path) -> Path:
    return output.with_name(f"{output.name}.work.jsonl")


def _report(about: dict[str, object], output: Path) -> None:
    rejected = about["rejected"]
    if isinstance(rejected, dict) and rejected:
        print(table(["rejected because", "texts"], [*rejected.items()]))
    print(f"wrote {about['lines']} lines to {output}")
