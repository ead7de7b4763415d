"""An honest HTTP load generator: did every request get its answer while a release went on?

A request is *failed* unless its complete answer, with the expected status (2xx; 201 for an
order), arrived in time (10 s from the start of the request; slow and streaming ones longer by
what they were asked to take).  Nothing is ever sent twice: there are no retries.  An answer that
is neither counted (Content-Length) nor chunked fails too, since nobody could tell it from a
truncated one.

Client classes, all at once:

``fresh``    GET, each on a new TCP connection
``careful``  GET over keep-alive connections, which looks for a close before each reuse
``naive``    GET over keep-alive connections, which never looks: a connection that the peer has
             closed costs it a request
``post``     POST /api/orders with a unique key, over careful keep-alive connections
``slow``     GET /slow?s=3, N of them always in flight
``stream``   GET /stream?n=10&every=0.2, N of them always in flight; all lines must come

The first four are the *fast* classes.  They share ``--rate`` equally, in open loop: a request
starts when its slot has come, however the ones before it fare.  Keep-alive connections are used
in turn, so each idles between its requests; when none is free, a further one is opened.

    python bench/load.py --url http://127.0.0.1:8080 --seconds 20 --json out.json

prints ``ready`` on stderr once every fast class has had a good answer, and exits with 0 if
requests were made and none failed, else with 1.  For tests there is :class:`Load`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import itertools
import json
import math
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypedDict
from urllib.parse import urlsplit

FAST = ("fresh", "careful", "naive", "post")
SLOW_SECONDS = 3
STREAM_LINES, STREAM_EVERY = 10, 0.2
DETAILED_FAILURES = 50

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: |$)")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;|$)")
HEAD_LIMIT = 65536

# ------------------------------------------------------------------------------- the report


class ClassCount(TypedDict):
    """What one client class did; ``connections`` counts its attempts to open a TCP connection."""

    requests: int
    failed: int
    connections: int


class Outcome(NamedTuple):
    """How one request ended.

    ``kind`` is empty for a good answer, else ``refused``, ``reset``, ``eof`` (closed without a
    byte of an answer), ``truncated`` (closed amid the answer), ``timeout``, ``status NNN``,
    ``unframed``, ``malformed: ...``, ``short stream`` or the name of an errno.  ``release`` is
    the ``X-Release`` of a complete answer.  ``reused`` tells whether the connection had carried
    requests before.
    """

    client: str
    method: str
    path: str
    start: float
    end: float
    kind: str = ""
    release: str | None = None
    reused: bool = False


class Release(TypedDict):
    """The complete answers that carried one ``X-Release`` value, and when they completed."""

    answers: int
    first_seen: float
    last_seen: float


class Posts(TypedDict):
    """Keys of orders: answered with 201, or of unknown fate.  Each key sent is in just one."""

    acked: list[str]
    unacked: list[str]


@dataclass(frozen=True)
class Report:
    """All that a run has seen; its fields are the JSON document (schema 1).

    Times without a unit in their name are seconds since ``started_monotonic``, which is read
    from the machine-wide ``time.monotonic`` and so compares across processes.

    requests, failed    over all classes
    failures            the first 50 to end, each with the fields of :class:`Outcome`;
                        ``failed_by_kind`` counts all
    downtime_s          see :func:`downtime`; over fresh and careful GETs (all fast classes if
                        neither runs)
    longest_gap_s       longest time without a good answer to any fast class: between two
                        consecutive ones, before the first, or from the last to the end
    latency_ms          p50, p95, p99, max (nearest rank) of good fast GETs, from the start of
                        the request, connecting included; empty if there were none
    releases            by ``X-Release``, in the order in which they were first seen; answers
                        without the header are left out
    went_back           answers from a release to requests that *started* after an answer from a
                        later-seen release had completed (after a rollback, that is all of them)
    rate, seconds       fast requests per second as achieved, over the time of the traffic
    lag_s               how late the generator itself was at worst in starting a request; gaps
                        and latencies of that order say nothing about the server
    """

    requests: int
    failed: int
    failures: list[dict[str, Any]]
    failed_by_kind: dict[str, int]
    by_class: dict[str, ClassCount]
    downtime_s: float
    longest_gap_s: float
    latency_ms: dict[str, float]
    releases: dict[str, Release]
    went_back: int
    posts: Posts
    rate: float
    seconds: float
    lag_s: float
    started_unix: float
    started_monotonic: float
    schema: int = 1

    def summary(self) -> str:
        """Five lines for a human."""
        classes = (f"{name} {c['requests']}/{c['failed']}" for name, c in self.by_class.items())
        kinds = (f"{kind} {count}" for kind, count in self.failed_by_kind.items())
        latency = (f"{name} {ms:.1f}" for name, ms in self.latency_ms.items())
        releases = (
            f"{name} {seen['answers']} ({seen['first_seen']:.2f}-{seen['last_seen']:.2f} s)"
            for name, seen in self.releases.items()
        )
        return "\n".join(
            (
                f"{self.requests} requests, {self.failed} FAILED, in {self.seconds:.1f} s "
                f"({self.rate:.1f} fast ones/s, at worst {self.lag_s * 1000:.0f} ms late)",
                f"requests/failed: {', '.join(classes)}; "
                f"orders acked {len(self.posts['acked'])}, unacked {len(self.posts['unacked'])}",
                f"failures: {', '.join(kinds) or 'none'}",
                f"downtime {self.downtime_s:.3f} s, longest gap {self.longest_gap_s:.3f} s, "
                f"latency ms: {', '.join(latency) or 'none'}",
                f"releases: {', '.join(releases) or 'none named'}; went back {self.went_back}",
            )
        )


def downtime(probes: Iterable[tuple[float, bool]], until: float) -> float:
    """Seconds during which a request that started then would have failed.

    ``probes`` are (start, succeeded), in any order.  Each answers for the time from its own
    start to the start of the next (the last one: to ``until``), so this is the total length of
    the intervals from the start of the first failed request to the start of the next successful
    one.  For every outage each edge is off by at most the time between two probes, to either
    side; hence the sum converges to the true unavailability as the rate grows.  A lone failure
    costs one such spacing.  Answers that are slow but good are no downtime; they show in the
    longest gap and in the latency.
    """
    ordered = sorted(probes)
    ends = [*(start for start, _ in ordered), until][1:]
    spans = zip(ordered, ends, strict=True)
    return sum((max(0.0, end - start) for (start, good), end in spans if not good), 0.0)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max by nearest rank; nothing of nothing."""
    if not values:
        return {}
    ordered = sorted(values)
    ranks = {f"p{p}": ordered[math.ceil(p / 100 * len(ordered)) - 1] for p in (50, 95, 99)}
    return {**ranks, "max": ordered[-1]}


