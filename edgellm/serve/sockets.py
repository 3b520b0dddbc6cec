"""The socket to listen on: of an address, or handed over by systemd."""

from __future__ import annotations

import os
import socket

from edgellm.errors import ConfigError

FIRST_FD = 3  # systemd's sockets begin there
BACKLOG = 2_048


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to an address, not listening yet; port 0: a free one. Raises: ConfigError."""
    if given := _from_systemd():
        return given
    family, address = _resolved(host, port)
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}: choose another --port or --host"
        ) from error
    made.setblocking(False)
    return made


def _from_systemd() -> socket.socket | None:
    """The socket that a .socket unit made. Raises: ConfigError for more than one."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise ConfigError(
            f"systemd hands over {os.environ.get('LISTEN_FDS')} sockets: give the unit one ListenStream="
        )
    return socket.socket(fileno=FIRST_FD)


def _resolved(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    """Family and address; IPv4 where there are both."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"host {host!r} is no address of this machine: {error}") from error
    family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def address(bound: socket.socket) -> str:
    """The IP address, or the path of a socket in the file system, which only this machine reaches."""
    return str(bound.getsockname()[0]) if bound.family != socket.AF_UNIX else "127.0.0.1"


def url(bound: socket.socket, scheme: str) -> str:
    """What to open in a browser."""
    if bound.family == socket.AF_UNIX:
        return f"{scheme}+unix:{bound.getsockname()}"
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
