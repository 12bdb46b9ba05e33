"""A proxy before a real S3 server that does what networks and busy servers do.

with FaultProxy(server.endpoint_url) as proxy:
    proxy.add(Fault("refuse", method="PUT", status=503, code="SlowDown", times=2))
    options = server.options(endpoint_url=proxy.url)
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

HANG_S = 60.0
DELAY_S = 0.3


Action = Literal["refuse", "reset", "lose", "truncate", "corrupt", "delay", "hang"]
LOT: tuple[Action, ...] = ("refuse", "reset", "lose", "truncate", "delay")


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, for the next ``times`` requests that it fits.

    Attributes:
        action: ``refuse`` answers ``status`` and ``code`` itself; ``reset`` cuts the connection
            before the server hears of the request, ``lose`` after it has done it; ``truncate``
            cuts the answer's body in half; ``corrupt`` flips a bit in the request's body; ``delay``
            lets it wait; ``hang`` keeps the request and sets ``reached``.
        method, path: which requests; any if empty. ``path`` is a part of path and query.
        status, code: of the answer to ``refuse``.
        times: how often.
        skip: how many fitting requests pass before.
    """

    action: Action
    method: str = ""
    path: str = ""
    status: int = 503
    code: str = "SlowDown"
    times: int = 1
    skip: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def fits(self, method: str, path: str) -> bool:
        return (not self.method or method == self.method) and self.path in path


class FaultProxy:
    """Forwards to one server; faults are added as a test goes on."""

    def __init__(self, target_url: str) -> None:
        self._target = urlsplit(target_url).netloc
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._random = random.Random(0)
        self._share = 0.0
        self.caused: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def target(self) -> str:
        return self._target

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def make_faulty(self, share: float, seed: int) -> None:
        """From now on, let this share of all requests go wrong, each in a way drawn by lot."""
        with self._lock:
            self._share, self._random = share, random.Random(seed)

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen[method] += 1
            fault = self._asked_for(method, path) or self._by_lot()
            if fault:
                self.caused[fault.action] += 1
            return fault

    def _asked_for(self, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if not fault.fits(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
            elif fault.times:
                fault.times -= 1
                return fault
        return None

    def _by_lot(self) -> Fault | None:
        if self._random.random() >= self._share:
            return None
        return Fault(self._random.choice(LOT))

    def hang(self, fault: Fault) -> None:
        fault.reached.set()
        self._closing.wait(HANG_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.next_fault(self.command, self.path)
        action = fault.action if fault else ""
        if fault and action == "refuse":
            self._answer(fault.status, [("Content-Type", "application/xml")], _xml(fault.code))
            return
        if fault and action == "hang":
            self.owner.hang(fault)
        if action == "delay":
            time.sleep(DELAY_S)
        if action in {"reset", "hang"}:
            self._cut()
            return
        if action == "corrupt" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        status, headers, answer = self._forward(body)
        if action == "lose":
            self._cut()
        elif action == "truncate":
            self._answer(status, headers, answer, cut_at=len(answer) // 2)
        else:
            self._answer(status, headers, answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.owner.target, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        cut_at: int | None = None,
    ) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                # A HEAD's length is that of the body it doesn't have.
                length = value if self.command == "HEAD" else length
            elif name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut_at])
        if cut_at is not None:
            self._cut()

    def _cut(self) -> None:
        """Reset the connection, without the goodbye that a closed one gets."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


def _xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>as the test asked</Message></Error>".encode()
