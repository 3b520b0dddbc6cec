"""Types that fields share. Limits are those of `runtime.params`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgellm.numerics.sampling import MAX_TEMPERATURE, TEMPERATURE_STEPS
from edgellm.runtime.params import MOST_BIAS, MOST_LOGPROBS, MOST_PENALTY

MOST_STOPS = 16
MOST_STOP_CHARACTERS = 1_000
MOST_CHOICES = 128  # of a request; `limits.choices` of the service may be lower
MOST_TOKENS = 1 << 31
MOST_PRIORITY = 100
MOST_DEADLINE = 86_400.0  # s

Temperature = Annotated[float, Field(ge=0, le=MAX_TEMPERATURE / TEMPERATURE_STEPS)]
Share = Annotated[float, Field(ge=0, le=1)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Penalty = Annotated[float, Field(ge=-MOST_PENALTY, le=MOST_PENALTY)]
TokenKey = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$")]
Bias = Annotated[float, Field(ge=-MOST_BIAS, le=MOST_BIAS)]
Seed = Annotated[int, Field(ge=0, lt=1 << 64)]
Count = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
Choices = Annotated[int, Field(ge=1, le=MOST_CHOICES)]
Logprobs = Annotated[int, Field(ge=0, le=MOST_LOGPROBS)]
Stop = Annotated[str, Field(min_length=1, max_length=MOST_STOP_CHARACTERS)]
Stops = Annotated[list[Stop], Field(max_length=MOST_STOPS)]
Text = Annotated[str, Field(min_length=1)]
Token = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Priority = Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)]
Deadline = Annotated[float, Field(gt=0, le=MOST_DEADLINE)]
Truncate = Literal["error", "left", "middle"]


class Asking(BaseModel):
    """A request's body, or a part of it: what it does not know is refused, and nothing is taken for something else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class Told(BaseModel):
    """An answer's body, or a part of it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
