"""A web server on this machine that gives one file, with ranges, and fails as told."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """`content` is served at any path. `requests`: the Range header of each request, or None.

    `faults` is taken from, one a request: ("status", code), ("cut", bytes after which the connection breaks),
    ("whole",) to know no ranges, ("shift", bytes by which the answer begins late), ("silent", seconds before it).
    `pause`: seconds a piece.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.requests, self.faults, self.pause = content, [], [], 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/toy.edgellm"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None: ...

            def do_GET(self) -> None:
                outer._answer(self)

        return Handler

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        asked = to.headers.get("Range")
        self.requests.append(asked)
        kind, *how = self.faults.pop(0) if self.faults else ("none",)
        if kind == "silent":
            time.sleep(how[0])
        if kind == "status":
            to.send_error(how[0])
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and kind != "whole" else 0
        if first >= len(self.content):
            to.send_error(416)
            return
        self._head(to, first + (how[0] if kind == "shift" else 0), asked is not None and kind != "whole")
        self._body(to, self.content[first : first + how[0] if kind == "cut" else None])

    def _head(self, to: BaseHTTPRequestHandler, first: int, ranged: bool) -> None:
        total = len(self.content)
        to.send_response(206 if ranged else 200)
        if ranged:
            to.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        to.send_header("Content-Length", str(total - first))
        to.end_headers()

    def _body(self, to: BaseHTTPRequestHandler, data: bytes) -> None:
        try:
            for start in range(0, len(data), 4096):
                to.wfile.write(data[start : start + 4096])
                time.sleep(self.pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