class Ledger:
    """Books outcomes in the order in which they end, every request exactly once.

    Its times are seconds since the start of the traffic.
    """

    def __init__(self, classes: Iterable[str]) -> None:
        self.counts = {name: ClassCount(requests=0, failed=0, connections=0) for name in classes}
        self.posts = Posts(acked=[], unacked=[])
        self.lag = 0.0
        fast = [name for name in self.counts if name in FAST]
        self._probing = [name for name in fast if name in {"fresh", "careful"}] or fast
        self._unheard = set(fast)
        self._kinds: Counter[str] = Counter()
        self._failures: list[Outcome] = []
        self._probes: list[tuple[float, bool]] = []
        self._latencies: list[float] = []
        self._releases: dict[str, Release] = {}
        self._went_back = 0
        self._last_good = 0.0
        self._longest_gap = 0.0

    @property
    def ready(self) -> bool:
        """Whether every fast class has had a good answer."""
        return not self._unheard

    def book(self, outcome: Outcome) -> None:
        good = not outcome.kind
        count = self.counts[outcome.client]
        count["requests"] += 1
        count["failed"] += not good
        if not good:
            self._kinds[outcome.kind] += 1
            if len(self._failures) < DETAILED_FAILURES:
                self._failures.append(outcome)
        elif outcome.client in FAST:
            self._unheard.discard(outcome.client)
            self._longest_gap = max(self._longest_gap, outcome.end - self._last_good)
            self._last_good = outcome.end
            if outcome.method == "GET":
                self._latencies.append((outcome.end - outcome.start) * 1000)
        if outcome.client in self._probing:
            self._probes.append((outcome.start, good))
        if outcome.release is not None:
            self._see(outcome.release, outcome.start, outcome.end)

    def _see(self, release: str, start: float, end: float) -> None:
        seen = self._releases.setdefault(release, Release(answers=0, first_seen=end, last_seen=end))
        seen["answers"] += 1
        seen["last_seen"] = end
        # Releases stand in the order of their first answers, so the later-seen ones come last.
        later = itertools.takewhile(lambda it: it is not seen, reversed(self._releases.values()))
        self._went_back += any(other["first_seen"] < start for other in later)

    def report(self, seconds: float, started_monotonic: float) -> Report:
        """The report of traffic that was stopped after so many seconds."""
        fast = sum(count["requests"] for name, count in self.counts.items() if name in FAST)
        return Report(
            requests=sum(count["requests"] for count in self.counts.values()),
            failed=sum(count["failed"] for count in self.counts.values()),
            failures=[outcome._asdict() for outcome in self._failures],
            failed_by_kind=dict(self._kinds.most_common()),
            by_class=self.counts,
            downtime_s=downtime(self._probes, seconds),
            longest_gap_s=max(self._longest_gap, seconds - self._last_good),
            latency_ms=percentiles(self._latencies),
            releases=self._releases,
            went_back=self._went_back,
            posts=self.posts,
            rate=fast / seconds,
            seconds=seconds,
            lag_s=self.lag,
            started_unix=time.time() - (time.monotonic() - started_monotonic),
            started_monotonic=started_monotonic,
        )


