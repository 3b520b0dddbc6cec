"""A random Llama of a few thousand weights with a byte-level tokenizer, saved as a Hugging Face folder or as GGUF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgellm.tokenizer import byte_symbols

WIDTH, LAYERS, HEADS, KV_HEADS, FFN, CONTEXT = 16, 2, 4, 2, 32, 256
END, START = "<|end|>", "<|start|>"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def symbols() -> list[str]:
    """The vocabulary: every byte, one merge, two special tokens."""
    return [*byte_symbols(), "th", START, END]


def save_folder(folder: Path) -> Path:
    """config.json, model.safetensors and tokenizer.json of a model drawn from seed 0."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {symbol: index for index, symbol in enumerate(symbols())}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Change fields of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def save_gguf(folder: Path, path: Path, architecture: str = "llama", **fields: int) -> Path:
    """The model of a folder written by `save_folder` as GGUF in float32."""
    import gguf
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(fields.get("embedding_length", WIDTH))
    writer.add_block_count(fields.get("block_count", LAYERS))
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(symbols()))
    _add_tokenizer(writer, gguf)
    for name, value in load_file(folder / "model.safetensors").items():
        writer.add_tensor(_gguf_name(name), _gguf_rows(name, value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, gguf: Any) -> None:
    kinds = [gguf.TokenType.NORMAL] * (len(symbols()) - 2) + [gguf.TokenType.CONTROL] * 2
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(symbols())
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(symbols().index(START))
    writer.add_eos_token_id(symbols().index(END))
    writer.add_chat_template(TEMPLATE)


NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def _gguf_name(name: str) -> str:
    name = name.replace("model.layers.", "blk.")
    for old, new in NAMES.items():
        name = name.replace(old, new)
    return name


def _gguf_rows(name: str, value: Any) -> Any:
    """GGUF keeps the rotary halves of queries and keys interleaved."""
    heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
    if not heads:
        return value
    rows = value.reshape(heads, 2, value.shape[0] // heads // 2, value.shape[1])
    return rows.swapaxes(1, 2).reshape(value.shape).copy()
