"""Room for a release: what is too little, in numbers, and what a way back finds on a full disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from releasekit import room
from releasekit.compose.docker import Docker
from releasekit.compose.manifest import pull_sizes
from releasekit.errors import DeadlineExceeded, NoRoom
from releasekit.events import Event, Warned
from releasekit.forecast import Memory, MemoryShare
from releasekit.ports import Completed, Free
from releasekit.room import BACK, ENGINE, MIB, RESERVE, STATE, Disk
from releasekit.site import Place
from releasekit.testing import FakeHost

PLACE = Place("/state/shop")
IMAGE = "registry.example:5000/shop:3f2a9c1"
GIB = 1024 * MIB


# Disks


def disk(free: Free | None) -> list[str]:
    return room.disk_problems([Disk("/d", "all", free, Free(100 * MIB, 50), "; of all things")])


@pytest.mark.parametrize("free", [None, Free(100 * MIB, 50), Free(100 * MIB, None)])
def test_what_suffices_or_is_not_known_is_no_problem(free: Free | None) -> None:
    assert disk(free) == []


def test_too_few_bytes_and_too_few_inodes_are_told_with_the_numbers() -> None:
    assert disk(Free(3 * MIB, 7)) == [
        "disk: /d, which keeps all, has 3.0 MiB free; a release needs 100 MiB; of all things",
        "disk: /d, which keeps all, has 7 inodes free; a release needs 50",
    ]


def test_without_a_pull_the_engine_needs_little() -> None:
    assert room.engine_needs((), {}) == (ENGINE, "")


def test_a_pull_needs_what_the_registry_says_and_more_inodes() -> None:
    needed, why = room.engine_needs((IMAGE, "shop:other"), {IMAGE: 300 * MIB})
    assert needed.size == ENGINE.size + 300 * MIB
    assert needed.inodes > (ENGINE.inodes or 0)  # type: ignore[operator]
    assert why == f"; 300 MiB of it to pull {IMAGE}"


class Engine(FakeHost):
    """A host with an engine; `manifests` is what registries answer."""

    def __init__(self, *, state: Free | None, root: Free | None, **manifests: Any) -> None:
        super().__init__()
        self.disks = {"/state": state, "/docker": root}
        self.manifests = manifests
        self.asked: list[list[str]] = []

    def free(self, path: str) -> Free | None:
        return self.disks.get(path)

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.asked.append(list(argv))
        if "info" in argv:
            return Completed(0, "/docker\n", "")
        if "version" in argv:
            return Completed(0, "linux/amd64\n", "")
        found = self.manifests.get(argv[-1].rpartition("/")[2])
        if isinstance(found, Exception):
            raise found
        return (
            Completed(0, json.dumps(found), "") if found else Completed(1, "", "no such manifest")
        )


PLENTY = Free(10 * GIB, 10**6)
LAYERS = {"layers": [{"size": 200 * MIB}, {"size": 100 * MIB}]}


def require(host: Engine, *images: str) -> None:
    room.require_disk(host, Docker(host), PLACE, images)


def test_the_states_disk_is_looked_at_where_it_is_going_to_be() -> None:
    require(Engine(state=PLENTY, root=PLENTY))
    with pytest.raises(NoRoom, match=r"^disk: /state/shop, which keeps .* 1\.0 MiB free") as caught:
        require(Engine(state=Free(MIB, None), root=PLENTY))
    assert "docker system df" in caught.value.hint
    assert caught.value.exit_code == 2


def test_all_that_is_too_full_is_told_at_once() -> None:
    with pytest.raises(NoRoom) as caught:
        require(Engine(state=Free(STATE.size - 1, 3), root=Free(ENGINE.size - 1, None)))
    assert len(caught.value.message.splitlines()) == 3


def test_an_engine_whose_disk_is_elsewhere_is_not_judged() -> None:
    require(Engine(state=PLENTY, root=None))


def test_an_image_that_is_to_be_pulled_counts() -> None:
    tight = Free(ENGINE.size + 299 * MIB, None)
    require(Engine(state=PLENTY, root=tight))
    require(Engine(state=PLENTY, root=tight), "shop:1")
    with pytest.raises(NoRoom, match="500 MiB; 300 MiB of it to pull shop:1"):
        require(Engine(state=PLENTY, root=tight, **{"shop:1": LAYERS}), "shop:1")


def test_of_several_platforms_the_engines_own_counts() -> None:
    index = {
        "manifests": [
            {"digest": "sha256:9", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    host = Engine(state=None, root=None, **{"shop:3f2a9c1": index, "shop@sha256:1": LAYERS})
    assert pull_sizes(Docker(host), [IMAGE]) == {IMAGE: 300 * MIB}
    assert host.asked[-1][-1] == "registry.example:5000/shop@sha256:1"


def test_a_registry_that_does_not_answer_is_asked_once() -> None:
    host = Engine(state=None, root=None, **{"shop:3f2a9c1": DeadlineExceeded("5 s"), "b": LAYERS})
    assert pull_sizes(Docker(host), ["b", IMAGE, "b"]) == {"b": 300 * MIB}
    assert [asked[-1] for asked in host.asked[1:]] == ["b", IMAGE]


@pytest.mark.parametrize("image", ["localhost:5000/shop:1", "127.0.0.1:5000/shop:1"])
def test_only_a_registry_on_this_machine_is_asked_without_tls(image: str) -> None:
    host = Engine(state=None, root=None)
    assert pull_sizes(Docker(host), [image, IMAGE]) == {}
    assert ["--insecure" in asked for asked in host.asked] == [False, True, False]


# Memory


def shares(*facts: tuple[int, int | None, Any]) -> tuple[MemoryShare, ...]:
    return tuple(MemoryShare("web", *fact) for fact in facts)


def test_limits_that_do_not_fit_are_told_with_the_numbers() -> None:
    found = Memory(shares((2, 512 * MIB, "limit"), (1, GIB, "in use")), 1000 * MIB)
    assert room.memory_problem(found) == (
        "memory: beside what runs, web 2 x 512 MiB (limit) may take 1.0 GiB, "
        "and the host has 1000 MiB available: the kernel would kill something"
    )


@pytest.mark.parametrize(
    "found",
    [
        Memory(shares((2, 512 * MIB, "limit")), 1024 * MIB),
        Memory(shares((2, 512 * MIB, "limit")), None),
        Memory(shares((2, 512 * MIB, "in use"), (1, None, "unknown")), MIB),
        Memory((), 0),
    ],
)
def test_what_fits_or_is_only_guessed_is_not_refused(found: Memory) -> None:
    assert room.memory_problem(found) == ""


# The reserve


class Reserving(FakeHost):
    def __init__(self, free: Free | None) -> None:
        super().__init__()
        self.room, self.reserved = free, 0

    def reserve(self, path: str, size: int) -> None:
        super().reserve(path, size)
        self.reserved += size


def given_way(free: Free | None, *, has_reserve: bool = True) -> tuple[bool, list[str]]:
    """Whether the reserve is still there, and what was said."""
    host, events = Reserving(free), list[Event]()
    if has_reserve:
        room.keep_reserve(host, PLACE)
    room.give_way(host, PLACE, events.append)
    return PLACE.reserve in host.files, [e.message for e in events if isinstance(e, Warned)]


def test_a_reserve_is_made_once() -> None:
    host = Reserving(PLENTY)
    for _ in range(2):
        room.keep_reserve(host, PLACE)
    assert host.reserved == RESERVE + 1


@pytest.mark.parametrize("free", [Free(BACK.size - 1, None), Free(GIB, 0), Free(0, 0)])
def test_on_a_full_disk_the_reserve_makes_way(free: Free) -> None:
    is_there, said = given_way(free)
    assert not is_there
    assert said == ["/state/shop is on a full disk: the reserve for a way back is used up"]
    assert given_way(free, has_reserve=False) == (False, [])


@pytest.mark.parametrize("free", [PLENTY, Free(BACK.size, None), None])
def test_where_there_is_room_the_reserve_stays(free: Free | None) -> None:
    assert given_way(free) == (True, [])
