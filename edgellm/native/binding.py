"""The C interface of src/edgellm.h for ctypes: structures, and functions with their types."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_int8, c_int16, c_int32, c_uint8, c_uint64, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm import cache as builds
from edgellm.errors import ToolMissing
from edgellm.native import build

KINDS = ("qkv", "attn_out", "gate_up", "down")  # in the order of the header
SAMPLED, BY_HOST = 0, 1
Pointer = Any  # ctypes pointers have no type that a checker knows


class Shape(Structure):
    """`edgellm_shape`."""

    _fields_ = tuple(
        (name, c_int32)
        for name in (
            *("vocab", "width", "layers", "heads", "kv_heads", "head_dim", "ffn", "context"),
            *("norm_shift", "score_mult", "score_shift", "glu_shift", "embed_shift"),
            *("activation_bits", "kv_bits", "glu_bits", "slots", "rows"),
        )
    )


class Tables(Structure):
    """`edgellm_tables`."""

    _fields_ = (
        ("embedding", POINTER(c_int8)),
        ("exp_table", POINTER(c_uint8)),
        ("silu_table", POINTER(c_int8)),
        ("rope_cos", POINTER(c_int16)),
        ("rope_sin", POINTER(c_int16)),
        ("noise_base", POINTER(c_int32)),
        ("noise_drop", POINTER(c_int32)),
    )


class LinearLayer(Structure):
    """`edgellm_linear`."""

    _fields_ = (
        ("weight", POINTER(c_int8)),
        ("mult", POINTER(c_int32)),
        ("bias", POINTER(c_int32)),
        ("shift", c_int32),
    )


class Request(Structure):
    """`edgellm_request`."""

    _fields_ = (
        ("slot", c_int32),
        ("start", c_int32),
        ("length", c_int32),
        ("max_tokens", c_int32),
        ("prompt", POINTER(c_int32)),
        ("stop_ids", POINTER(c_int32)),
        ("stop_count", c_int32),
        ("mode", c_int32),
        ("temperature", c_int32),
        ("noise_shift", c_int32),
        ("seed", c_uint64),
    )


EVENT = np.dtype([("slot", np.int32), ("token", np.int32), ("reason", np.int32), ("position", np.int32)])


@cache
def load() -> ctypes.CDLL:
    """The library with its functions typed, built if need be. Raises: ToolMissing."""
    path = build.library()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ToolMissing(f"{path} cannot be loaded: {error}") from error
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "open": (c_void_p, [POINTER(Shape), POINTER(Tables), POINTER(LinearLayer), POINTER(LinearLayer)]),
        "close": (None, [c_void_p]),
        "submit": (None, [c_void_p, POINTER(Request)]),
        "cancel": (None, [c_void_p, c_int32]),
        "copy": (None, [c_void_p, c_int32, c_int32, c_int32]),
        "run": (c_int32, [c_void_p, c_int32, c_void_p, c_int32]),
        "logits": (c_void_p, [c_void_p, c_int32]),
        "choose": (c_int32, [c_void_p, c_int32, c_int32]),
        "variant": (c_char_p, []),
        "use": (c_int32, [c_char_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"edgellm_{name}")
        function.restype, function.argtypes = result, arguments
    builds.hold(path, library)
    return library


def pointer(array: NDArray[Any], kind: Any) -> Pointer:
    """Pointer to a C-contiguous array; the caller keeps the array alive."""
    return array.ctypes.data_as(POINTER(kind))
