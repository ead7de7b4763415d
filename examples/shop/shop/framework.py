"""A web framework in one file: routes, JSON and streams on sockets, a thread per connection.

It speaks HTTP/1.1 with keep-alive, and HTTP/1.0 as a proxy may. It knows how to leave: after
`Server.stop` it takes no new connection, finishes requests in flight and hangs up on idle clients.
"""

import json
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

log = logging.getLogger("http")

MAX_HEAD = 32 * 1024
MAX_BODY = 1024 * 1024
# Longer than the 60 s for which a proxy keeps its side of an idle connection: who is asked over it
# must not be the one that hangs up.
IDLE_SECONDS = 75.0
# The time for those who come in the instant of the stop: to be let in, and to say what they want.
LAST_WORD_SECONDS = 0.1


class HttpError(Exception):
    """An answer other than the one hoped for; raise it anywhere in a handler."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    version: str = "HTTP/1.1"

    def json(self) -> dict[str, object]:
        """The body as a JSON object. Raises `HttpError` 400 for anything else."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise HttpError(400, f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise HttpError(400, "the body is not a JSON object")
        return value

    def number(self, name: str, default: float, most: float) -> float:
        """A query parameter between 0 and `most`. Raises `HttpError` 400 if it is no number."""
        try:
            value = float(self.query.get(name, default))
        except ValueError as error:
            raise HttpError(400, f"{name} is not a number") from error
        return min(max(value, 0.0), most)

    @property
    def keep_alive(self) -> bool:
        """Whether the client would like to go on with this connection."""
        connection = self.headers.get("connection", "").lower()
        return connection != "close" if self.version == "HTTP/1.1" else connection == "keep-alive"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; a body that is not `bytes` is sent piece by piece as it comes."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: object, status: int = 200) -> "Response":
        """`value` as JSON."""
        return cls(json.dumps(value).encode() + b"\n", status, "application/json")


Handler = Callable[[Request], Response]


