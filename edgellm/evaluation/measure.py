"""Runs a test set through a model and makes the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgellm import progress
from edgellm.evaluation import scores
from edgellm.evaluation.examples import Codec, Reader
from edgellm.evaluation.scores import Outcome
from edgellm.evaluation.sets import CaseSet


@dataclass(frozen=True, slots=True)
class SetReport:
    """What came out for one test set; `outcomes` in the order of its cases."""

    chosen: CaseSet
    outcomes: tuple[Outcome, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers of the whole set, see `scores.score`. JSON-ready."""
        return scores.score(self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """`summary`, the file's checksum, and per intent with the wrong ones counted. JSON-ready."""
        report = {"file": self.chosen.path.name, "sha256": self.chosen.sha256, **self.summary()}
        if not self.chosen.commands:
            return report
        wrong = [
            (*pair, n) for pair, n in scores.confusions(self.outcomes).most_common() if pair[0] != pair[1]
        ]
        return report | {"intents": scores.per_intent(self.outcomes), "confusions": wrong}

    def notes(self) -> list[str]:
        """What a reader of the numbers should know."""
        lines, too_long = len(self.outcomes), sum(not outcome.fits for outcome in self.outcomes)
        if not too_long:
            return []
        what = f"{self.chosen.name}: {too_long} of {lines} lines do not fit the model's context"
        return [f"{what}; they count as wrong and have no loss"]


def measure(reader: Reader, codec: Codec, chosen: CaseSet, title: str) -> SetReport:
    """Read every case of a set, with a progress bar called `title`. Raises what `Codec.examples` and the reader raise."""
    examples = codec.examples(chosen)
    outcomes = [Outcome(case, chosen.commands, "", 0, None, fits=False) for case in chosen.cases]
    fitting = [index for index, example in enumerate(examples) if len(example.fed) <= codec.context]
    done = right = 0
    with progress.track(title, len(fitting)) as bar:
        for place, reading in reader.read([examples[index] for index in fitting]):
            index = fitting[place]
            text, tokens = codec.text(reading.answer), len(examples[index].expected)
            outcomes[index] = Outcome(chosen.cases[index], chosen.commands, text, tokens, reading.nats)
            done, right = done + 1, right + outcomes[index].exact
            shown = {"exact": f"{100 * right / done:.1f} %"} if chosen.answers else {}
            bar.advance(1, **shown)
    return SetReport(chosen, tuple(outcomes))


def measure_all(reader: Reader, codec: Codec, sets: Sequence[CaseSet], title: str) -> dict[str, SetReport]:
    """Set name -> report. Every set is encoded before the first one runs, so that a bad line is found at once."""
    for chosen in sets:
        codec.examples(chosen)
    return {chosen.name: measure(reader, codec, chosen, f"{title} {chosen.name}") for chosen in sets}
