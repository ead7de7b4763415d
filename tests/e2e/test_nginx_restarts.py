"""nginx's container is restarted in the middle of a release."""

from __future__ import annotations

import pytest

from tests.e2e.shop import Shop, assert_serves, docker

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.parametrize(
    "step", ["Start", "Announce", "AwaitHealthy", "Route", "ConfirmRoute", "MarkCurrent", "Drain"]
)
def test_in_each_phase(shop: Shop, step: str) -> None:
    """It comes back with what it served, and the release arrives, or the one before serves."""
    second = shop.commit("Say what is new")
    nginx = f"{shop.name}-nginx-1"
    with shop.running("up", "--json", second, SHOP_BOOT_SECONDS="2") as up:
        up.wait_for_step(step)
        docker("restart", nginx)
        ran = up.finish()

    assert ran.status in (0, 1), ran
    assert_serves(shop, second if ran.status == 0 else shop.first)
    docker("restart", nginx)
    shop.up(second).ended(0)
    assert_serves(shop, second)
