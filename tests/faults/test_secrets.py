"""Secrets stay where they are: in the env file, in the bundles, in the containers."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.e2e.shop import RELEASEKIT, SETTINGS, Ran, Shop
from tests.faults.watcher import Watcher, forms

pytestmark = pytest.mark.e2e

ALLOWED = "bundle.json"
"""The one kind of file that holds the environment."""


@pytest.mark.slow
def test_secrets_are_told_to_nobody_even_without_a_umask(tmp_path: Path) -> None:
    token, setting = f"t0ken/{secrets.token_hex(8)}", f"sett1ng/{secrets.token_hex(8)}"
    canaries = frozenset({token, setting})
    with Shop.opened(tmp_path) as shop:
        line = "  REDIS_URL: redis://redis:6379/0\n"
        shop.edit("compose.yaml", line, f"{line}  SHOP_API_TOKEN: ${{SHOP_API_TOKEN}}\n")
        shop.write_env(SHOP_API_TOKEN=token)
        first, second = shop.commit("Take a token"), shop.commit("Say what is new")
        leaky = telling_its_token(shop)
        with Watcher(canaries, shop.state) as watcher:
            ran = [
                openly(shop, "--debug", "up", "--json", leaky).ended(1),
                openly(shop, "up", first).ended(0),
                openly(shop, "up", second).ended(0),
                openly(shop, "plan", leaky, "--json").ended(0),
                openly(shop, "plan", shop.first).ended(0),
                openly(shop, "status", "--json").ended(0),
                openly(shop, "history", "--json").ended(0),
                openly(shop, "rollback").ended(0),
                misconfigured(shop, setting).ended(2),
            ]
        files = {path: path.read_text() for path in shop.state.rglob("*") if path.is_file()}
        changed = shop.git("status", "--porcelain", "--ignored").splitlines()

    assert "Traceback" in ran[0].stderr
    assert "•••" in ran[0].stderr  # it did log its token
    for secret in forms(canaries):
        assert not [each for each in ran if secret in each.stdout + each.stderr]
    with_token = {path.name for path, text in files.items() if token in text}
    assert with_token == {ALLOWED}
    assert not [path for path, text in files.items() if setting in text]
    assert changed == [f"M {SETTINGS}", "!! shop.env"]  # both of them by this test
    assert watcher.told == set()
    assert watcher.exposed == set()
    assert [line for line in watcher.commands if "\0up\0" in line]


def openly(shop: Shop, *args: str) -> Ran:
    """A command of somebody who lets others read what they write."""
    return shop.run("sh", "-c", 'umask 000; exec "$@"', "sh", RELEASEKIT, *args)


def telling_its_token(shop: Shop) -> str:
    """A commit whose containers log their token and die; its SHA."""
    shop.git("checkout", "--quiet", "-B", "leaky")
    die = '    raise SystemExit(__import__("os").environ["SHOP_API_TOKEN"])\n'
    shop.edit("shop/__main__.py", "    match arguments:\n", f"{die}    match arguments:\n")
    sha = shop.commit("Tell the token")
    shop.git("checkout", "--quiet", "main")
    return sha


def misconfigured(shop: Shop, setting: str) -> Ran:
    """A verb with a secret in the wrong places of the settings."""
    shop.configure(top=f'token = "{setting}"')
    return openly(shop, "status", "--json")
