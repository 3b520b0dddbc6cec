"""The peer: llama.cpp (PyPI `xllamacpp`, `gguf`; both optional) on a model of the same shape with random Q8_0 weights.

Speed depends on shapes, not on values, so random weights measure what trained ones would.
"""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgellm.numerics.model import Architecture

NEEDS = ("xllamacpp", "gguf")


def missing() -> list[str]:
    """Packages to install before the peer can be measured."""
    return [name for name in NEEDS if importlib.util.find_spec(name) is None]


def write_gguf(arch: Architecture, path: Path, seed: int = 0) -> None:
    """A Llama-architecture GGUF file of this shape, linears in Q8_0, norms in float32."""
    import gguf

    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(arch.context)
    writer.add_embedding_length(arch.width)
    writer.add_block_count(arch.layers)
    writer.add_feed_forward_length(arch.ffn)
    writer.add_head_count(arch.heads)
    writer.add_head_count_kv(arch.kv_heads)
    writer.add_rope_dimension_count(arch.head_dim)
    writer.add_key_length(arch.head_dim)
    writer.add_value_length(arch.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(arch.vocab)
    _add_tokenizer(writer, arch.vocab, gguf)
    for name, shape in tensors(arch).items():
        _add_tensor(writer, name, (rng.standard_normal(shape) * 0.05).astype(np.float32), gguf)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """GGUF names and shapes."""
    kv, q, d, f = arch.kv_heads * arch.head_dim, arch.attention_width, arch.width, arch.ffn
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (arch.vocab, d), "output_norm.weight": (d,)}
    for i in range(arch.layers):
        layer = {
            "attn_norm": (d,),
            "attn_q": (q, d),
            "attn_k": (kv, d),
            "attn_v": (kv, d),
            "attn_output": (d, q),
        }
        layer |= {"ffn_norm": (d,), "ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)}
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def _add_tensor(writer: Any, name: str, value: np.ndarray, gguf: Any) -> None:
    if value.ndim == 1:
        writer.add_tensor(name, np.ones_like(value))
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)


def _add_tokenizer(writer: Any, vocab: int, gguf: Any) -> None:
    """A vocabulary of single symbols: prompts are given as ids."""
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    names += [f"t{i}" for i in range(vocab - len(names))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [
        gguf.TokenType.BYTE
    ] * 256
    kinds += [gguf.TokenType.NORMAL] * (vocab - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names[:vocab])
    writer.add_token_scores([0.0] * vocab)
    writer.add_token_types(kinds[:vocab])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


class Peer:
    """llama.cpp's server in this process, with as many slots as asked for, each with the whole context."""

    def __init__(self, path: Path, threads: int, context: int, slots: int = 1) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_predict = context * slots, slots, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup = True
        params.verbosity = 0
        self._server = xllamacpp.Server(params)

    def tokens_per_second(self, prompt: list[int], tokens: int) -> float:
        """Generation speed after the prompt, as llama.cpp itself times it."""
        return float(self._complete(prompt, tokens)["timings"]["predicted_per_second"])

    def prefill(self, prompt: list[int]) -> float:
        """Tokens of the prompt a second, as llama.cpp itself times it."""
        return float(self._complete(prompt, 1)["timings"]["prompt_per_second"])

    def together(self, prompts: list[list[int]], tokens: int) -> float:
        """Generated tokens of all prompts a second, from the request to the last answer."""
        start = time.monotonic()
        answer = self._complete(prompts, tokens)
        elapsed = time.monotonic() - start
        if len(answer["choices"]) != len(prompts):
            raise RuntimeError(f"llama.cpp answered {len(answer['choices'])} of {len(prompts)} prompts")
        return len(prompts) * tokens / elapsed

    def _complete(self, prompt: Any, tokens: int) -> dict[str, Any]:
        request = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        answer = self._server.handle_completions(request)
        answer = json.loads(answer) if isinstance(answer, str) else answer
        first: dict[str, Any] = answer[0] if isinstance(answer, list) else answer
        return first
