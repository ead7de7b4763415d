"""The load generator against servers whose every fault is known."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.load import (
    Answer,
    BrokenAnswer,
    Client,
    Ledger,
    Load,
    LoadError,
    Outcome,
    Report,
    Wire,
    downtime,
    percentiles,
)

SCRIPT = Path(__file__).parents[2] / "bench" / "load.py"


class Request(NamedTuple):
    number: int
    method: str
    path: str
    connection: int
    body: bytes


class Reply(NamedTuple):
    raw: bytes
    close: bool = False


Behaviour = Callable[[Request], Reply | Awaitable[Reply]]
DROP = Reply(b"", close=True)


def answer(body: bytes = b"ok", status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def good(request: Request) -> Reply:
    if request.path.startswith("/stream"):
        return Reply(answer(b"".join(b"line %d\n" % number for number in range(10))))
    return Reply(answer(status=201 if request.method == "POST" else 200))


class Server:
    """An HTTP server in a thread that replies as it is told and remembers what it was asked."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.seen: list[Request] = []
        self.connections = 0
        self._behaviour = behaviour
        self._changed = threading.Condition()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = self._do(self._listen(0))
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._do(self._go_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=10)

    def wait_for_requests(self, count: int) -> None:
        self.wait_for(lambda: len(self.seen) >= count)

    def outage(self, seconds: float) -> tuple[float, float]:
        """Be down for that long; returns from when to when."""

        async def down_and_up() -> tuple[float, float]:
            began = time.monotonic()
            await self._go_down()
            await asyncio.sleep(began + seconds - time.monotonic())
            await self._listen(self.port)
            return began, time.monotonic()

        times: tuple[float, float] = self._do(down_and_up())
        return times

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self, port: int) -> int:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1000)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        found: int = self._listener.getsockname()[1]
        return found

    async def _go_down(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        self.connections += 1
        task = self._loop.create_task(self._serve(sock, self.connections))
        self._serving.add(task)
        task.add_done_callback(lambda _: sock.close())
        task.add_done_callback(self._serving.discard)

    async def _serve(self, sock: socket.socket, connection: int) -> None:
        received = b""
        with suppress(OSError):
            while True:
                while b"\r\n\r\n" not in received:
                    data = await self._loop.sock_recv(sock, 65536)
                    if not data:
                        return
                    received += data
                head, _, body = received.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ") for line in lines)
                length = int(headers.get("content-length", 0))
                while len(body) < length:
                    body += await self._loop.sock_recv(sock, 65536)
                received = body[length:]
                method, path, _ = first.split()
                request = Request(len(self.seen), method, path, connection, body[:length])
                with self._changed:
                    self.seen.append(request)
                    self._changed.notify_all()
                reply = self._behaviour(request)
                if not isinstance(reply, Reply):
                    reply = await reply
                await self._loop.sock_sendall(sock, reply.raw)
                if reply.close or headers.get("connection") == "close":
                    return


@contextmanager
def serving(behaviour: Behaviour = good) -> Iterator[Server]:
    server = Server(behaviour)
    try:
        yield server
    finally:
        server.close()


def run_script(server: Server, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, report and stderr of a run of the command line."""
    command = [sys.executable, str(SCRIPT), f"--url={server.url}", *options]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


# ------------------------------------------------------------------------ against a good server


def test_counts_what_the_server_saw() -> None:
    with serving() as server:
        with Load(server.url, rate=800, connections=9, slow=2, stream=1) as load:
            server.wait_for_requests(400)
        report = load.report
    assert (report.requests, report.failed, report.failures) == (len(server.seen), 0, [])
    fast = [report.by_class[name]["requests"] for name in ("fresh", "careful", "naive", "post")]
    assert max(fast) - min(fast) <= 1
    for name, path in (("slow", "/slow"), ("stream", "/stream"), ("post", "/api/orders")):
        seen = sum(request.path.startswith(path) for request in server.seen)
        assert report.by_class[name]["requests"] == seen > 0
    assert report.downtime_s == 0
    assert 0 < report.latency_ms["p50"] <= report.latency_ms["p99"] <= report.latency_ms["max"]


def test_connections_are_kept() -> None:
    keeping = ["naive", "careful"]
    with serving() as server, Load(server.url, rate=400, connections=3, only=keeping) as load:
        server.wait_for_requests(100)
    opened = [count["connections"] for count in load.report.by_class.values()]
    assert sum(opened) == server.connections < load.report.requests
    assert load.report.failed == 0


def socket_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def test_connections_are_used_in_turn() -> None:
    async def play() -> None:
        client = Client("careful", timeout=1, size=2)
        pairs = [socket_pair() for _ in range(3)]
        first, second, further = (Wire(ours) for ours, _ in pairs)
        assert [client.take() for _ in range(3)] == [None, None, None]
        for wire in (first, second, further):
            client.give_back(wire)
        assert further.stale()  # the pool was full
        assert [client.take() for _ in range(3)] == [first, second, None]
        for ours, theirs in pairs:
            ours.close()
            theirs.close()

    asyncio.run(play())


def test_fresh_clients_open_a_connection_for_each_request() -> None:
    with serving() as server, Load(server.url, rate=400, only=["fresh"]) as load:
        server.wait_for_requests(50)
    assert load.report.by_class["fresh"]["connections"] == load.report.requests
    assert server.connections == load.report.requests


def test_first_slow_requests_differ_in_length() -> None:
    with serving() as server, Load(server.url, rate=100, slow=4):
        server.wait_for(lambda: sum(it.path.startswith("/slow") for it in server.seen) >= 8)
    lengths = [request.path for request in server.seen if request.path.startswith("/slow")]
    assert sorted(lengths[:4]) == ["/slow?s=1", "/slow?s=1", "/slow?s=2", "/slow?s=3"]
    assert set(lengths[4:]) == {"/slow?s=3"}


def test_requests_in_flight_at_the_end_get_their_answers() -> None:
    async def slowly(request: Request) -> Reply:
        if request.path.startswith("/slow"):
            await asyncio.sleep(0.5)
        return good(request)

    with serving(slowly) as server, Load(server.url, rate=200, slow=3) as load:
        server.wait_for(lambda: sum(it.path.startswith("/slow") for it in server.seen) >= 3)
    assert load.report.failed == 0
    assert load.report.by_class["slow"]["requests"] >= 3
    assert load.report.requests == len(server.seen)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED + b"\r\n5;ext=1\r\nhello\r\nA\r\n0123\r\n6789\r\n0\r\nTrailer: x\r\n\r\n",
        CHUNKED + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(b"x" * 300_000),
    ],
    ids=["chunks", "no-chunks", "interim", "no-content", "big"],
)
def test_complete_answers(raw: bytes) -> None:
    read = asyncio.run(exchange(raw, step=1 if len(raw) < 1000 else 50_000))
    assert read.status in (200, 204)
    assert read.keeps
    if b"hello" in raw:
        assert read.body == b"hello0123\r\n6789"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "eof"),
        (b"HTTP/1.1 200", "truncated"),
        (answer(b"hello")[:-1], "truncated"),
        (CHUNKED + b"\r\n5\r\nhello\r\n", "truncated"),
        (CHUNKED + b"\r\n5\r\nhello\r\n0\r\n", "truncated"),
        (CHUNKED + b"\r\n5\r\nhello!!0\r\n\r\n", "malformed: chunk"),
        (CHUNKED + b"\r\nxyz\r\n", "malformed: chunk"),
        (b"HTTP/1.1 200 OK\r\n\r\nup to the close", "unframed"),
        (answer() + b"more", "malformed: stray bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed: length"),
        (answer(b"ok", 200, "Content-Length: 3"), "malformed: length"),
        (answer(b"ok", 200, "no colon"), "malformed: header"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed: status line"),
    ],
)
def test_incomplete_answers(raw: bytes, kind: str) -> None:
    with pytest.raises(BrokenAnswer, match=f"^{kind}$"):
        asyncio.run(exchange(raw))


async def exchange(raw: bytes, step: int = 65536) -> Answer:
    """What a Wire makes of an answer that arrives in pieces of ``step`` bytes."""

    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()

    async def feed() -> None:
        for start in range(0, len(raw), step):
            await loop.sock_sendall(theirs, raw[start : start + step])
            await asyncio.sleep(0)
        theirs.shutdown(socket.SHUT_WR)

    with ours, theirs:
        feeding = asyncio.create_task(feed())
        try:
            return await Wire(ours).exchange(b"GET / HTTP/1.1\r\n\r\n")
        finally:
            await feeding


# ---------------------------------------------------------------------------- against bad ones


def test_stale_connections_are_told_from_fit_ones() -> None:
    async def play() -> None:
        silent, speaking, closed = (socket_pair() for _ in range(3))
        speaking[1].send(b"HTTP/1.1 408 Request Timeout")
        closed[1].close()
        assert [Wire(ours).stale() for ours, _ in (silent, speaking, closed)] == [False, True, True]
        for ours, theirs in (silent, speaking, closed):
            ours.close()
            theirs.close()

    asyncio.run(play())


def test_idle_connections_that_close_cost_only_the_naive_their_requests() -> None:
    with serving(lambda request: good(request)._replace(close=True)) as server:
        # Each of the 90 connections idles for 0.3 s: time for the close to get through.
        with Load(server.url, rate=400, connections=90, slow=0) as load:
            server.wait_for_requests(270)
        report = load.report
    failed = {name: count["failed"] for name, count in report.by_class.items()}
    naive = report.by_class["naive"]
    assert failed == {"fresh": 0, "careful": 0, "naive": naive["failed"], "post": 0}
    # Each of its connections serves one request and loses the next.
    assert 0 <= naive["connections"] - naive["failed"] <= 30
    assert naive["failed"] > 0
    assert naive["requests"] == naive["connections"] + naive["failed"]
    assert set(report.failed_by_kind) <= {"eof", "reset"}
    assert all(failure["reused"] for failure in report.failures)
    assert report.downtime_s == 0


def test_an_announced_close_is_obeyed() -> None:
    def closing(request: Request) -> Reply:
        return Reply(answer(b"ok", 200, "Connection: close"), close=True)

    with serving(closing) as server, Load(server.url, rate=400, only=["naive"]) as load:
        server.wait_for_requests(100)
    assert load.report.failed == 0
    assert load.report.by_class["naive"]["connections"] == load.report.requests


def every_tenth(bad: Reply) -> Behaviour:
    return lambda request: bad if request.number % 10 == 9 else good(request)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (DROP, "eof"),
        (Reply(answer(b"hello")[:-1], close=True), "truncated"),
        (Reply(answer(b"bad gateway", 502)), "status 502"),
        (Reply(answer(b"", 301, "Location: /")), "status 301"),
    ],
)
def test_each_failure_is_counted_once(bad: Reply, kind: str) -> None:
    with serving(every_tenth(bad)) as server:
        with Load(server.url, rate=800, only=["fresh", "careful"]) as load:
            server.wait_for_requests(300)
        report = load.report
    # Had a request been sent again, the server would have seen more of them.
    assert report.requests == len(server.seen)
    assert report.failed_by_kind == {kind: len(server.seen) // 10}
    assert report.failed == len(server.seen) // 10
    failure = report.failures[0]
    assert (failure["method"], failure["path"], failure["kind"]) == ("GET", "/api/release", kind)
    assert 0 <= failure["start"] <= failure["end"] <= report.seconds + 1


def test_post_keys_are_acked_or_unacked() -> None:
    fates = (Reply(answer(b"", 201)), DROP, Reply(answer(b"", 500)), Reply(answer(b"", 200)))

    def take(request: Request) -> Reply:
        return fates[min(request.number % 10, 3)] if request.number % 10 < 4 else fates[0]

    with serving(take) as server:
        with Load(server.url, rate=800, only=["post"]) as load:
            server.wait_for_requests(300)
        report = load.report
    keys = [json.loads(request.body)["key"] for request in server.seen]
    assert len(set(keys)) == len(keys) == report.requests
    acked = {
        key for key, request in zip(keys, server.seen, strict=True) if take(request) is fates[0]
    }
    assert sorted(report.posts["acked"]) == sorted(acked)
    assert sorted(report.posts["unacked"]) == sorted(set(keys) - acked)
    assert report.failed == len(report.posts["unacked"])
    assert {request.path for request in server.seen} == {"/api/orders"}


def test_a_stream_must_be_whole() -> None:
    def short(request: Request) -> Reply:
        stream = request.path.startswith("/stream")
        return Reply(answer(b"line\n" * 9)) if stream else good(request)

    with serving(short) as server, Load(server.url, rate=50, only=["fresh"], stream=2) as load:
        server.wait_for(lambda: sum(it.path.startswith("/stream") for it in server.seen) >= 2)
    streams = load.report.by_class["stream"]
    assert load.report.failed_by_kind == {"short stream": streams["requests"]}


def test_silence_is_a_timeout_and_does_not_slow_the_pace() -> None:
    async def hang(request: Request) -> Reply:
        if request.number > 0:
            await asyncio.sleep(10)
        return good(request)

    with serving(hang) as server:
        options = ("--rate=200", "--connections=3", "--only=careful", "--timeout=0.3")
        status, report, _ = run_script(server, *options, "--seconds=0.6")
    assert status == 1
    assert report["failed_by_kind"] == {"timeout": report["requests"] - 1}
    assert report["requests"] == pytest.approx(120, abs=40)
    assert all(0.3 <= failure["end"] - failure["start"] < 2 for failure in report["failures"])


def test_an_outage_is_measured() -> None:
    with serving() as server:
        with Load(server.url, rate=300, slow=0) as load:
            server.wait_for_requests(100)
            down, up = server.outage(1.0)
            before = len(server.seen)
            server.wait_for_requests(before + 100)
        report = load.report
    # A busy machine delays the generator, which knows by how much.
    tolerance = 0.05 + (report.lag_s if report.lag_s > 0.02 else 0)
    assert report.downtime_s == pytest.approx(up - down, abs=tolerance)
    assert report.longest_gap_s == pytest.approx(up - down, abs=tolerance)
    assert report.failures[0]["start"] + report.started_monotonic == pytest.approx(
        down, abs=tolerance
    )
    # All that start during it fail, and so may those that it cuts off.
    assert report.failed == pytest.approx(300 * (up - down), abs=40)
    assert set(report.failed_by_kind) <= {"refused", "reset", "eof"}
    assert report.rate == pytest.approx(300, rel=0.1 + report.lag_s)


# ------------------------------------------------------------------------------ the arithmetic


def test_downtime() -> None:
    assert downtime([], 10) == 0
    assert downtime([(0, True), (1, True)], 10) == 0
    assert downtime([(0, True), (1, False), (2, False), (4, True)], 10) == 3
    assert downtime([(4, True), (2, False), (0, True), (1, False)], 10) == 3
    assert downtime([(0, False), (1, True), (2, False)], 10) == 9


def test_downtime_converges_on_the_outage() -> None:
    for rate in (10, 100, 1000):
        starts = (number / rate for number in range(10 * rate))
        probes = [(start, not 3.033 <= start < 4.5) for start in starts]
        assert downtime(probes, 10) == pytest.approx(4.5 - 3.033, abs=1 / rate)


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([3]) == {"p50": 3, "p95": 3, "p99": 3, "max": 3}
    assert percentiles(range(200, 0, -1)) == {"p50": 100, "p95": 190, "p99": 198, "max": 200}


def booked(*answers: tuple[str, float, float], until: float = 10) -> Report:
    """The report of good answers: (release, start, end), in the order of their ends."""
    ledger = Ledger(["fresh"])
    for release, start, end in answers:
        ledger.book(Outcome("fresh", "GET", "/", start, end, release=release))
    return ledger.report(until, started_monotonic=0)


def test_releases() -> None:
    report = booked(("a", 0, 1), ("a", 1, 2), ("b", 1.5, 3), ("a", 2, 4), ("b", 3, 5))
    assert report.releases == {
        "a": {"answers": 3, "first_seen": 1, "last_seen": 4},
        "b": {"answers": 2, "first_seen": 3, "last_seen": 5},
    }
    assert list(report.releases) == ["a", "b"]
    assert report.went_back == 0  # the last "a" had started before "b" first answered


def test_going_back() -> None:
    answers = [("a", 0, 1), ("b", 1, 2), ("a", 3, 4), ("b", 3, 4), ("c", 5, 6), ("a", 7, 8)]
    assert booked(*answers).went_back == 2


def test_longest_gap_includes_both_ends() -> None:
    assert booked(("a", 0, 3), ("a", 3, 4), until=5).longest_gap_s == 3
    assert booked(("a", 0, 1), ("a", 3, 4), until=5).longest_gap_s == 3
    assert booked(("a", 0, 1), ("a", 1, 2), until=5).longest_gap_s == 3


# ---------------------------------------------------------------------------- the command line


def test_command_line(tmp_path: Path) -> None:
    with serving() as server:
        status, report, said = run_script(server, "--seconds=0.3", "--slow=1")
        assert status == 0
        assert (report["schema"], report["requests"]) == (1, len(server.seen))
        assert said.startswith("ready\n")
        assert len(said.splitlines()) == 1 + 5
        out = tmp_path / "out.json"
        command = [sys.executable, str(SCRIPT), f"--url={server.url}", "--only=post,fresh"]
        subprocess.run([*command, "--seconds=0.2", f"--json={out}"], check=True, timeout=20)
    assert list(json.loads(out.read_text())["by_class"]) == ["fresh", "post"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_a_report(signum: int) -> None:
    with serving() as server:
        command = [sys.executable, str(SCRIPT), f"--url={server.url}", "--slow=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as load:
            server.wait_for_requests(8)
            load.send_signal(signum)
            document, _ = load.communicate(timeout=10)
        assert load.returncode == 0
        assert json.loads(document)["requests"] == len(server.seen)


def test_end_of_stdin_ends_it() -> None:
    with serving() as server:
        status, report, _ = run_script(server, "--until-stdin-closes", "--slow=0")
    assert report["seconds"] < 5
    assert status == (0 if report["requests"] else 1)


def test_load_tells_why_it_is_not_ready() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(LoadError, match=r"failures: (refused \d+|none)\n"):
        Load(url, ready_within=0.5).__enter__()


def test_a_load_that_dies_is_no_proof() -> None:
    with serving() as server:
        load = Load(server.url).__enter__()
        load._process.kill()
        load._process.wait()
        with pytest.raises(LoadError, match="untimely"):
            load.__exit__(None, None, None)
        with pytest.raises(ZeroDivisionError), Load(server.url):
            _ = 1 / 0


def test_load_has_no_report_before_its_end() -> None:
    load = Load("http://127.0.0.1:1")
    with pytest.raises(RuntimeError):
        _ = load.report
