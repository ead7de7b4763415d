"""PostgreSQL: the schema, a small pool of connections and every statement of the shop.

Where the database is comes from libpq's own variables (PGHOST, PGUSER, PGPASSWORD, PGDATABASE).
"""

import queue
import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

# No unique key on orders, on purpose: an order that was sent twice shall be seen, not swallowed.
SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id serial PRIMARY KEY,
    key text NOT NULL,
    item text,
    release text NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS orders_by_key ON orders (key);
CREATE TABLE IF NOT EXISTS jobs (
    id text PRIMARY KEY,
    payload jsonb,
    release text NOT NULL,
    done timestamptz NOT NULL DEFAULT now()
);
"""
# Two processes that create the same table at once make one of them fail, "IF NOT EXISTS" or not.
SCHEMA_LOCK = 5405

POOL_SIZE = 4
PATIENCE_SECONDS = 5.0

Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]


class StoreUnavailable(Exception):
    """The database cannot be asked at the moment."""


class Store:
    """The shop's tables; safe to use from many threads.

    Every method raises `StoreUnavailable` when the database is away or too busy, and none repeats
    a statement: an insert whose answer was lost may have happened.
    """

    def __init__(self, size: int = POOL_SIZE) -> None:
        self._free = threading.BoundedSemaphore(size)
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._migrated = False

    def migrate(self) -> None:
        """Create what is missing; safe to do again, and by many at once."""
        with self._connection():
            pass  # the first connection of a process has done it

    def ping(self) -> None:
        """Ask the database for nothing at all."""
        self._query("SELECT 1")

    def add_order(self, key: str, item: str | None, release: str) -> int:
        """Insert an order; its id."""
        statement = "INSERT INTO orders (key, item, release) VALUES (%s, %s, %s) RETURNING id"
        return int(self._query(statement, (key, item, release))[0][0])

    def orders(self, key: str) -> list[dict[str, object]]:
        """All orders with this key, oldest first."""
        names = ("id", "key", "item", "release", "created")
        statement = (
            "SELECT id, key, item, release, created::text FROM orders WHERE key = %s ORDER BY id"
        )
        return [dict(zip(names, row, strict=True)) for row in self._query(statement, (key,))]

    def count_orders(self) -> int:
        """How many orders there are."""
        return int(self._query("SELECT count(*) FROM orders")[0][0])

    def count_doubled(self) -> int:
        """How many keys stand in more than one order."""
        statement = "SELECT count(*) FROM (SELECT FROM orders GROUP BY key HAVING count(*) > 1) d"
        return int(self._query(statement)[0][0])

    def finish_job(self, job: str, payload: object, release: str) -> None:
        """Write a job down as done; a job that was done before stays as it is."""
        statement = (
            "INSERT INTO jobs (id, payload, release) VALUES (%s, %s, %s)"
            " ON CONFLICT (id) DO NOTHING RETURNING id"
        )
        self._query(statement, (job, Jsonb(payload), release))

    def count_jobs(self) -> int:
        """How many jobs are done."""
        return int(self._query("SELECT count(*) FROM jobs")[0][0])

    def _query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            raise StoreUnavailable("all connections to the database are busy")
        connection: Connection | None = None
        try:
            connection = self._idle_connection() or self._connect()
            yield connection
            self._idle.put(connection)
        except psycopg.Error as error:
            if connection is not None:
                connection.close()  # its state is anybody's guess; the next caller gets a new one
            raise StoreUnavailable(" ".join(str(error).split())) from error
        finally:
            self._free.release()

    def _idle_connection(self) -> Connection | None:
        """A connection that waits here and still lives."""
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            # Nobody has asked anything, so what there is to read can only be the server's goodbye.
            # Seen before use: a statement that fails half-way could not be repeated safely.
            if not select.select([connection.fileno()], [], [], 0)[0]:
                return connection
            connection.close()

    def _connect(self) -> Connection:
        options = "-c statement_timeout=5s"
        connection = psycopg.connect(autocommit=True, connect_timeout=3, options=options)
        if not self._migrated:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                connection.execute(SCHEMA)
            self._migrated = True
        return connection
