"""Language-model teachers read from disk: a Hugging Face folder or a GGUF file of Llama architecture.

Reading and dequantising is left to transformers (`gguf_file=`), offline and never with code from the model's
folder. Weights are safetensors or GGUF; pickled ones are refused.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported, TrainingError

ARCHITECTURE = "llama"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
GGUF_SIZES = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
INSTALL = "pip install 'edgellm[train]'"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A causal language model in float32 in evaluation mode, and its tokenizer."""

    name: str
    sha256: str  # of the weight file (of all weight files' digests when there are several)
    model: Any  # transformers LlamaForCausalLM
    tokenizer: Any  # transformers fast tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids, no special tokens added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def load_teacher(path: Path) -> Teacher:
    """The teacher in a folder (config.json, tokenizer.json, *.safetensors) or a GGUF file; takes up to a minute.

    Raises: ModelNotFound; ModelUnsupported for another architecture or pickled weights; ModelCorrupt for
    damage, naming the field or file; TrainingError when transformers or gguf is not installed.
    """
    if not path.exists():
        raise ModelNotFound(f"{path}: no such teacher: give a Hugging Face folder or a .gguf file")
    weights = _check_folder(path) if path.is_dir() else [_check_gguf(path)]
    folder, options = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    model, tokenizer = _load(folder, options, path)
    return Teacher(path.name, _digest(weights), model, tokenizer)


def _load(folder: Path, options: dict[str, str], path: Path) -> tuple[Any, Any]:
    """transformers' model and tokenizer; whatever it raises means damage that the checks did not see."""
    try:
        import torch
        from transformers import AutoTokenizer, LlamaForCausalLM, logging
    except ModuleNotFoundError as error:
        raise TrainingError(f"a teacher needs the package {error.name}: {INSTALL}") from error
    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    llama: Any = LlamaForCausalLM
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, **options}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader draws a bar of its own
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            model, report = llama.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **safe
            )
    except Exception as error:  # transformers documents no exception types
        raise ModelCorrupt(f"{path}: cannot be read ({_first_line(error)}): download it again") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelCorrupt(
            f"{path}: {len(missing)} tensors are missing, {missing[0]} first: download it again"
        )
    return model.eval(), tokenizer


def _check_folder(folder: Path) -> list[Path]:
    """The weight files of a folder whose config says Llama."""
    config = _read_config(folder / CONFIG)
    if (kind := config.get("model_type")) != ARCHITECTURE:
        raise ModelUnsupported(
            f"{folder / CONFIG}: model_type is {kind!r}, a teacher must be {ARCHITECTURE!r}"
        )
    if "auto_map" in config:
        raise ModelUnsupported(f"{folder / CONFIG}: auto_map asks to run code from the folder: remove it")
    for name in SIZES:
        if not _is_size(config.get(name)):
            raise ModelCorrupt(
                f"{folder / CONFIG}: {name} must be a positive integer, not {config.get(name)!r}"
            )
    if not (folder / TOKENIZER).is_file():
        raise ModelCorrupt(f"{folder}: {TOKENIZER} is missing: save the tokenizer in this folder")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickled = [*folder.glob("*.bin"), *folder.glob("*.pt")]
        found = f" ({pickled[0].name} is pickled and never read)" if pickled else ""
        raise ModelUnsupported(f"{folder}: no .safetensors weights{found}: save the model as safetensors")
    return weights


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{path.parent}: no {CONFIG} in it, so it is not a Hugging Face folder") from None
    except ValueError as error:
        raise ModelCorrupt(f"{path}: not JSON ({error}): download it again") from None
    if not isinstance(config, dict):
        raise ModelCorrupt(f"{path}: a {type(config).__name__} instead of an object: download it again")
    return config


def _check_gguf(path: Path) -> Path:
    """`path` when its header says Llama with sound sizes."""
    fields = _gguf_fields(path)
    if (kind := fields.get("general.architecture")) != ARCHITECTURE:
        raise ModelUnsupported(
            f"{path}: general.architecture is {kind!r}, a teacher must be {ARCHITECTURE!r}"
        )
    for name in GGUF_SIZES:
        value = fields.get(f"{ARCHITECTURE}.{name}")
        if not _is_size(value):
            raise ModelCorrupt(f"{path}: {ARCHITECTURE}.{name} must be a positive integer, not {value!r}")
    if "tokenizer.ggml.model" not in fields:
        raise ModelCorrupt(f"{path}: tokenizer.ggml.model is missing: take a GGUF file with its tokenizer")
    return path


def _gguf_fields(path: Path) -> dict[str, Any]:
    """Header fields that hold one value; opening the reader also checks that no tensor is cut off."""
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise TrainingError(f"a GGUF teacher needs the package {error.name}: {INSTALL}") from error
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, TypeError) as error:
        raise ModelCorrupt(
            f"{path}: not a sound GGUF file ({_first_line(error)}): download it again"
        ) from error
    scalars = (field for field in reader.fields.values() if len(field.data) == 1)
    return {field.name: field.contents() for field in scalars}


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _digest(weights: list[Path]) -> str:
    """SHA-256 of the one file, or of the digests of several in order of name."""
    import hashlib

    digests = [files.sha256(path) for path in weights]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
