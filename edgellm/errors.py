"""Every error that edgellm raises on purpose.

EdgeLLMError
 ├─ UsageError                 a call, flag or value that cannot be meant
 ├─ ConfigError                a TOML/JSON file: names file, field, value
 ├─ ModelError
 │   ├─ ModelNotFound
 │   ├─ ModelCorrupt           checksum, truncation, malformed ONNX or tokenizer
 │   └─ ModelUnsupported       well formed, but outside the numerics contract
 ├─ DownloadFailed             a fetched file: network, checksum, disk
 ├─ PromptError
 │   ├─ EmptyPrompt
 │   ├─ PromptTooLong
 │   └─ PromptNotText
 ├─ TrainingError              corpus, checkpoint, loss
 ├─ ExportError
 ├─ CompileError
 │   ├─ UnmappableNode
 │   ├─ FoldingError
 │   ├─ BoardUnknown
 │   └─ BoardTooSmall
 ├─ SimulationError
 │   ├─ Deadlock
 │   └─ Deviation              hardware and golden model differ: carries node, token, channel, expected, got
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


class BackendError(EdgeLLMError):
    """A back end cannot do its work."""


class BackendUnavailable(BackendError):
    """A back end is not installed or has no device."""


class BackendFailed(BackendError):
    """A back end stopped working."""


class ToolMissing(BackendError):
    """An external tool (C++ compiler, Verilator, FINN) is missing."""
