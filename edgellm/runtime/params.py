"""What a caller may ask of an answer, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypedDict

from edgellm.errors import UsageError
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.choice import Rules
from edgellm.runtime.grammar import Form
from edgellm.truncation import POLICIES

MOST_BIAS = 100.0  # nats
MOST_PENALTY = 2.0 * 16  # nats
MOST_LOGPROBS = 20
KEPT = 256  # checked options
FORMS = ("json_schema", "grammar", "regex", "choices")
_PENALTY = (-MOST_PENALTY, MOST_PENALTY, f"-{MOST_PENALTY:g} to {MOST_PENALTY:g} nats")
LIMITS: dict[str, tuple[float, float, str]] = {
    "temperature": (0, 16, "0 to below 16"),
    "top_k": (0, math.inf, "0 (all) or more"),
    "top_p": (0, 1, "above 0, to 1"),
    "min_p": (0, 1, "0 to 1"),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "least_confidence": (0, 1, "0 to 1"),
}


class Options(TypedDict, total=False):
    """Keyword arguments of `LLM.generate` and its kin; see `Params`."""

    max_tokens: int | None
    stop: str | Sequence[str]
    temperature: float
    seed: int
    top_k: int
    top_p: float
    min_p: float
    logit_bias: Mapping[int, float]
    presence_penalty: float
    frequency_penalty: float
    logprobs: int | None
    least_confidence: float
    repeats: int
    json_schema: str | Mapping[str, Any] | None
    grammar: str | None
    regex: str | None
    choices: Sequence[str]
    truncate: str
    speculate: bool
    deadline: float | None
    priority: int


@dataclass(frozen=True, slots=True)
class Params:
    """How an answer is made, and when it ends."""

    max_tokens: int | None = None  # None: to the end of the context
    stop: tuple[str, ...] = ()  # texts that the answer ends before
    temperature: float = 0.0  # 0 is greedy; below 16
    seed: int = 0  # 64 bits: the same tokens again, on every back end
    top_k: int = 0  # draw from so many likeliest tokens; 0 is all
    top_p: float = 1.0  # from the likeliest that have this share of the probability
    min_p: float = 0.0  # from those at least so many times as likely as the likeliest
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # token -> nats, -100 to 100
    presence_penalty: float = 0.0  # nats off a token that the answer has already
    frequency_penalty: float = 0.0  # nats off for each time
    logprobs: int | None = None  # show log probabilities, and those of so many likeliest tokens
    least_confidence: float = 0.0  # end where the likeliest token is less probable
    repeats: int = 0  # end where the same tokens came so many times in a row; 0 is never
    json_schema: str | Mapping[str, Any] | None = None  # the answer is JSON of this schema
    grammar: str | None = None  # follows this one: Lark, or GBNF
    regex: str | None = None  # matches this expression as a whole
    choices: tuple[str, ...] = ()  # is one of these texts
    truncate: str = "error"  # what to do with a prompt that is too long: error, left, middle
    speculate: bool = True  # guess tokens where the back end gains; it changes none
    deadline: float | None = None  # seconds from the call
    priority: int = 0  # the higher, the earlier
    _sampling: Sampling = field(init=False, repr=False, compare=False)
    _rules: Rules = field(init=False, repr=False, compare=False)
    _form: Form | None = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, options: Options) -> Params:
        """From keyword arguments. Raises: UsageError naming the argument, its value and what it may be."""
        values: dict[str, Any] = dict(options)
        for name in values:
            if name not in NAMES:
                raise UsageError(f"there is no option {name!r}: options are {', '.join(NAMES)}")
        if "stop" in values:
            stop = values["stop"]
            values["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        if "choices" in values:
            choices = values["choices"]
            if isinstance(choices, str) or not isinstance(choices, Sequence):
                raise UsageError(f"choices is {choices!r}: must be a list of texts")
            values["choices"] = tuple(choices)
        try:
            return _checked(tuple(values.items()))
        except TypeError:  # a value that cannot be a key
            return cls(**values)

    def __post_init__(self) -> None:
        self._check_ends()
        for name, (low, high, what) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}: must be {what}")
        if self.top_p == 0:
            raise UsageError("top_p is 0: must be above 0, to 1")
        if self.logprobs is not None and not 0 <= self.logprobs <= MOST_LOGPROBS:
            raise UsageError(f"logprobs is {self.logprobs}: must be 0 to {MOST_LOGPROBS}")
        for token, nats in self.logit_bias.items():
            if not -MOST_BIAS <= nats <= MOST_BIAS:
                raise UsageError(
                    f"logit_bias of token {token} is {nats}: must be -{MOST_BIAS:g} to {MOST_BIAS:g} nats"
                )
        if self.truncate not in POLICIES:
            raise UsageError(f"truncate is {self.truncate!r}: must be one of {', '.join(POLICIES)}")
        object.__setattr__(self, "_sampling", Sampling.of(self.seed, self.temperature))
        object.__setattr__(self, "_form", self._checked_form())
        object.__setattr__(self, "_rules", self._drawn_rules())

    def _checked_form(self) -> Form | None:
        wanted = [name for name in FORMS if getattr(self, name) not in (None, ())]
        if len(wanted) > 1:
            raise UsageError(f"{' and '.join(wanted)} are given: an answer has one form, so give one of them")
        if not wanted:
            return None
        value = getattr(self, wanted[0])
        if wanted[0] == "json_schema":
            return Form("json_schema", _schema(value))
        if wanted[0] == "choices":
            return Form("choices", _choices(value))
        if not isinstance(value, str) or not value:
            raise UsageError(f"{wanted[0]} is {value!r}: must be a text that is not empty")
        return Form(wanted[0], value)

    def _check_ends(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if "" in self.stop:
            raise UsageError("a stop string must not be empty")
        if self.deadline is not None and not 0 < self.deadline < math.inf:
            raise UsageError(f"deadline is {self.deadline} seconds: must be more than 0")
        if self.repeats == 1 or self.repeats < 0:
            raise UsageError(f"repeats is {self.repeats}: must be 0 (never) or at least 2")

    def sampling(self) -> Sampling:
        """The draw of tokens."""
        return self._sampling

    def rules(self) -> Rules:
        """What the host has to choose by."""
        return self._rules

    def form(self) -> Form | None:
        """The form that the answer must have, if any."""
        return self._form

    def _drawn_rules(self) -> Rules:
        drawn = self.temperature > 0  # cuts change nothing where the likeliest token is taken
        return Rules(
            self.top_k if drawn else 0,
            self.top_p if drawn else 1.0,
            self.min_p if drawn else 0.0,
            self.logit_bias,
            self.presence_penalty,
            self.frequency_penalty,
            self.logprobs,
            self.least_confidence,
        )


NAMES = tuple(name for name in Params.__slots__ if not name.startswith("_"))


@lru_cache(KEPT)
def _checked(values: tuple[tuple[str, Any], ...]) -> Params:
    """A caller asks for the same thing again and again."""
    return Params(**dict(values))


def _schema(value: object) -> str:
    """A schema as JSON in one line; white space between its values is left out unless it says otherwise."""
    try:
        schema = json.loads(value) if isinstance(value, str) else value
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise UsageError(f"json_schema is {value!r}: must be a JSON object")
        own = schema.get("x-guidance", {})
        return json.dumps({**schema, "x-guidance": {"whitespace_flexible": False, **own}}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"json_schema is no JSON: {error}") from None


def _choices(values: Sequence[object]) -> str:
    for value in values:
        if not isinstance(value, str) or not value:
            raise UsageError(f"choices has {value!r}: must be texts that are not empty")
    return json.dumps(values)
