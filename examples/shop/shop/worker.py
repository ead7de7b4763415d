"""The worker: takes jobs from Redis, does them, writes them down in PostgreSQL."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shop import faults
from shop.jobs import Job, Jobs, JobsUnavailable
from shop.settings import Settings
from shop.store import Store, StoreUnavailable

log = logging.getLogger("worker")

# The health check of the container reads the time of the last good round from it.
HEARTBEAT = Path("/tmp/heartbeat")
HEARTBEAT_SECONDS = 1.0
# How long a stop may have to wait for an idle worker.
TAKE_SECONDS = 0.2
TROUBLE_SECONDS = 1.0
# The longest job; less than the queue believes in a worker that says nothing.
MOST_SECONDS = 10.0


def work(settings: Settings, on_stop: Callable[[Callable[[], None]], None]) -> int:
    """Work until told to stop; the exit status. `on_stop` is given what to call then."""
    worker = Worker(Jobs(settings.redis_url, socket.gethostname()), Store(), settings.release)
    on_stop(worker.stop)
    if settings.fault == "worker-exit":
        return faults.die_at_once()
    worker.run(idle=settings.fault == "worker-unready")
    return 0


class Worker:
    """Takes one job after the other; a job in hand is finished before it leaves."""

    def __init__(self, jobs: Jobs, store: Store, release: str) -> None:
        self._jobs = jobs
        self._store = store
        self._release = release
        self._stopping = False
        self._next_heartbeat = 0.0

    def stop(self) -> None:
        """Begin to leave; safe in a signal handler."""
        self._stopping = True

    def run(self, idle: bool = False) -> None:
        """Work until `stop`; an `idle` one is a fault: it lives, takes nothing and is not well."""
        log.info("release %s at work", self._release)
        self._hand_back()  # what a container of this name held when it was killed
        while not self._stopping:
            try:
                if idle:
                    time.sleep(TAKE_SECONDS)
                else:
                    self._round()
            except (JobsUnavailable, StoreUnavailable) as error:
                log.warning("waiting: %s", error)
                time.sleep(TROUBLE_SECONDS)
                self._hand_back()
        self._hand_back()
        log.info("stopped")

    def _round(self) -> None:
        if time.monotonic() >= self._next_heartbeat:
            self._heartbeat()
        job = self._jobs.take(TAKE_SECONDS)
        if job is not None:
            self._do(job)

    def _heartbeat(self) -> None:
        self._store.ping()
        self._jobs.report_alive()
        if rescued := self._jobs.rescue():
            log.info("gave back %d jobs of workers that are gone", rescued)
        HEARTBEAT.write_text(f"{time.time():.0f}\n")
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def _hand_back(self) -> None:
        """Keep no job that is not being done: at the start, after trouble and before going."""
        self._next_heartbeat = 0.0  # who goes on after this says first that it is here
        with suppress(JobsUnavailable):  # then a later round does it, or another worker
            self._jobs.leave()

    def _do(self, job: Job) -> None:
        """A job is `{"seconds": s}` of work, none without; whatever else it holds is kept."""
        seconds = job.payload.get("seconds", 0)
        if isinstance(seconds, int | float):
            time.sleep(min(max(seconds, 0.0), MOST_SECONDS))
        self._store.finish_job(job.id, job.payload, self._release)
        self._jobs.finish(job)
