"""The project's own FINN operations. Importing this package registers them with FINN (needed in every process)."""

from edgellm.compiler.ops.attention import CausalAttention
from edgellm.compiler.ops.base import Block, Stream, Table
from edgellm.compiler.ops.control import LoopControl, Sequencer, StreamFork
from edgellm.compiler.ops.embedding import Embedding
from edgellm.compiler.ops.gate import SiLUGate
from edgellm.compiler.ops.matmul import MVAU, MVAU_rtl
from edgellm.compiler.ops.norm import RMSNorm
from edgellm.compiler.ops.requantise import Logits, Requantise, RequantiseAdd
from edgellm.compiler.ops.rope import RoPE
from edgellm.compiler.ops.sampling import ArgMax, LogitsTap, Sampler

__all__ = [
    "MVAU",
    "ArgMax",
    "Block",
    "CausalAttention",
    "Embedding",
    "Logits",
    "LogitsTap",
    "LoopControl",
    "MVAU_rtl",
    "RMSNorm",
    "Requantise",
    "RequantiseAdd",
    "RoPE",
    "Sampler",
    "Sequencer",
    "SiLUGate",
    "Stream",
    "StreamFork",
    "Table",
]
