"""What comes back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgellm.serve.api.schemas.fields import Told

FinishReason = Literal["stop", "length"]


class ErrorDetail(Told):
    """An error."""

    message: str
    type: str
    param: str | None = Field(description="the field that it is about")
    code: str | None


class ErrorBody(Told):
    """An error in OpenAI's shape."""

    error: ErrorDetail


class Times(Told):
    """Seconds since the request was read."""

    first_token: float
    total: float
    queued: float
    tokens_per_second: float
    device: dict[str, float] = Field(description="what the back end counts, for example cycles")


class Extension(Told):
    """What OpenAI has no field for."""

    finish_reason: Literal["stop", "length", "context", "deadline", "repetition", "confidence"] = Field(
        description="why the answer ended"
    )
    backend: str | None = Field(description="null where it is not known")
    origin: str | None = Field(description="generated, cache or shared; null where it is not known")
    seed: int | None = Field(description="of the draw; null for greedy answers")
    timings: Times


class CachedTokens(Told):
    """Details of the prompt's tokens."""

    cached_tokens: int


class Usage(Told):
    """Tokens of prompts (each once) and of all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class CompletionLogprobs(Told):
    """Log probabilities in the shape of /v1/completions."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Told):
    """One answer."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason
    edgellm: Extension


class CompletionReply(Told):
    """Body of an answer of /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class CompletionChunkChoice(Told):
    """A part of one answer; the last one has a finish_reason."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    edgellm: Extension | None = None


class CompletionChunk(Told):
    """A chunk of a stream of /v1/completions; the one with the usage has no choices."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChunkChoice]
    usage: Usage | None = None


class TopLogprob(Told):
    """A token and its log probability. `token` has U+FFFD for bytes that are no text; `bytes` is exact."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest ones in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(Told):
    """Log probabilities in the shape of /v1/chat/completions."""

    content: list[TokenLogprob]
    refusal: None


class ReplyMessage(Told):
    """The model's message."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Told):
    """One answer."""

    index: int
    message: ReplyMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason
    edgellm: Extension


class ChatReply(Told):
    """Body of an answer of /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(Told):
    """What is new; the first one has the role."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(Told):
    """A part of one answer; the last one has a finish_reason."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    edgellm: Extension | None = None


class ChatChunk(Told):
    """A chunk of a stream of /v1/chat/completions; the one with the usage has no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None


class ModelCard(Told):
    """What is told of a model beyond OpenAI's fields."""

    description: str
    digest: str = Field(description="of the model's files")
    context: int = Field(description="tokens of prompt and answer together")
    vocab: int
    intents: bool = Field(description="whether its answers are intents")
    backends: list[str]


class ModelReply(Told):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    edgellm: ModelCard


class ModelsReply(Told):
    """All served models."""

    object: Literal["list"]
    data: list[ModelReply]


class PlainSpeech(Told):
    """A text to be spoken."""

    speech: str
    extra_data: None


class Speech(Told):
    """What to say."""

    plain: PlainSpeech


class IntentResponse(Told):
    """Home Assistant's intent response."""

    response_type: Literal["action_done", "error"]
    language: str
    speech: Speech
    card: dict[str, Any]
    data: dict[str, Any]


class IntentReply(Told):
    """Body of an answer of /v1/intent."""

    intent: str = Field(description="empty where the model named none")
    slots: dict[str, str]
    reply: str
    language: str
    conversation_id: str | None
    continue_conversation: bool
    response: IntentResponse
    model: str
    edgellm: Extension


class Health(Told):
    """The service is alive."""

    status: Literal["ok"]


class Ready(Told):
    """Whether requests can be answered, and what is against it."""

    ready: bool
    reasons: list[str]


class Version(Told):
    """What runs."""

    name: Literal["edgellm"]
    version: str
