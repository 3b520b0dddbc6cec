"""What can be asked for. Null is the same as nothing; what OpenAI has and this service has not takes its neutral value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from edgellm.serve.api.schemas import fields
from edgellm.serve.api.schemas.fields import Asking


class StreamOptions(Asking):
    """What a stream has besides its text."""

    include_usage: bool | None = Field(None, description="one more chunk before [DONE], with the usage")
    include_obfuscation: Literal[False] | None = Field(None, description="padding of chunks: not supported")


class JsonSchema(Asking):
    """A schema that the answer follows."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    json_schema: dict[str, Any] = Field(alias="schema", description="JSON Schema")
    strict: bool | None = Field(None, description="answers always follow the schema")
    description: None = Field(None, description="for models that read it: not supported")


class TextFormat(Asking):
    """Any text."""

    type: Literal["text"]


class JsonFormat(Asking):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(Asking):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]


class Generation(Asking):
    """What both of OpenAI's requests have, and this engine's own parameters."""

    model: str = Field(description="name of a served model")
    max_tokens: fields.Count | None = Field(
        None, description="null: to the model's end or that of its context"
    )
    stop: fields.Stop | fields.Stops | None = Field(None, description="texts that the answer ends before")
    n: fields.Choices | None = Field(None, description="answers; the i-th is drawn with seed + i. Default 1")
    temperature: fields.Temperature | None = Field(None, description="default 0: the likeliest token always")
    top_p: fields.TopP | None = Field(None, description="draw from the likeliest with this share. Default 1")
    top_k: fields.TopK | None = Field(None, description="draw from so many likeliest; 0 is all (default)")
    min_p: fields.Share | None = Field(None, description="draw from those at least so likely. Default 0")
    seed: fields.Seed | None = Field(None, description="null: a random one, which the answer tells")
    presence_penalty: fields.Penalty | None = Field(None, description="nats off a token that came. Default 0")
    frequency_penalty: fields.Penalty | None = Field(
        None, description="nats off for each time it came. Default 0"
    )
    logit_bias: dict[fields.TokenKey, fields.Bias] | None = Field(None, description="nats, by token id")
    response_format: ResponseFormat | None = Field(None, description="the form of the answer")
    stream: bool | None = Field(None, description="server-sent events instead of one body")
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    user: str | None = Field(None, max_length=256, description="the end user, for the log; changes no token")
    regex: fields.Text | None = Field(None, description="the whole answer matches this (own parameter)")
    grammar: fields.Text | None = Field(
        None, description="the answer follows this Lark or GBNF grammar (own)"
    )
    choices: Annotated[list[fields.Text], Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="the answer is one of these (own)"
    )
    truncate: fields.Truncate | None = Field(None, description="of a prompt that is too long (own)")
    least_confidence: fields.Share | None = Field(
        None, description="end where the likeliest token is less probable (own)"
    )
    repeats: Annotated[int, Field(ge=0, le=1_000)] | None = Field(
        None, description="end where the same tokens came so often in a row; 0 is never, 1 is refused (own)"
    )
    speculate: bool | None = Field(None, description="guess tokens; changes none (own)")
    priority: fields.Priority | None = Field(None, description="the higher, the earlier. Default 0 (own)")
    deadline: fields.Deadline | None = Field(None, description="seconds that the answer may take (own)")


class CompletionRequest(Generation):
    """Body of /v1/completions."""

    prompt: str | list[str] | fields.Tokens | list[fields.Tokens] = Field(
        union_mode="left_to_right",
        description="a text, put into the model's template; or token ids, used as they are; or a list of either",
    )
    logprobs: fields.Logprobs | None = Field(None, description="show the likeliest so many tokens of each")
    best_of: Literal[1] | None = Field(None, description="not supported")
    echo: Literal[False] | None = Field(None, description="not supported")
    suffix: Literal[""] | None = Field(None, description="not supported")


class TextPart(Asking):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(Asking):
    """One message; this service's models answer one user message."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = Field(None, union_mode="left_to_right")
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    name: None = None
    tool_call_id: None = None


class ChatRequest(Generation):
    """Body of /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)] = Field(description="one user message")
    max_completion_tokens: fields.Count | None = Field(None, description="the same as max_tokens")
    logprobs: bool | None = Field(None, description="show log probabilities")
    top_logprobs: fields.Logprobs | None = Field(None, description="of so many likeliest; only with logprobs")
    tools: Annotated[list[Any], Field(max_length=0)] | None = Field(None, description="not supported")
    tool_choice: Literal["none", "auto"] | None = Field(None, description="there are no tools")
    parallel_tool_calls: None = Field(None, description="not supported")
    functions: Annotated[list[Any], Field(max_length=0)] | None = Field(None, description="not supported")
    function_call: Literal["none", "auto"] | None = Field(None, description="there are no functions")
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = Field(
        None, description="text only"
    )
    audio: None = Field(None, description="not supported")
    prediction: None = Field(None, description="not supported")
    reasoning_effort: Literal["none"] | None = Field(None, description="not supported")
    verbosity: None = Field(None, description="not supported")
    service_tier: Literal["auto", "default"] | None = Field(None, description="there is one tier")
    store: Literal[False] | None = Field(None, description="not supported")
    metadata: Annotated[dict[str, Any], Field(max_length=0)] | None = Field(None, description="not supported")
    web_search_options: None = Field(None, description="not supported")


class IntentRequest(Asking):
    """Body of /v1/intent."""

    text: str = Field(description="what the person said")
    model: str | None = Field(None, description="null: the first served model whose answers are intents")
    language: str | None = Field(
        None,
        pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$",
        max_length=35,
        description="comes back; default en",
    )
    conversation_id: str | None = Field(None, max_length=256, description="comes back")
    priority: fields.Priority | None = None
    deadline: fields.Deadline | None = None
