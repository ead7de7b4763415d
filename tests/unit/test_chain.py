"""The journal's chain: what is done to it is noticed, and whatever is left can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasekit import chain
from releasekit.chain import SCHEMA, Reading
from releasekit.errors import HostError
from releasekit.journal import TAIL_BYTES, Journal, committed, ever_committed, history
from releasekit.testing import FakeClock, FakeHost
from tests.unit.conftest import PATH

HEAD = f"{PATH}.head"
LEGACY = [
    '{"schema": 1, "event": "begin", "run": "old", "kind": "up", "release": "a"}',
    '{"schema": 1, "event": "commit", "run": "old", "release": "a"}',
    '{"schema": 1, "event": "end", "run": "old", "result": "released"}',
]


def release(journal: Journal, *releases: str) -> None:
    for name in releases:
        journal.write("begin", f"run-{name}", kind="up", release=name)
        journal.write("step", f"run-{name}", state="begin", step="Route", what="web -> green, 장")
        journal.write("commit", f"run-{name}", release=name)
        journal.write("end", f"run-{name}", result="released")


def written() -> tuple[list[str], str]:
    """The lines of a journal of three releases, the first of them from before the chain; and its
    head."""
    host = FakeHost()
    for line in LEGACY:
        host.append(PATH, f"{line}\n")
    release(Journal(host, FakeClock(), PATH), "b", "c")
    return host.files[PATH].splitlines(), host.files[HEAD]


LINES, HEAD_TEXT = written()
WHOLE = chain.read("\n".join(LINES) + "\n", HEAD_TEXT)


def read(lines: list[str]) -> Reading:
    return chain.read("".join(f"{line}\n" for line in lines), HEAD_TEXT)


def assert_understood(reading: Reading) -> None:
    """Whatever it is, it tells a history, and what was committed to."""
    numbers = [record["seq"] for record in reading.records]
    assert numbers == sorted(set(numbers))
    assert len(history(reading.records)) <= len(reading.records)
    assert {*committed(reading.records)} == ever_committed(reading.records)


# What is whole


def test_what_is_written_is_whole_and_numbered_in_its_order(journal: Journal) -> None:
    release(journal, "a", "b")
    reading = journal.read()
    assert reading.is_whole
    assert (reading.problems, reading.torn, reading.newer) == ((), "", 0)
    assert [record["seq"] for record in reading.records] == [*range(1, 9)]
    assert reading.last == 8


def test_a_journal_from_before_the_chain_is_read_and_goes_on_with_it() -> None:
    assert WHOLE.is_whole
    assert [record["seq"] for record in WHOLE.records] == [*range(1, 12)]
    assert committed(WHOLE.records) == ("a", "b", "c")
    legacy = chain.read("".join(f"{line}\n" for line in LEGACY))
    assert legacy.is_whole
    assert committed(legacy.records) == ("a",)


def test_nothing_yet_is_whole(journal: Journal) -> None:
    assert journal.read() == Reading()
    assert journal.read().is_whole


def test_a_line_that_is_longer_than_what_is_read_of_the_end_is_linked_too(
    journal: Journal, host: FakeHost
) -> None:
    release(journal, "a")
    journal.write("step", "run-z", what="x" * 2 * TAIL_BYTES)
    release(journal, "b")
    assert journal.read().is_whole
    assert journal.read().last == 9


def test_releases_are_ordered_by_their_number_and_never_by_the_clock(host: FakeHost) -> None:
    class Backwards(FakeClock):
        years = 2030

        def utc(self) -> str:
            self.years -= 1
            return f"{self.years}-01-01T00:00:00+00:00"

    journal = Journal(host, Backwards(), PATH)
    release(journal, "a", "b")
    assert committed(journal.records()) == ("a", "b")
    assert [entry.release for entry in history(journal.records())] == ["b", "a"]
    lines = host.files[PATH].splitlines()
    host.files[PATH] = "".join(f"{line}\n" for line in [*lines[4:], *lines[:4]])
    assert committed(journal.records()) == ("a", "b")
    assert not journal.read().is_whole


def test_where_the_head_cannot_be_written_the_record_counts_all_the_same(host: FakeHost) -> None:
    class Full(FakeHost):
        def write(self, path: str, text: str, *, mode: int = 0o600, lasting: bool = True) -> None:
            raise HostError(f"{path}: No space left on device")

    release(Journal(host, FakeClock(), PATH), "a")
    full = Full(host.world)
    release(Journal(full, FakeClock(), PATH), "b")
    reading = Journal(full, FakeClock(), PATH).read()
    assert reading.is_whole
    assert committed(reading.records) == ("a", "b")


# What was done to it


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_removed_line_is_noticed(number: int) -> None:
    reading = read([line for n, line in enumerate(LINES) if n != number])
    is_before_the_chain = number < len(LEGACY) - 1
    assert reading.is_whole == is_before_the_chain
    assert_understood(reading)


@pytest.mark.parametrize("number", range(len(LEGACY) - 1, len(LINES)))
def test_an_edited_line_is_noticed(number: int) -> None:
    reading = read(
        [
            line.replace("run-", "Run-").replace("old", "Old") if n == number else line
            for n, line in enumerate(LINES)
        ]
    )
    assert not reading.is_whole
    assert_understood(reading)


@pytest.mark.parametrize("number", range(len(LEGACY) - 1, len(LINES) - 1))
def test_two_lines_that_changed_places_are_noticed_and_their_numbers_tell_the_order(
    number: int,
) -> None:
    lines = [*LINES]
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    reading = read(lines)
    assert not reading.is_whole
    assert committed(reading.records)[-1] == "c"
    assert_understood(reading)


@pytest.mark.parametrize("number", range(len(LEGACY), len(LINES)))
def test_a_line_that_is_there_twice_is_noticed_and_counts_once(number: int) -> None:
    reading = read([*LINES[: number + 1], LINES[number], *LINES[number + 1 :]])
    assert not reading.is_whole
    assert reading.records == WHOLE.records


def test_a_line_without_a_link_among_linked_ones_is_noticed() -> None:
    assert read([*LINES, LEGACY[0]]).problems == ("line 12 is not linked to those before it",)


@pytest.mark.parametrize("kept", range(len(LINES)))
def test_lines_that_are_missing_at_the_end_are_noticed(kept: int) -> None:
    (problem,) = read(LINES[:kept]).problems
    assert problem.startswith("its end is missing")
    assert not read([]).is_whole


def test_an_empty_journal_is_told_from_none() -> None:
    assert chain.read("", HEAD_TEXT).problems == ("its end is missing: it had 11 records",)
    assert chain.read("", "").is_whole


@pytest.mark.parametrize("head", ["", "x", "12", "1 2 3", f"{'9' * 5000} abc\n", "\x00"])
def test_a_head_that_says_nothing_is_none(head: str) -> None:
    assert chain.read("\n".join(LINES) + "\n", head) == WHOLE


@settings(derandomize=True, max_examples=300)
@given(st.integers(0, len("\n".join(LINES).encode()) + 1))
def test_cut_off_anywhere_it_is_read_and_what_is_missing_is_told(end: int) -> None:
    data = ("\n".join(LINES) + "\n").encode()
    reading = chain.read(data[:end].decode(errors="replace"), HEAD_TEXT)
    assert_understood(reading)
    assert reading.records == WHOLE.records[: len(reading.records)]
    is_all = len(reading.records) == len(WHOLE.records)
    assert is_all == reading.is_whole


@settings(derandomize=True, max_examples=500)
@given(
    st.integers(
        len("\n".join(LINES[: len(LEGACY) - 1]).encode()) + 1, len("\n".join(LINES).encode()) - 1
    ),
    st.integers(1, 255),
)
def test_a_flipped_byte_is_noticed_wherever_it_is(place: int, mask: int) -> None:
    data = bytearray(("\n".join(LINES) + "\n").encode())
    data[place] ^= mask
    reading = chain.read(data.decode(errors="replace"), HEAD_TEXT)
    assert_understood(reading)
    assert not reading.is_whole


@settings(derandomize=True, max_examples=300)
@given(
    st.lists(st.sampled_from([*LINES, "", "garbage", "\x00" * 9, '{"schema": 2}'])), st.booleans()
)
def test_any_lines_in_any_order_are_read(lines: list[str], is_ended: bool) -> None:
    assert_understood(chain.read("\n".join(lines) + "\n" * is_ended, HEAD_TEXT))


@settings(derandomize=True, max_examples=300)
@given(st.text(), st.text())
def test_garbage_is_read(text: str, head: str) -> None:
    assert_understood(chain.read(text, head))


@settings(derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(["schema", "seq", "prev", "event", "run", "release"]),
        st.integers() | st.text() | st.none() | st.floats() | st.booleans() | st.just([]),
    )
)
def test_a_record_of_any_shape_is_read(record: Mapping[str, Any]) -> None:
    assert_understood(read([*LINES, json.dumps(record), *LINES]))


# Torn, mended, and of the future


def test_a_last_line_that_is_cut_off_is_told_and_the_next_one_vouches_for_it(
    journal: Journal, host: FakeHost
) -> None:
    release(journal, "a")
    host.append(PATH, '{"schema": 2, "seq": 5, "prev": "')
    reading = journal.read()
    assert reading.is_whole
    assert reading.torn == "line 5 is cut off: its run ended while it was written"
    release(journal, "b")
    assert journal.read().is_whole
    assert journal.read().torn == ""
    assert committed(journal.records()) == ("a", "b")


def cut_short(*, lines: int = 3) -> FakeHost:
    """The host of a journal whose last records are a killed run's steps."""
    host = FakeHost()
    journal = Journal(host, FakeClock(), PATH)
    release(journal, "a")
    journal.write("begin", "run-b", kind="up", release="b")
    for number in range(lines):
        journal.write("step", "run-b", state="begin", number=number, step="Route")
    return host