class App:
    """Routes by exact path.

    `headers` go with every answer, errors included. A handler that raises one of `away` waits for
    something that is not there: a 503, for which nobody needs a traceback.
    """

    def __init__(self, headers: Mapping[str, str], away: tuple[type[Exception], ...] = ()) -> None:
        self.headers = headers
        self._away = away
        self._routes: dict[str, dict[str, Handler]] = {}

    def get(self, path: str) -> Callable[[Handler], Handler]:
        """Register a handler of GET (and so of HEAD)."""
        return self._route("GET", path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        """Register a handler of POST."""
        return self._route("POST", path)

    def _route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self._routes.setdefault(path, {})[method] = handler
            return handler

        return register

    def respond(self, request: Request) -> Response:
        """Answer a request; never raises, a handler's mishap becomes a 500."""
        try:
            return self.handler(request.method, request.path)(request)
        except HttpError as error:
            return self._error(request, error.status, error)
        except self._away as error:
            return self._error(request, 503, error)
        except Exception:
            log.exception("500 %s %s", request.method, request.path)
            return Response.json({"error": "internal error"}, 500)

    def handler(self, method: str, path: str) -> Handler:
        """Who answers. Raises `HttpError` 404 or 405 if nobody does."""
        methods = self._routes.get(path)
        if methods is None:
            raise HttpError(404, f"nothing at {path}")
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            raise HttpError(405, f"{method} is not possible here")
        return handler

    @staticmethod
    def _error(request: Request, status: int, error: Exception) -> Response:
        if status >= 500:
            log.error("%d %s %s: %s", status, request.method, request.path, error)
        return Response.json({"error": str(error)}, status)


class Server:
    """Serves an app until `stop`, which may be called from a signal handler or any thread."""

    def __init__(self, app: App, ports: Iterable[int], drain_seconds: float) -> None:
        self.app = app
        self.ports = tuple(ports)
        self.drain_seconds = drain_seconds
        self.stopping = False
        self._connections: set[_Connection] = set()
        # Python goes back to waiting after a signal handler; only a byte in a pipe ends the wait.
        self._woken, self._wake = os.pipe()

    def stop(self) -> None:
        """Begin to leave; `run` returns when the requests in flight are done."""
        self.stopping = True
        os.write(self._wake, b".")

    def wait_for_stop(self, seconds: float | None = None) -> bool:
        """Wait for `stop`; whether it came within `seconds`."""
        return bool(select.select([self._woken], [], [], seconds)[0])

    def run(self) -> None:
        """Listen, serve, and after a `stop` drain for at most `drain_seconds`."""
        listeners = [self._listen(port) for port in self.ports]
        by_number = {listener.fileno(): listener for listener in listeners}
        poll = select.poll()
        for number in (self._woken, *by_number):
            poll.register(number, select.POLLIN)
        log.info("listening on %s", ", ".join(map(str, self.ports)))
        while not self.stopping:
            for number, _ in poll.poll():
                if number in by_number:
                    self._accept(by_number[number])
        # Closing resets those who wait in the kernel's queue, so they are taken first; but not for
        # ever, since while clients still come the queue need never be empty.
        enough = time.monotonic() + LAST_WORD_SECONDS
        for listener in listeners:
            while time.monotonic() < enough and self._accept(listener):
                pass
            listener.close()
        self._drain()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.create_server(("", port), backlog=1024)
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # clients' sockets inherit it
        listener.setblocking(False)
        return listener

    def _accept(self, listener: socket.socket) -> bool:
        """Take one connection; whether there was one."""
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:  # the client has left already, or file descriptors ran out
            log.warning("accept: %s", error)
            time.sleep(0.05)
            return False
        connection = _Connection(client, self)
        self._connections.add(connection)
        connection.start()
        return True

    def forget(self, connection: "_Connection") -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    def _drain(self) -> None:
        deadline = time.monotonic() + self.drain_seconds
        waiting = list(self._connections)
        if waiting:
            time.sleep(LAST_WORD_SECONDS)
        for connection in waiting:
            connection.hang_up_if_idle()
        for connection in waiting:
            connection.join(max(0.0, deadline - time.monotonic()))
        cut = sum(connection.is_alive() for connection in waiting)
        log.info("stopped%s", f", {cut} requests cut" if cut else "")


class _Connection(threading.Thread):
    """One client: reads requests one after the other and writes what the app answers."""

    def __init__(self, client: socket.socket, server: Server) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._server = server
        self._idle = True
        self._unread = b""

    def run(self) -> None:
        try:
            self._client.settimeout(IDLE_SECONDS)
            while self._serve_one():
                self._idle = not self._unread
        except OSError:
            pass  # the client went away, or said nothing for too long: nobody is left to tell
        finally:
            self._client.close()
            self._server.forget(self)

    def hang_up_if_idle(self) -> None:
        """Read no further if no request has begun; one whose bytes have arrived is still read."""
        if self._idle:
            with suppress(OSError):  # the client was faster
                self._client.shutdown(socket.SHUT_RD)

    def _serve_one(self) -> bool:
        """Serve one request; whether the connection goes on."""
        try:
            request = self._read()
        except HttpError as error:
            refusal = Response.json({"error": str(error)}, error.status)
            self._write(refusal, Request("GET", "", {}, {}), keep=False)
            return False
        if request is None:
            return False
        response = self._server.app.respond(request)
        # Without a length, and without chunks in HTTP/1.0, only the end of the connection ends it.
        endless = not isinstance(response.body, bytes) and request.version == "HTTP/1.0"
        keep = request.keep_alive and not endless and not self._server.stopping
        self._write(response, request, keep)
        return keep

    def _read(self) -> Request | None:
        """The next request, or `None` at the end. Raises `HttpError` for what we cannot read."""
        while b"\r\n\r\n" not in self._unread:
            if len(self._unread) > MAX_HEAD:
                raise HttpError(431, "the headers are too long")
            if not self._receive():
                return None
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = first.split(" ")
            fields = (line.split(":", 1) for line in lines)
            headers = {name.lower(): value.strip() for name, value in fields}
            length = int(headers.get("content-length", "0"))
        except ValueError as error:
            raise HttpError(400, "this is not HTTP") from error
        if "transfer-encoding" in headers:
            raise HttpError(411, "a body needs a Content-Length here")
        if not 0 <= length <= MAX_BODY:
            raise HttpError(413, f"a body has at most {MAX_BODY} bytes")
        while len(self._unread) < length:
            if not self._receive():
                return None
        body, self._unread = self._unread[:length], self._unread[length:]
        url = urlsplit(target)
        return Request(
            method, unquote(url.path), dict(parse_qsl(url.query)), headers, body, version
        )

    def _receive(self) -> bool:
        more = self._client.recv(64 * 1024)
        self._idle = False
        self._unread += more
        return bool(more)

    def _write(self, response: Response, request: Request, keep: bool) -> None:
        chunked = not isinstance(response.body, bytes) and request.version == "HTTP/1.1"
        headers = {
            "Content-Type": response.content_type,
            **self._server.app.headers,
            **response.headers,
            "Connection": "keep-alive" if keep else "close",
        }
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif isinstance(response.body, bytes):
            headers["Content-Length"] = str(len(response.body))
        status = HTTPStatus(response.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if request.method == "HEAD":
            self._client.sendall(head)
        elif isinstance(response.body, bytes):
            self._client.sendall(head + response.body)
        else:
            self._client.sendall(head)
            for piece in filter(None, response.body):
                self._client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._client.sendall(b"0\r\n\r\n")
