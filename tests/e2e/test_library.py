"""The library, as a team's own `deploy.py` uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.shop import DEADLINE_S, Shop, assert_serves

pytestmark = pytest.mark.e2e


def test_deploy_py_releases_what_is_checked_out_and_prints_nothing(shop: Shop) -> None:
    sha = shop.commit("Say what is new")
    done = subprocess.run(
        [sys.executable, "deploy.py"],
        cwd=shop.folder,
        env=shop.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert_serves(shop, sha)
