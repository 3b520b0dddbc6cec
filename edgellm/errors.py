"""Every error that edgellm raises on purpose.

EdgeLLMError
 ├─ UsageError                 a call, flag or value that cannot be meant
 ├─ ConfigError                a TOML/JSON file: names file, field, value
 ├─ ModelError
 │   ├─ ModelNotFound
 │   ├─ ModelCorrupt           checksum, truncation, malformed ONNX or tokenizer
 │   ├─ ModelUnsupported       well formed, but outside the numerics contract
 │   └─ BundleError            an .edgellm file
 │       ├─ BundleCorrupt      truncated, altered, or built to do harm: names the member
 │       ├─ BundleUnsupported  made for another version of edgellm
 │       ├─ BundleMismatch     bitstream, .hwh and design do not belong together: names both values
 │       └─ BundleUntrusted    not signed by the key that is demanded
 ├─ DownloadFailed             a fetched file: network, checksum, disk
 ├─ PromptError
 │   ├─ EmptyPrompt
 │   ├─ PromptTooLong
 │   ├─ PromptNotText
 │   └─ PromptRefused         by an input filter: carries its name
 ├─ TrainingError              corpus, checkpoint, loss
 ├─ ExportError
 ├─ CompileError
 │   ├─ UnmappableNode
 │   ├─ FoldingError
 │   ├─ BoardUnknown
 │   ├─ BoardTooSmall
 │   └─ BoardWithoutProcessors
 ├─ SimulationError
 │   ├─ Deadlock
 │   └─ Deviation              hardware and golden model differ: carries node, token, channel, expected, got
 ├─ ServiceError
 │   ├─ BadRequest             a field that cannot be meant: carries its name
 │   ├─ DeadlinePassed         before the answer's first token
 │   ├─ Overloaded             no room in the queue now: says when to come again
 │   └─ StoreFailed            kept answers cannot be read or written; requests go on without them
 └─ BackendError
     ├─ BackendUnavailable     not installed or no device: says what to install
     ├─ BackendFailed
     └─ ToolMissing            compiler, Verilator, FINN

A message names the thing, the value, the limit and the way out; tests pin messages.
"""

from __future__ import annotations


class EdgeLLMError(Exception):
    """Base class of every error edgellm raises on purpose."""


class UsageError(EdgeLLMError):
    """An argument that cannot be meant."""


class ConfigError(EdgeLLMError):
    """A configuration file with a wrong field."""


class ModelError(EdgeLLMError):
    """Something is wrong with a model directory or file."""


class ModelNotFound(ModelError):
    """No model of that name or path."""


class ModelCorrupt(ModelError):
    """A model file is damaged: checksum, truncation or malformed content."""


class ModelUnsupported(ModelError):
    """A sound file that lies outside the numerics contract."""


class BundleError(ModelError):
    """Something is wrong with a bundle, or with what shall go into one."""


class BundleCorrupt(BundleError):
    """A bundle is truncated or altered, or was never made by edgellm."""


class BundleUnsupported(BundleError):
    """A sound bundle for another version of edgellm."""


class BundleMismatch(BundleError):
    """Bitstream, hardware hand-off and design do not belong together."""


class BundleUntrusted(BundleError):
    """A bundle is not signed by the key that is demanded, or a key cannot be used."""


class DownloadFailed(EdgeLLMError):
    """A file could not be fetched: no network, wrong content or a full disk."""


class PromptError(EdgeLLMError):
    """The prompt cannot be answered."""


class EmptyPrompt(PromptError):
    """Nothing to answer."""


class PromptTooLong(PromptError):
    """More prompt tokens than the context holds."""


class PromptNotText(PromptError):
    """The prompt is not valid UTF-8 text."""


class PromptRefused(PromptError):
    """An input filter does not let the prompt through. Attribute: filter, its name."""

    def __init__(self, filter_name: str, why: str) -> None:
        self.filter = filter_name
        super().__init__(f"filter {filter_name} refuses the prompt: {why}")


class TrainingError(EdgeLLMError):
    """Training cannot start or go on."""


class ExportError(EdgeLLMError):
    """A checkpoint cannot be turned into an integer model."""


class CompileError(EdgeLLMError):
    """A model cannot be turned into an accelerator."""


class UnmappableNode(CompileError):
    """A node of the integer ONNX model has no hardware block."""


class FoldingError(CompileError):
    """A folding factor does not divide the dimension it folds."""


class BoardUnknown(CompileError):
    """No board of that name."""


class BoardTooSmall(CompileError):
    """The accelerator needs more of a resource than the board has."""


class BoardWithoutProcessors(CompileError):
    """The board has no processing system, which the wish needs."""


class SimulationError(EdgeLLMError):
    """The simulated accelerator misbehaved."""


class Deadlock(SimulationError):
    """No stream moved for too many cycles although work was left."""


class Deviation(SimulationError):
    """A hardware stream differs from the golden model.

    Attributes: node, token (index in admission order), layer, channel, expected, got.
    """

    def __init__(
        self, node: str, token: int, layer: int | None, channel: int, expected: int, got: int
    ) -> None:
        self.node, self.token, self.layer = node, token, layer
        self.channel, self.expected, self.got = channel, expected, got
        where = f"node {node}, token {token}" + ("" if layer is None else f", layer {layer}")
        super().__init__(f"{where}, channel {channel}: expected {expected}, got {got}")


class ServiceError(EdgeLLMError):
    """The service cannot take or finish a request."""


class BadRequest(ServiceError):
    """A request that cannot be meant. Attributes: param (the field, if it is one), code (for programs)."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        self.param, self.code = param, code
        super().__init__(message)


class DeadlinePassed(ServiceError):
    """A request's time was over before its answer began."""


class Overloaded(ServiceError):
    """There is no room for a request now. Attribute: retry_after, seconds after which to come again."""

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class StoreFailed(ServiceError):
    """Where answers are kept cannot be used now. No request fails by it."""


class BackendError(EdgeLLMError):
    """A back end cannot do its work."""


class BackendUnavailable(BackendError):
    """A back end is not installed or has no device."""


class BackendFailed(BackendError):
    """A back end stopped working."""


class ToolMissing(BackendError):
    """An external tool (C++ compiler, Verilator, FINN) is missing."""
