"""A small corpus with six intents, most of them with areas, and a model that says what it is told."""

from __future__ import annotations

from edgellm.data.textmodel import Drawn

AREAS = ("den", "attic", "office", "kitchen")
TURN_ON = ("turn on the {}", "switch the {} on", "get the {} on", "can you turn the {} on", "the {} on now")
TURN_OFF = (
    "turn off the {}",
    "switch the {} off",
    "get the {} off",
    "can you turn the {} off",
    "the {} off now",
)
COUNT = (
    "count down {} minutes",
    "set a timer for {} minutes",
    "can you set {} minutes now",
    "the timer to {} minutes",
)

OTHERS = {
    "HassVacuumCleanArea": ("vacuum the {}", "can you vacuum the {} now", "the {} is dirty", "clean the {}"),
    "HassMediaPause": ("pause the {} music", "can you pause the {} movie now", "the {} music should wait"),
    "HassSetVolume": ("quiet in the {}", "the {} volume down", "can you make the {} softer now"),
}


def rows() -> list[tuple[str, str, str]]:
    """Every pattern with every area, kind of thing or number."""
    found = []
    for area in AREAS:
        for kind in ("lights", "fans"):
            place = f"{area} {kind}"
            slots = f"area= {area} domain= {kind[:-1]}"
            found += [(text.format(place), f"HassTurnOn {slots}", "On") for text in TURN_ON]
            found += [(text.format(place), f"HassTurnOff {slots}", "Off") for text in TURN_OFF]
        for intent, patterns in OTHERS.items():
            found += [(text.format(area), f"{intent} area= {area}", "Done") for text in patterns]
    for number in (5, 10, 20):
        found += [(text.format(number), f"HassStartTimer minutes= {number}", "Started") for text in COUNT]
    return found


class Told:
    """Answers every prompt with the same texts; scores lines by their longest match with the prompt's lines."""

    def __init__(self, *texts: str, log_likelihood: float = -1.0, finished: bool = True) -> None:
        self.texts, self.log_likelihood, self.finished = texts, log_likelihood, finished
        self.prompts: list[str] = []
        self.scored: list[str] = []

    def describe(self) -> dict[str, object]:
        return {"teacher": {"name": "told"}}

    def sample(self, prompt: str, count: int, seed: int) -> list[Drawn]:
        self.prompts.append(prompt)
        return [Drawn(f" {text}", self.log_likelihood, self.finished) for text in self.texts]

    def score(self, prompt: str, texts) -> list[float]:
        self.scored.append(prompt)
        known = set(prompt.split())
        return [-5.0 * sum(word not in known for word in text.split()) for text in texts]
