"""Services that nginx sends nothing: what nothing asks, and what may never run twice."""

from __future__ import annotations

import pytest

from tests.e2e.lives import Lives
from tests.e2e.shop import Shop, assert_none_lost, assert_serves

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CHECK = "    healthcheck: # the worker"
SETTLES = 'health = { settle = "2s" }\noverlap = false'


@pytest.fixture(scope="module")
def unasked(stack: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A checkout of the shop whose worker has no health check, and may run only once."""
    team = stack.checkout(tmp_path_factory.mktemp("workers") / "team")
    team.edit("compose.yaml", CHECK, f"    x-{CHECK.strip()}")
    team.commit("Ask the worker nothing")
    return team


def test_a_worker_that_settles_and_never_runs_twice(unasked: Shop) -> None:
    """The web is blue-green beside it, and loses no request."""
    team = unasked
    refused = team.up(team.first).ended(2)
    assert "services.worker: blue-green needs a health check" in refused.result["message"]
    assert '`health = { settle = "10s" }`' in refused.result["message"]
    team.configure(worker=SETTLES)
    team.up(team.first).ended(0)
    second = team.commit("Say what is new", headline="Strawberries are here")

    with team.load() as load, Lives(team) as lives:
        ran = team.up(second).ended(0)
        assert_serves(team, second)

    assert_none_lost(team, load.report)
    assert max(lives.counts("worker")) == 1
    assert max(lives.counts("web")) == 2
    assert max(ran.took("AwaitHealthy")) >= 2.0
    assert ran.result["downtime_s"] is not None, "the worker's, and told"
