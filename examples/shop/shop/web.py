"""The web service: the page, the API, and the faults that tests ask for."""

import html
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from shop import faults
from shop.framework import App, HttpError, Request, Response, Server
from shop.jobs import Jobs, JobsUnavailable
from shop.settings import Settings
from shop.store import Store, StoreUnavailable

PAGE = Template(Path(__file__).with_name("page.html").read_text())
HOST = socket.gethostname()
STARTED = datetime.now(UTC).isoformat(timespec="milliseconds")


def serve(settings: Settings, on_stop: Callable[[Callable[[], None]], None]) -> int:
    """Run the web service until it is told to stop; the exit status.

    `on_stop` is given what to call when the process shall end.
    """
    app = build(settings, Store(), Jobs(settings.redis_url))
    server = Server(app, settings.ports, settings.drain_seconds)
    faults.install(settings.fault, server)
    on_stop(server.stop)
    if settings.fault == "exit":
        return faults.die_at_once()
    if settings.fault == "crash-loop":
        return 0 if server.wait_for_stop(1.0) else 1
    if settings.boot_seconds and server.wait_for_stop(settings.boot_seconds):
        return 0
    server.run()
    return 0


def build(settings: Settings, store: Store, jobs: Jobs) -> App:
    """The app with its routes; connects to nothing by itself."""
    away = (StoreUnavailable, JobsUnavailable)
    app = App({"X-Release": settings.release}, away)
    count = _Remembered(store.count_orders, seconds=1.0)

    @app.get("/up")
    def up(request: Request) -> Response:
        store.ping()
        return Response(f"{settings.release}\n".encode())

    @app.get("/")
    def page(request: Request) -> Response:
        values = {
            "headline": settings.headline,
            "orders": f"{count():,}",
            "release": settings.release,
            "host": HOST,
        }
        escaped = {name: html.escape(value) for name, value in values.items()}
        return Response(PAGE.substitute(escaped).encode(), content_type="text/html; charset=utf-8")

    @app.get("/api/release")
    def release(request: Request) -> Response:
        return Response.json({"release": settings.release, "host": HOST, "started": STARTED})

    @app.get("/api/orders")
    def orders(request: Request) -> Response:
        key = request.query.get("key")
        if not key:
            raise HttpError(400, "which key?")
        return Response.json({"key": key, "orders": store.orders(key)})

    @app.post("/api/orders")
    def add_order(request: Request) -> Response:
        order = request.json()
        key, item = order.get("key"), order.get("item")
        if not isinstance(key, str) or not key or not isinstance(item, str | None):
            raise HttpError(400, "an order has a key and an item, both text")
        number = store.add_order(key, item, settings.release)
        return Response.json({"id": number, "key": key, "release": settings.release}, 201)

    @app.get("/api/orders/count")
    def orders_count(request: Request) -> Response:
        return Response.json({"count": store.count_orders()})

    @app.get("/api/orders/doubled")
    def orders_doubled(request: Request) -> Response:
        return Response.json({"doubled": store.count_doubled()})

    @app.post("/api/jobs")
    def add_job(request: Request) -> Response:
        return Response.json({"id": jobs.put(request.json())}, 202)

    @app.get("/api/jobs/count")
    def jobs_count(request: Request) -> Response:
        return Response.json({"waiting": jobs.waiting(), "done": store.count_jobs()})

    @app.get("/slow")
    def slow(request: Request) -> Response:
        seconds = request.number("s", default=3.0, most=30.0)
        time.sleep(seconds)
        return Response(f"slept {seconds:g} s\n".encode())

    @app.get("/stream")
    def stream(request: Request) -> Response:
        lines = int(request.number("n", default=10, most=1000))
        every = request.number("every", default=0.2, most=5.0)
        # nginx would collect the lines into a full buffer first.
        return Response(_count(lines, every), headers={"X-Accel-Buffering": "no"})

    return app


def _count(lines: int, every: float) -> Iterator[bytes]:
    for number in range(1, lines + 1):
        yield f"line {number} of {lines}\n".encode()
        if number < lines:
            time.sleep(every)


class _Remembered:
    """A number that is worth asking for once in a while only."""

    def __init__(self, ask: Callable[[], int], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._value = 0
        self._until = 0.0

    def __call__(self) -> int:
        if time.monotonic() >= self._until:
            self._value = self._ask()
            self._until = time.monotonic() + self._seconds
        return self._value