# ------------------------------------------------------------------------- HTTP on the wire


class BrokenAnswer(Exception):
    """The peer closed, or what it sent is no complete answer; the text is the failure's kind."""


class Answer(NamedTuple):
    """A complete answer; ``keeps`` tells whether the connection may carry another request."""

    status: int
    headers: dict[str, str]
    body: bytes
    keeps: bool


class Wire:
    """One TCP connection.

    It is read only while an answer is awaited (asyncio's streams would read ahead), so that
    what a client knows of an idle connection is just what its class looks for.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._begun = False

    @classmethod
    async def open(cls, family: int, address: Any) -> Wire:
        """A new connection; raises OSError."""
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def close(self) -> None:
        self._sock.close()

    def stale(self) -> bool:
        """Whether the idle connection is unfit for a request: closed, reset, or not silent."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    async def exchange(self, message: bytes) -> Answer:
        """Send one request and return its answer; raises OSError or BrokenAnswer."""
        self._begun = False
        await self._loop.sock_sendall(self._sock, message)
        version, status, headers = parse_head(await self._until(b"\r\n\r\n"))
        while status < 200:  # an interim answer announces the real one
            version, status, headers = parse_head(await self._until(b"\r\n\r\n"))
        body = await self._body(status, headers)
        if self._buffer:
            raise BrokenAnswer("malformed: stray bytes")
        options = {word.strip() for word in headers.get("connection", "").lower().split(",")}
        keeps = "close" not in options and (version == 1 or "keep-alive" in options)
        return Answer(status, headers, body, keeps)

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if status in (204, 304):
            return b""
        if coding is not None:
            if coding.lower() != "chunked":
                raise BrokenAnswer("malformed: coding")
            return await self._chunks()
        if length is None:
            raise BrokenAnswer("unframed")
        if not (length.isascii() and length.isdigit()):
            raise BrokenAnswer("malformed: length")
        return await self._take(int(length))

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = CHUNK_LINE.match(await self._until(b"\r\n"))
            if not line:
                raise BrokenAnswer("malformed: chunk")
            size = int(line[1], 16)
            if size == 0:
                break
            body += await self._take(size)
            if await self._take(2) != b"\r\n":
                raise BrokenAnswer("malformed: chunk")
        while await self._until(b"\r\n"):  # trailers, up to the empty line
            pass
        return bytes(body)

    async def _until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise BrokenAnswer("malformed: endless line")
            await self._fill()
        text = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return text

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _fill(self) -> None:
        data = await self._loop.sock_recv(self._sock, 65536)
        if not data:
            raise BrokenAnswer("truncated" if self._begun else "eof")
        self._begun = True
        self._buffer += data


def parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """Minor version, status and headers (lower-case names, repeated ones joined)."""
    first, *lines = head.split(b"\r\n")
    start = STATUS_LINE.match(first)
    if not start:
        raise BrokenAnswer("malformed: status line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenAnswer("malformed: header")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(start[1]), int(start[2]), headers


def kind_of(error: OSError | BrokenAnswer) -> str:
    """The failure kind that an exception of an exchange stands for."""
    match error:
        case BrokenAnswer():
            return str(error)
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "refused"
        case ConnectionResetError() | BrokenPipeError():
            return "reset"
        case _:
            return errno.errorcode.get(error.errno or 0, type(error).__name__)


# ------------------------------------------------------------------------------- the clients


def expect_success(answer: Answer) -> str:
    """The failure kind of a complete answer to a GET; empty if it is good."""
    return "" if 200 <= answer.status < 300 else f"status {answer.status}"


def expect_created(answer: Answer) -> str:
    """The same for an order."""
    return "" if answer.status == 201 else f"status {answer.status}"


def expect_lines(answer: Answer) -> str:
    """The same for a stream, which must be whole."""
    lines = sum(1 for line in answer.body.splitlines() if line.strip())
    return expect_success(answer) or ("" if lines == STREAM_LINES else "short stream")


@dataclass
class Client:
    """A client class: how it comes by a connection, and what it takes for a good answer."""

    name: str
    timeout: float
    size: int = 0  # keep-alive connections; 0: a new connection for each request
    in_flight: int = 0  # requests always in flight; 0: as the pace demands
    looks: bool = True
    method: str = "GET"
    check: Callable[[Answer], str] = expect_success
    # The connections not in use, the longest idle one first; None where one is to be opened.
    pool: deque[Wire | None] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.pool.extend([None] * self.size)

    def take(self) -> Wire | None:
        """The next idle connection, or None if a new one is due."""
        wire = self.pool.popleft() if self.pool else None
        if wire and self.looks and wire.stale():
            wire.close()
            return None
        return wire

    def give_back(self, wire: Wire | None) -> None:
        """Return a connection that may be used again, or None in place of one that may not."""
        if len(self.pool) < self.size:
            self.pool.append(wire)
        elif wire:
            wire.close()


@dataclass(frozen=True)
class Options:
    """The command line; ``seconds`` is None to go on until told to stop."""

    url: str
    seconds: float | None
    rate: float
    connections: int
    slow: int
    stream: int
    only: tuple[str, ...]
    path: str
    timeout: float
    json: Path | None
    until_stdin_closes: bool


class Traffic:
    """Makes the traffic; use once, inside a running event loop."""

    def __init__(self, options: Options, on_ready: Callable[[], None]) -> None:
        """``on_ready`` is called once, when every fast class has had a good answer."""
        parts = urlsplit(options.url)
        self._host, self._base = parts.netloc, parts.path.rstrip("/")
        self._family, self._address = resolve(parts.hostname or "", parts.port or 80)
        self._options = options
        self._on_ready = on_ready
        self._clients = list(make_clients(options))
        self._ledger = Ledger(client.name for client in self._clients)
        self._began = time.monotonic()
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> Report:
        """Make traffic until ``stop`` is set or the time is over; then await the rest.

        Each request has its own deadline, so the rest takes no longer than the longest of them.
        """
        async with asyncio.TaskGroup() as group:
            pacer = group.create_task(self._pace(group))
            for client in self._clients:
                for number in range(client.in_flight):
                    group.create_task(self._keep_in_flight(client, number))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.seconds):
                    await stop.wait()
            seconds = self._now()
            self._stopping = True
            pacer.cancel()
        for wire in itertools.chain.from_iterable(client.pool for client in self._clients):
            if wire:
                wire.close()
        return self._ledger.report(seconds, self._began)

    async def _pace(self, group: asyncio.TaskGroup) -> None:
        """Start fast requests, each class in turn, at the times that the rate demands."""
        due = 0.0
        for client in itertools.cycle(c for c in self._clients if not c.in_flight):
            await asyncio.sleep(max(0.0, due - self._now()))
            late = self._now() - due
            self._ledger.lag = max(self._ledger.lag, late)
            if late > 1:
                # The generator was starved: a flood of overdue requests would measure itself.
                due += late
            due += 1 / self._options.rate
            group.create_task(self._order(client) if client.name == "post" else self._get(client))

    async def _get(self, client: Client) -> None:
        await self._ask(client, self._options.path)

    async def _order(self, client: Client) -> None:
        key = uuid.uuid4().hex
        body = json.dumps({"key": key, "item": "x"}).encode()
        good = await self._ask(client, "/api/orders", body)
        self._ledger.posts["acked" if good else "unacked"].append(key)

    async def _keep_in_flight(self, client: Client, number: int) -> None:
        # The first ones differ in length, lest all slow requests start and end together for ever.
        seconds = 1 + number % SLOW_SECONDS
        while not self._stopping:
            start = self._now()
            if client.name == "slow":
                await self._ask(client, f"/slow?s={seconds}")
                seconds = SLOW_SECONDS
            else:
                await self._ask(client, f"/stream?n={STREAM_LINES}&every={STREAM_EVERY}")
            # One that fails at once waits its turn, too.
            await asyncio.sleep(max(0.0, start + 0.25 - self._now()))

    async def _ask(self, client: Client, path: str, body: bytes = b"") -> bool:
        """One request, sent at most once, and booked; tells whether the answer was good."""
        message = self._message(client, path, body)
        count = self._ledger.counts[client.name]
        kind, release, kept = "", None, None
        start = self._now()
        wire = client.take()
        reused = wire is not None
        try:
            async with asyncio.timeout(client.timeout):
                if wire is None:
                    count["connections"] += 1
                    wire = await Wire.open(self._family, self._address)
                answer = await wire.exchange(message)
            kind, release = client.check(answer), answer.headers.get("x-release")
            kept = wire if answer.keeps else None
        except (OSError, BrokenAnswer) as error:
            kind = kind_of(error)
        finally:
            if wire and not kept:
                wire.close()
            client.give_back(kept)
        was_ready = self._ledger.ready
        outcome = (client.name, client.method, path, start, self._now(), kind, release, reused)
        self._ledger.book(Outcome(*outcome))
        if self._ledger.ready and not was_ready:
            self._on_ready()
        return not kind

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _message(self, client: Client, path: str, body: bytes) -> bytes:
        lines = [
            f"{client.method} {self._base}{path} HTTP/1.1",
            f"Host: {self._host}",
            "User-Agent: releasekit-load",
            "Accept: */*",
        ]
        if not client.size:
            lines.append("Connection: close")
        if client.method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