def test_a_step_at_the_end_that_was_changed_is_noticed_too() -> None:
    host = cut_short()
    text = host.files[PATH]
    assert Journal(host, FakeClock(), PATH).read().is_whole
    for at in range(text.rindex('"run": "run-b"'), len(text) - 2):
        host.files[PATH] = f"{text[:at]}{chr(ord(text[at]) ^ 1)}{text[at + 1 :]}"
        assert not Journal(host, FakeClock(), PATH).read().is_whole, at


def test_steps_at_the_end_that_are_missing_are_noticed_too() -> None:
    host = cut_short()
    lines = host.files[PATH].splitlines(keepends=True)
    for left in (1, 2, 3):
        host.files[PATH] = "".join(lines[:-left])
        assert not Journal(host, FakeClock(), PATH).read().is_whole


def test_a_head_that_the_power_took_is_no_damage() -> None:
    """It is told of a step when that is on disk, and may itself be an older one, or none."""
    late, early = cut_short(), cut_short(lines=1)
    for head in (early.files[HEAD], ""):
        late.files[HEAD] = head
        assert Journal(late, FakeClock(), PATH).read().is_whole


def test_a_last_line_that_only_lacks_its_end_counts(journal: Journal, host: FakeHost) -> None:
    release(journal, "a")
    host.files[PATH] = host.files[PATH].removesuffix("\n")
    assert journal.read().is_whole
    release(journal, "b")
    assert journal.read().is_whole
    assert journal.read().last == 8


