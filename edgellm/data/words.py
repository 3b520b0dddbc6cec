"""Slot values: names, items, messages and numbers, composed from word lists so that a model has to copy them.

Every open word belongs for good to the training or to the held-out half (a hash of the word decides), so a value
built from held-out words was never seen in training, whatever the seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from edgellm.data import invent

HELD_OUT_ONE_IN = 8
BARE_NAME_SHARE = 0.2
SMALL_WORD_SHARE = 0.25  # of invented words begin with one
# Bare nouns that a template without a name already means ("turn on the lights").
NEVER_BARE = frozenset({"light", "fan", "cover", "lawn_mower", "lock"})
PROPER_DOMAINS = frozenset({"scene", "script", "todo", "weather", "input_boolean", "button"})


@cache
def word_lists() -> dict[str, Any]:
    """The word lists of the home corpus (`edgellm/data/values.json`)."""
    text = resources.files("edgellm.data").joinpath("values.json").read_text("utf-8")
    return dict(json.loads(text))


def is_held_out(word: str) -> bool:
    """True for the eighth of all words that no training line may use in an open value."""
    return hashlib.sha256(word.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


class Values:
    """Draws slot values with one random generator, either from training words or from held-out words only."""

    def __init__(self, rng: random.Random, held_out: bool = False) -> None:
        self.rng = rng
        self.held_out = held_out
        lists = word_lists()
        self.lists = lists
        self.foods = self._mine(lists["foods"])
        self.people = self._mine(lists["people"])
        self.modifiers = self._mine(lists["modifiers"])
        self.words = self._mine(lists["words"])
        self.chain = invent.Chain([word for word in lists["words"] if not is_held_out(word)])

    def _mine(self, words: Sequence[str]) -> list[str]:
        return [word for word in words if is_held_out(word) == self.held_out]

    def pick(self, name: str) -> str:
        """One entry of the list `name`, held out or not."""
        return str(self.rng.choice(self.lists[name]))

    def area(self) -> str:
        return self.pick("areas")

    def floor(self) -> str:
        return self.pick("floors")

    def invented(self) -> str:
        """A word in no dictionary: pronounceable syllables, English-looking letters, or either behind a small word.

        `island` begins like `is`: a tokenizer cuts there, and a model that has rarely seen such words says `the land`.
        """
        while True:
            share = self.rng.random()
            word = self.chain.draw(self.rng) if share < 0.5 else invent.syllables(self.lists, self.rng)
            if not self.held_out and self.rng.random() < SMALL_WORD_SHARE:
                word = self.pick("small_words") + word[: self.rng.randint(2, 5)]
            if is_held_out(word) == self.held_out:
                return word

    def word(self) -> str:
        """Any single word: from the list or invented, in training more often, so that copying is learned and not the words."""
        listed = 0.7 if self.held_out else 0.5
        return self.rng.choice(self.words) if self.rng.random() < listed else self.invented()

    def item(self) -> str:
        """A shopping item such as `oat milk`."""
        share = self.rng.random()
        food, modified, single = (0.3, 0.5, 0.75) if self.held_out else (0.2, 0.35, 0.65)
        if share < food:
            return self.rng.choice(self.foods)
        if share < modified:
            return self.pick("food_modifiers") + " " + self.rng.choice(self.foods)
        if share < single:
            return self.word()
        return (self.pick("food_modifiers") if self.rng.random() < 0.5 else self.word()) + " " + self.word()

    def task(self) -> str:
        """A to-do entry such as `call bob` or `fix the lantern`."""
        share = self.rng.random()
        if share < 0.3:
            return self.pick("verbs") + " " + self.rng.choice(self.people)
        if share < 0.7:
            thing = self.word() if self.rng.random() < 0.6 else self.rng.choice(self.foods)
            return self.pick("actions") + (" the " if self.rng.random() < 0.5 else " ") + thing
        return self.item()

    def name(self, domain: str) -> str:
        """The name of a device, list, scene or person of that domain."""
        if domain == "person":
            known = self.held_out or self.rng.random() < 0.6
            return self.rng.choice(self.people) if known else self.invented()
        noun = self.rng.choice(self.lists["nouns"][domain])
        if domain in PROPER_DOMAINS:
            return self._proper_name(noun)
        return self._device_name(domain, noun)

    def _proper_name(self, noun: str) -> str:
        share = self.rng.random()
        if share < 0.45 and not self.held_out:
            return noun
        return self.word() if share < 0.7 else self.word() + " " + noun

    def _device_name(self, domain: str, noun: str) -> str:
        share = self.rng.random()
        if share < BARE_NAME_SHARE and not self.held_out and domain not in NEVER_BARE:
            return noun
        modified, owned = (0.6, 0.72) if self.held_out else (0.4, 0.5)
        if share < modified:
            return self.rng.choice(self.modifiers) + " " + noun
        if share < owned:
            return self.rng.choice(self.people) + "s " + noun
        return self.word() + " " + noun

    def message(self) -> str:
        """Something to announce."""
        share = self.rng.random()
        person, condition = self.rng.choice(self.people), self.pick("conditions")
        if share < 0.2 and not self.held_out:
            return self.pick("meals") + " is " + condition
        if share < 0.35:
            where = self.rng.choice(("downstairs", "upstairs", "here", "to the " + self.area()))
            return f"come {where} {person}" if self.held_out or self.rng.random() < 0.3 else f"come {where}"
        if share < 0.5:
            return f"{person} is {condition}"
        if share < 0.65:
            return f"{self.pick('message_openers')} {self.pick('actions')} the {self.word()}"
        if share < 0.85:
            return f"the {self.word()} is {condition}"
        return " ".join(self.word() for _ in range(self.rng.randint(1, 4)))

    def search_query(self) -> str:
        """Something to play."""
        share = self.rng.random()
        if share < 0.25 and not self.held_out:
            return self.pick("genres")
        if share < 0.55:
            return "the " + self.word()
        if share < 0.7:
            return self.rng.choice(self.people) + " " + self.word()
        return " ".join(self.word() for _ in range(self.rng.randint(1, 3)))

    def timer_name(self) -> str:
        if not self.held_out and self.rng.random() < 0.6:
            return self.pick("timer_names")
        return self.word() if self.rng.random() < 0.6 else self.rng.choice(self.foods)

    def timer_command(self) -> str:
        """A command to run later such as `turn off the desk lamp`."""
        share = self.rng.random()
        switch = "turn " + self.rng.choice(("on", "off")) + " the "
        if share < 0.35:
            return switch + self.name(self.rng.choice(("light", "switch", "fan", "media_player")))
        if share < 0.55:
            return f"{switch}{self.area()} lights"
        if share < 0.8:
            return self.rng.choice(("open", "close")) + " the " + self.name("cover")
        if share < 0.9:
            return self.rng.choice(("lock", "unlock")) + " the " + self.name("lock")
        return self.rng.choice(("start", "pause", "stop")) + " the " + self.name("media_player")

    def number(self, name: str, low: int, high: int, step: int) -> int:
        """A number a person would say for the list `name`: round ones more often, ranges narrowed to real life."""
        round_ones = self.lists["round_numbers"].get(name)
        if round_ones and self.rng.random() < 0.5:
            return int(self.rng.choice(round_ones))
        low, high = self.lists["numbers"].get(name, (low, high))
        if (low, high) == (0, 100) and self.rng.random() < 0.6:
            step = 5
        return self.rng.randrange(low, high + 1, step)