def make_clients(options: Options) -> Iterable[Client]:
    """The client classes that are to run; the keep-alive ones share the connections equally."""
    keeping = [name for name in options.only if name != "fresh"]
    share, rest = divmod(options.connections, max(1, len(keeping)))
    for name in options.only:
        size = max(1, share + (keeping.index(name) < rest)) if name in keeping else 0
        client = Client(name, options.timeout, size, looks=name != "naive")
        if name == "post":
            client.method, client.check = "POST", expect_created
        yield client
    if options.slow:
        yield Client("slow", options.timeout + SLOW_SECONDS, in_flight=options.slow)
    if options.stream:
        timeout = options.timeout + STREAM_LINES * STREAM_EVERY
        yield Client("stream", timeout, in_flight=options.stream, check=expect_lines)


def resolve(host: str, port: int) -> tuple[int, Any]:
    """Family and address to connect to: the first that accepts, or else just the first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, _, _, _, address in found:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(1)
            if len(found) == 1 or sock.connect_ex(address) == 0:
                return family, address
    return found[0][0], found[0][4]


# -------------------------------------------------------------------- command line and Load


def parse_options(argv: Sequence[str] | None) -> Options:
    """The options, or SystemExit(2)."""
    parser = argparse.ArgumentParser(description="HTTP load that counts every failed request")
    parser.add_argument("--url", required=True, help="http://HOST[:PORT][/BASE]")
    parser.add_argument("--seconds", type=float, help="how long (20; no end with stdin)")
    parser.add_argument("--rate", type=float, default=300, help="fast requests/s in all")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive ones in all")
    parser.add_argument("--slow", type=int, help="slow requests in flight (4; 0 with --only)")
    parser.add_argument("--stream", type=int, default=0, help="streams in flight")
    parser.add_argument("--only", help=f"fast classes to run, of {','.join(FAST)}")
    parser.add_argument("--path", default="/api/release", help="what GETs ask for")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for a fast request")
    parser.add_argument("--json", type=Path, help="where to write the report (default stdout)")
    parser.add_argument("--until-stdin-closes", action="store_true")
    args = parser.parse_args(argv)
    only = set(args.only.split(",") if args.only else FAST)
    if unknown := only - set(FAST):
        parser.error(f"--only: no such class: {', '.join(sorted(unknown))}")
    if urlsplit(args.url).scheme != "http" or not urlsplit(args.url).hostname:
        parser.error("--url: must be http://HOST...")
    if args.rate <= 0 or args.connections < 1 or args.timeout <= 0:
        parser.error("--rate, --connections and --timeout must be positive")
    if args.seconds is None and not args.until_stdin_closes:
        args.seconds = 20
    if args.slow is None:
        args.slow = 0 if args.only else 4
    args.only = tuple(name for name in FAST if name in only)
    return Options(**vars(args))


async def run(options: Options) -> Report:
    """Make traffic until the time is over, SIGTERM, SIGINT or (if asked) the end of stdin."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)

    def await_end_of_stdin() -> None:
        with contextlib.suppress(OSError):  # a stdin that is closed already
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)

    if options.until_stdin_closes:
        threading.Thread(target=await_end_of_stdin, daemon=True).start()
    return await Traffic(options, lambda: print("ready", file=sys.stderr, flush=True)).run(stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if requests were made and none failed, else 1."""
    options = parse_options(argv)
    # When a server hangs, open loop means many connections at a time.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    report = asyncio.run(run(options))
    document = json.dumps(asdict(report), indent=1) + "\n"
    if options.json:
        options.json.write_text(document)
    else:
        print(document, end="", flush=True)
    print(report.summary(), file=sys.stderr, flush=True)
    return 0 if report.requests and not report.failed else 1


class LoadError(Exception):
    """The load did not get going, or ended untimely or without a report."""


class Load:
    """Traffic during a ``with`` block, made by a process of its own.

        with Load(url, rate=300, slow=4) as load:
            release()
        assert load.report.failed == 0

    On entry each fast class has had a good answer (else LoadError after ``ready_within``
    seconds).  On exit the requests in flight have ended, too.  The arguments mean what the
    options of the command line do; ``only`` names fast classes.  Should the test die, so does
    the load, as its stdin closes.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float = 300,
        connections: int = 64,
        slow: int | None = None,
        stream: int = 0,
        only: Sequence[str] = (),
        path: str = "/api/release",
        timeout: float = 10,
        ready_within: float = 20,
    ) -> None:
        self._command = [
            *(sys.executable, __file__, "--until-stdin-closes", f"--url={url}"),
            *(f"--rate={rate}", f"--connections={connections}", f"--stream={stream}"),
            *(f"--only={','.join(only)}", f"--path={path}", f"--timeout={timeout}"),
        ]
        if slow is not None:
            self._command.append(f"--slow={slow}")
        self._drain = timeout + SLOW_SECONDS + 10
        self._ready_within = ready_within
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """What the load has seen; valid after the block only."""
        if self._report is None:
            raise RuntimeError("the load has not ended yet")
        return self._report

    def __enter__(self) -> Load:
        # A file takes any report, however late it is read.
        self._document = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, stdin=pipe, stdout=self._document, stderr=pipe, text=True
        )
        assert self._process.stdin
        assert self._process.stderr
        # Stopped like this it says in its summary what kept it from being ready.
        watchdog = threading.Timer(self._ready_within, self._process.stdin.close)
        watchdog.daemon = True
        watchdog.start()
        said = []
        for line in self._process.stderr:
            said.append(line)
            if line == "ready\n":
                watchdog.cancel()
                return self
        watchdog.cancel()
        with self._document, self._process:
            raise LoadError("the load did not become ready:\n" + "".join(said))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        untimely = self._process.poll() is not None
        self._process.terminate()
        try:
            _, said = self._process.communicate(timeout=self._drain)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        with self._document:
            self._document.seek(0)
            document = self._document.read()
        if document and not untimely:
            self._report = Report(**json.loads(document))
            return
        complaint = f"the load ended {'untimely' if untimely else 'without a report'}:\n{said}"
        if not error:
            raise LoadError(complaint)
        error.add_note(complaint)  # what went wrong in the block matters more


if __name__ == "__main__":
    sys.exit(main())