@pytest.mark.parametrize(
    "left", ["", "\n".join(LINES[:5]) + "\n", "\n".join(LINES[4:]) + "\n", "x\n"]
)
def test_once_mended_it_is_whole_and_what_was_wrong_is_on_record(host: FakeHost, left: str) -> None:
    host.files |= {PATH: left, HEAD: HEAD_TEXT}
    journal = Journal(host, FakeClock(), PATH)
    found = journal.read().problems
    assert found
    journal.mend("run-m", found)
    assert journal.read().is_whole
    (mended,) = (r for r in journal.records() if r["event"] == "mend")
    assert mended["found"] == [*found]
    assert mended["seq"] > chain.count_of(HEAD_TEXT)
    release(journal, "d")
    assert journal.read().is_whole
    assert committed(journal.records())[-1] == "d"
    host.files[PATH] = host.files[PATH].replace("run-d", "run-D", 1)
    assert not journal.read().is_whole


FUTURE = json.dumps({"schema": SCHEMA + 1, "event": "commit", "run": "x", "release": "z"})


def test_a_record_of_a_newer_releasekit_is_told_and_not_misread(
    journal: Journal, host: FakeHost
) -> None:
    release(journal, "a")
    host.append(PATH, f"{FUTURE}\n")
    reading = journal.read()
    assert (reading.newer, reading.is_whole) == (SCHEMA + 1, False)
    assert committed(reading.records) == ("a",)


def test_a_line_that_only_looks_newer_is_a_changed_one() -> None:
    lines = [*LINES]
    lines[6] = lines[6].replace('"schema": 2', '"schema": 7')
    reading = read(lines)
    assert reading.newer == 0
    assert "line 7 is of a newer releasekit (schema 7)" in reading.problems[0]


def test_damage_elsewhere_does_not_hide_a_newer_releasekit() -> None:
    lines = [*LINES, FUTURE, FUTURE]
    lines[4] = lines[4].replace("run-b", "Run-b")
    reading = read(lines)
    assert reading.newer == SCHEMA + 1
    assert "does not follow" in reading.problems[0]
