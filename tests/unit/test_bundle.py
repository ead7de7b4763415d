"""Bundles as they are stored: what a rollback finds, also of an earlier version of releasekit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from releasekit.bundle import Bundle, BundledService, HealthCheck
from releasekit.errors import NeedsPerson
from releasekit.release import Release
from releasekit.target import Service

BUNDLE = Bundle(
    id="1~a",
    release=Release("1", "Say more", "Kim"),
    project="shop",
    folder="/srv/shop",
    model={"name": "shop", "services": {"web": {"image": "shop:1"}}},
    services=(
        BundledService(Service("web", 2, 8080, drain_s=1.5), HealthCheck("/up", (200, 204))),
        BundledService(
            Service("worker", after=("web",), overlaps=False, settle_s=10.0, health_timeout_s=20.0)
        ),
    ),
    backing=("db",),
    images={"web": "sha256:1", "worker": "sha256:1"},
    nginx_service="nginx",
)


def changed(**facts: Any) -> str:
    return json.dumps({**json.loads(BUNDLE.to_json()), **facts})


def test_a_bundle_comes_back_as_it_was() -> None:
    assert Bundle.from_json(BUNDLE.to_json()) == BUNDLE


def test_a_bundle_of_the_version_before_can_still_be_gone_back_to() -> None:
    """It knew no order, no overlap and no settling."""
    stored = json.loads(BUNDLE.to_json())
    for bundled in stored["services"]:
        for later in ("after", "overlaps", "settle_s"):
            del bundled["service"][later]

    read = Bundle.from_json(json.dumps(stored))

    assert [bundled.service for bundled in read.services] == [
        Service("web", 2, 8080, drain_s=1.5),
        Service("worker", health_timeout_s=20.0),
    ]
    assert read.service("worker").overlaps
    assert read.target().waves() == (read.target().services,)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", changed(schema=99), changed(more=1)])
def test_what_cannot_be_read_needs_a_person(text: str) -> None:
    with pytest.raises(NeedsPerson):
        Bundle.from_json(text)
