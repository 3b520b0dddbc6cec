"""Small language models that answer in microseconds a token, with the same tokens on every back end.

>>> import edgellm
>>> with edgellm.load("home-260k") as llm:
...     print(llm.generate("turn on the kitchen light").text)
"""

from edgellm._version import __version__
from edgellm.errors import EdgeLLMError
from edgellm.runtime.completion import Chunk, Completion, Timings
from edgellm.runtime.llm import LLM, AsyncStream, Stream, load

__all__ = [
    "LLM",
    "AsyncStream",
    "Chunk",
    "Completion",
    "EdgeLLMError",
    "Stream",
    "Timings",
    "__version__",
    "load",
]
