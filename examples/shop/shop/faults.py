"""Ways in which a release can be bad, so that tests can ship one; the README has the table."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable

from shop.framework import HttpError, Request, Response, Server

log = logging.getLogger("fault")

CRASH_AFTER_SECONDS = 3.0
SLOW_SECONDS = 1.0


def die_at_once() -> int:
    """What a process says and returns that cannot even start."""
    log.error("cannot start: SHOP_FAULT says so")
    return 1


def install(fault: str | None, server: Server) -> None:
    """Break the routes of a server the way `fault` says; other names are not about routes."""
    app = server.app

    def fail(request: Request) -> Response:
        raise HttpError(500, "broken: SHOP_FAULT says so")

    def redirect(request: Request) -> Response:
        return Response(status=301, headers={"Location": "/"})

    def hang(request: Request) -> Response:
        while not server.stopping:
            time.sleep(0.05)
        raise HttpError(503, "stopping")

    match fault:
        case "unready-500":
            app.get("/up")(fail)
        case "unready-301":
            app.get("/up")(redirect)
        case "unready-hang":
            app.get("/up")(hang)
        case "unready-flapping":
            _flap(server)
        case "errors":
            app.get("/")(fail)
            app.get("/api/orders")(fail)
            app.post("/api/orders")(fail)
        case "slow":
            _slow_down(server)
        case "crash-when-ready":
            _end_when_ready(server, lambda: os._exit(1))  # not sys.exit: that would end one thread
        case "oom-when-ready":
            _end_when_ready(server, _take_all_memory)
        case _:
            pass


def _slow_down(server: Server) -> None:
    """The page takes its time, `/up` does not."""
    page = server.app.handler("GET", "/")

    def slow(request: Request) -> Response:
        time.sleep(SLOW_SECONDS)
        return page(request)

    server.app.get("/")(slow)


def _flap(server: Server) -> None:
    """Ready and not ready in turn."""
    ready = server.app.handler("GET", "/up")
    turn = itertools.cycle((True, False))

    def up(request: Request) -> Response:
        if next(turn):
            return ready(request)
        raise HttpError(500, "broken: SHOP_FAULT says so")

    server.app.get("/up")(up)


def _end_when_ready(server: Server, end: Callable[[], None]) -> None:
    ready = server.app.handler("GET", "/up")

    def up(request: Request) -> Response:
        response = ready(request)
        threading.Timer(CRASH_AFTER_SECONDS, end).start()
        return response

    server.app.get("/up")(up)


def _take_all_memory() -> None:
    taken = []
    while True:
        taken.append(b"x" * 2**24)
