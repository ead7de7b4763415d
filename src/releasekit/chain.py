"""The journal's lines as a chain: each holds the hash of the line before it, and its number.

A line that was changed, removed or moved is noticed at the one after it; that the last ones are
missing, by the `head`, which is kept beside the journal and tells how far it has got.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 2
UNLINKED = 1
"""The schema of the first journals, which had no chain."""

OF_A_RELEASE = ("commit", "hold", "migration")
"""The records that decide what a release is taken for."""

MEND = "mend"
"""The event of a record that says what was wrong with the lines before it: they are what they
are, and the chain begins anew."""

_RELEASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,199}")
"""An id of a release; nothing else becomes a part of a path."""
_HEAD = re.compile(r"([0-9]{1,15}) ([0-9a-f]+)\n")
_MOST = 10**15
"""No journal has so many records: whatever says so was damaged."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a journal says: its `records` in their order, as far as they can be understood.

    `problems`: what is wrong with it since it was last mended, as people read it. `torn`: of the
    last line, which is only cut off: its run ended while it was written. `newer`: the schema of a
    line that a newer releasekit wrote, 0 when there is none.
    """

    records: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    torn: str = ""
    newer: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that was ever written is there to be understood."""
        return not (self.problems or self.newer)

    @property
    def last(self) -> int:
        """The number of the last record; 0 when there is none."""
        return self.records[-1]["seq"] if self.records else 0


def linked(before: str, number: int, record: Mapping[str, object]) -> str:
    """The line of `record`, which is the `number`th, after the line `before` ("": none)."""
    link = {"schema": SCHEMA, "seq": number, "prev": hash_of(before)}
    return json.dumps({**link, **record}, ensure_ascii=False)


def head_of(line: str, number: int) -> str:
    """What tells that the journal has got so far."""
    return _head(number, hash_of(line))


def _head(number: int, digest: str) -> str:
    return f"{number} {digest}\n"


def count_of(head: str) -> int:
    """How many records there were when `head` was told; 0 for what cannot be understood."""
    found = _HEAD.fullmatch(head)
    return int(found[1]) if found else 0


def number_of(line: str) -> int:
    """The number of the record in `line`; 0 when it has none."""
    record = _parsed(line)
    return int(record["seq"]) if record and record["schema"] == SCHEMA else 0


def hash_of(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:32] if line else ""


def read(text: str, head: str = "") -> Reading:
    """What a journal of this `text` says, whatever has become of it. Never raises."""
    walk = _Walk()
    lines = text.split("\n")  # not `splitlines`: a commit's subject may hold a U+2028
    for number, line in enumerate(lines, start=1):
        if line:
            walk.take(number, line, is_torn=number == len(lines))
    walk.flush()
    walk.compare(head)
    records = sorted(walk.records.items())
    return Reading(
        tuple(record for _, record in records), tuple(walk.problems), walk.torn, walk.newer
    )


@dataclass
class _Walk:
    """A walk along the lines; `doubt` is what is wrong with the last one unless the next one,
    which knew it like that, vouches for it."""

    records: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    torn: str = ""
    newer: int = 0
    claimed: int = 0
    """The schema of the last line, if that is newer: damage can make it look so."""
    before: str = ""
    """The hash of the last line."""
    doubt: str = ""
    last: int = 0
    mended: int = 0
    is_linked: bool = False

    def take(self, number: int, line: str, *, is_torn: bool) -> None:
        record, digest = _parsed(line), hash_of(line)
        schema = record["schema"] if record else 0
        if record is None and is_torn:
            self.torn = f"line {number} is cut off: its run ended while it was written"
        elif record is None:
            self.flush(f"line {number} cannot be read")
        elif schema == SCHEMA:
            self._follow(number, digest, record)
        elif schema == UNLINKED:
            self.flush(f"line {number} is not linked to those before it" if self.is_linked else "")
            self._keep(self.last + 1, digest, record)
        else:
            self.flush(f"line {number} is of a newer releasekit (schema {schema})")
            self.claimed = schema
        self.before = digest

    def _follow(self, number: int, digest: str, record: Mapping[str, Any]) -> None:
        if record["prev"] == self.before:
            self.doubt = ""
            if record["event"] == MEND:
                self.problems, self.mended = [], record["seq"]
        else:
            self.claimed = 0  # nobody wrote that line as it is now
            self.flush()
            what = "a line was changed, removed or moved"
            self.problems.append(f"line {number} does not follow the line before it: {what}")
        self.is_linked = True
        self._keep(record["seq"], digest, record)

    def _keep(self, number: int, digest: str, record: Mapping[str, Any]) -> None:
        self.records.setdefault(number, {**record, "seq": number})
        self.hashes.setdefault(number, digest)
        self.last = max(self.last, number)

    def flush(self, doubt: str = "") -> None:
        """Nobody vouches for the last line: what is wrong with it is a problem."""
        if self.doubt:
            self.problems.append(self.doubt)
        self.doubt = doubt
        self.newer, self.claimed = self.newer or self.claimed, 0

    def compare(self, head: str) -> None:
        """Tell whether the journal has got as far as `head` says."""
        number = count_of(head)
        if number <= self.mended:
            return
        if number > self.last:
            had = f"record {number} was written" if self.last else f"it had {number} records"
            self.problems.append(f"its end is missing: {had}")
        elif _head(number, self.hashes.get(number, "")) != head:
            self.problems.append(f"record {number} is not as it was written")


def _parsed(line: str) -> Mapping[str, Any] | None:
    """The record in `line`, which may stand after one that was torn before its line's end; None
    when it cannot be understood, and is of no newer releasekit either."""
    try:
        record = json.loads(line[max(line.rfind('{"schema": '), 0) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    schema = record.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < UNLINKED:
        return None
    return record if schema > SCHEMA or _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    release = record.get("release", "")
    if not all(isinstance(text, str) for text in (record.get("event"), record.get("run"), release)):
        return False
    if not _RELEASE.fullmatch(release) and (release or record["event"] in OF_A_RELEASE):
        return False
    if record["schema"] == UNLINKED:
        return True
    seq = record.get("seq")
    is_numbered = isinstance(seq, int) and not isinstance(seq, bool) and 0 < seq < _MOST
    return is_numbered and isinstance(record.get("prev"), str)
