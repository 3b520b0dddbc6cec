"""Small language models that answer in microseconds a token, with the same tokens on every back end."""

from edgellm._version import __version__

__all__ = ["__version__"]
