"""The job queue in Redis. A job leaves it only when it is done: a killed worker loses none.

A worker moves a job from the queue to a list of its own and deletes it there afterwards. While it
lives it renews a key; the list of a worker whose key has run out goes back to the queue. So a job
may run twice, never not at all.
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import redis

QUEUE = "shop:jobs"
WORKERS = "shop:workers"
# Longer than any job, or a busy worker would be taken for a dead one.
ALIVE_SECONDS = 15


class JobsUnavailable(Exception):
    """The queue cannot be asked at the moment."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work with an id of its own, so that doing it twice can be told."""

    id: str
    payload: dict[str, object]
    raw: bytes


class Jobs:
    """The queue, for those who put jobs in and those who take them out.

    Every method raises `JobsUnavailable` when Redis is away.
    """

    def __init__(self, url: str, worker: str = "") -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=3)
        self._worker = worker

    def put(self, payload: dict[str, object]) -> str:
        """Queue a job; its id."""
        job = uuid.uuid4().hex
        self._do("LPUSH", QUEUE, json.dumps({"id": job, "payload": payload}))
        return job

    def waiting(self) -> int:
        """How many jobs nobody has taken yet."""
        return int(self._do("LLEN", QUEUE))

    def take(self, seconds: float) -> Job | None:
        """The next job, or `None` if there was none for so long; then `finish` it."""
        raw = self._do("BLMOVE", QUEUE, _taken(self._worker), "RIGHT", "LEFT", seconds)
        return None if raw is None else Job(raw=raw, **json.loads(raw))

    def finish(self, job: Job) -> None:
        """Forget a job that is done."""
        self._do("LREM", _taken(self._worker), 1, job.raw)

    def report_alive(self) -> None:
        """Say that this worker lives; due much more often than `ALIVE_SECONDS`."""
        self._do("SADD", WORKERS, self._worker)
        self._do("SET", _alive(self._worker), 1, "EX", ALIVE_SECONDS)

    def rescue(self) -> int:
        """Give back the jobs of workers that died; how many."""
        dead = [
            name
            for name in (raw.decode() for raw in self._do("SMEMBERS", WORKERS))
            if not self._do("EXISTS", _alive(name))
        ]
        return sum(self._give_back(name) for name in dead)

    def leave(self) -> int:
        """Give back what this worker has taken and not finished; how many jobs."""
        self._do("DEL", _alive(self._worker))
        return self._give_back(self._worker)

    def _give_back(self, worker: str) -> int:
        jobs = 0
        while self._do("LMOVE", _taken(worker), QUEUE, "LEFT", "RIGHT") is not None:
            jobs += 1
        self._do("SREM", WORKERS, worker)
        return jobs

    def _do(self, *command: object) -> Any:
        try:
            return self._redis.execute_command(*command)
        except redis.RedisError as error:
            raise JobsUnavailable(str(error)) from error


def _taken(worker: str) -> str:
    return f"shop:taken:{worker}"


def _alive(worker: str) -> str:
    return f"shop:alive:{worker}"
