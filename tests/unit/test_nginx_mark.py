"""A managed file tells whether it was edited, and what of it nginx could refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.bundle import HealthCheck
from releasekit.nginx.mark import MANY, generation, is_whole, marked, shape, shown
from releasekit.nginx.render import Control, Peer, placeholder, render
from releasekit.observed import Nginx, Route, Upstream

OLD, NEW = Nginx((1, 22, 1)), Nginx((1, 30, 6))
UP = HealthCheck("/up")
CONTROL = Control(8999, "172.18.0.1")
NAMES = ("blue-1", "blue-2", "green-1", *(f"more-{n}" for n in range(MANY)))
PEERS = {name: Peer(8080 + n, f"172.18.1.{n}", UP) for n, name in enumerate(NAMES)}
BLUE, GREEN = Upstream("web", ("blue-1",)), Upstream("web", ("green-1",))


def text(*upstreams: Upstream, nginx: Nginx = NEW, control: Control = CONTROL) -> str:
    secret = "0123456789abcdef" * 2 if any(u.preview for u in upstreams) else ""
    return render(Route(upstreams, "4f2a", secret), PEERS, nginx, control)


class TestWhole:
    @pytest.mark.parametrize("nginx", [OLD, NEW])
    def test_as_it_was_written(self, nginx: Nginx) -> None:
        assert is_whole(text(BLUE, nginx=nginx))
        assert is_whole(placeholder(["web"]))

    @pytest.mark.parametrize(
        "edit",
        [
            lambda text: text.replace("blue-1", "blue-2", 1),
            lambda text: text + "# by hand\n",
            lambda text: text[:-1],
            lambda text: text[len(text) // 2 :],
            lambda text: text.partition("\n")[2],
            lambda text: text.replace("\n", "\r\n"),
            lambda text: "",
        ],
    )
    def test_one_byte_more_or_less(self, edit: object) -> None:
        assert callable(edit)
        assert not is_whole(edit(text(BLUE)))

    def test_the_generation_is_found_again(self) -> None:
        assert generation(text(BLUE)) == "4f2a"
        assert generation("garbage {") == ""

    def test_what_is_shown_is_alike_whatever_its_digest(self) -> None:
        assert shown(marked("a;\n")).replace("a;", "b;") == shown(marked("b;\n"))


class TestShape:
    @pytest.mark.parametrize("nginx", [OLD, NEW])
    @pytest.mark.parametrize(
        "other",
        [
            GREEN,
            Upstream("web", ("blue-1", "blue-2")),
            Upstream("web", ("blue-1",), standby=("green-1",)),
            Upstream("web", ("blue-1", "green-1"), weights=(1, 999)),
        ],
        ids=["cutover", "more replicas", "announced", "weights"],
    )
    def test_a_cutover_has_the_shape_of_what_it_takes_the_place_of(
        self, nginx: Nginx, other: Upstream
    ) -> None:
        assert shape(text(other, nginx=nginx)) == shape(text(BLUE, nginx=nginx))

    def test_so_has_another_secret(self) -> None:
        held = text(Upstream("web", ("blue-1",), preview=("green-1",)))

        assert shape(held.replace("0123456789abcdef", "00000000deadbeef")) == shape(held)

    @pytest.mark.parametrize(
        "other",
        [
            text(BLUE, Upstream("api", ("blue-2",))),
            text(replace(BLUE, service="shop")),
            text(),
            text(BLUE, nginx=OLD),
            text(BLUE, nginx=Nginx((1, 27, 3))),
            text(BLUE, control=Control(9999, "172.18.0.1")),
            text(replace(BLUE, preview=("green-1",))),
            text(Upstream("web", NAMES[3:], standby=("blue-1",))),
            text(replace(BLUE, weights=(10**9,))),
            "garbage {",
        ],
        ids=[
            *("a service more", "another service", "none", "an old nginx", "an older one"),
            *("another port", "a preview", "very many", "an odd weight", "garbage"),
        ],
    )
    def test_what_nginx_might_refuse_is_of_another_shape(self, other: str) -> None:
        assert shape(other) != shape(text(BLUE))
