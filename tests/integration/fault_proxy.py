"""A small HTTP proxy in front of a storage emulator that misbehaves on demand."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import struct
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("429", "500", "503", "reset", "lost", "cut", "slow")
"""Status codes; ``reset``: the connection is reset before the request reaches the server;
``lost``: after the server has done it; ``cut``: half the answer, then a reset; ``slow``: the
answer comes in crumbs."""

CONTROL = "/fault-plan"

_SKIPPED = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length"})


class Plan:
    """What goes wrong, inside the proxy: the first so many requests, or a share of them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.done: list[str] = []
        self._choose: Callable[[], str | None] = lambda: None
        self._mutex = threading.Lock()

    def set(self, first: int = 0, fault: str = "", share: float = 0.0, seed: int = 0) -> None:
        with self._mutex:
            self.seen, self.done = [], []
            left = iter(range(first))
            chance = random.Random(seed)
            kinds = [kind for kind in FAULTS if kind != "slow"]
            if share:
                self._choose = lambda: chance.choice(kinds) if chance.random() < share else None
            else:
                self._choose = lambda: fault if next(left, None) is not None else None

    def next(self, request: str) -> str | None:
        with self._mutex:
            self.seen.append(request)
            fault = self._choose()
            if fault:
                self.done.append(fault)
            return fault


class Remote:
    """The test's hold on a proxy's plan.

    The proxy is a process of its own: pyarrow may wait for an answer with the interpreter locked,
    and a proxy in the same process could then never give it.
    """

    def __init__(self) -> None:
        self.url = ""

    def first(self, count: int, fault: str) -> None:
        """Let the next ``count`` requests fail, then no more."""
        self._post({"first": count, "fault": fault})

    def some(self, share: float, seed: int) -> None:
        """Let a share of all requests fail, in every way but slowly."""
        self._post({"share": share, "seed": seed})

    def clear(self) -> None:
        self._post({})

    @property
    def seen(self) -> list[str]:
        """Requests since the plan was made."""
        return self._get()["seen"]

    @property
    def done(self) -> list[str]:
        """Faults since the plan was made."""
        return self._get()["done"]

    def _post(self, plan: dict[str, object]) -> None:
        data = json.dumps(plan).encode()
        urllib.request.urlopen(self.url + CONTROL, data=data, timeout=10).close()

    def _get(self) -> dict[str, list[str]]:
        with urllib.request.urlopen(self.url + CONTROL, timeout=10) as response:
            return json.load(response)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # close() alone waits for the handler's own files


def serve(target: str, port: int) -> None:
    """Serve ``target`` through the plan's faults until killed."""
    upstream = urlsplit(target)
    plan = Plan()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def finish(self) -> None:
            with contextlib.suppress(OSError):  # the connection was reset under it
                super().finish()

        def log_message(self, *arguments: object) -> None:
            return

        def forward(self) -> None:
            body = self.read_body()
            if self.path == CONTROL:
                if self.command == "POST":
                    plan.set(**json.loads(body))
                state = {"seen": plan.seen, "done": plan.done}
                return self.answer(200, [], json.dumps(state).encode())
            fault = plan.next(f"{self.command} {self.path}")
            if fault == "reset":
                return self.hang_up()
            if fault and fault.isdigit():
                return self.answer(int(fault), [], b'{"error":{"message":"planned"}}')
            link = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _SKIPPED}
            link.request(self.command, self.path, body, headers)
            response = link.getresponse()
            data = response.read()
            link.close()
            if fault == "lost":
                return self.hang_up()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _SKIPPED]
            length = response.getheader("content-length") if self.command == "HEAD" else None
            return self.answer(response.status, kept, data, fault, length)

        def hang_up(self) -> None:
            self.close_connection = True
            _reset(self.connection)

        def read_body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)
            if "100-continue" in self.headers.get("expect", ""):
                self.send_response_only(100)
                self.end_headers()
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            data: bytes,
            fault: str | None = None,
            length: str | None = None,
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if fault == "cut":
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.hang_up()
                return
            if fault == "slow":
                step = max(1, len(data) // 8)
                for start in range(0, len(data), step):
                    self.wfile.write(data[start : start + step])
                    self.wfile.flush()
                    time.sleep(0.01)
                return
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = forward  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # resets are what we are here for

    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
