"""See releases happen: `make demo`.

A scratch copy of this example becomes a team's repository of its own, with three commits: the
first, a new headline, and one that cannot start. They are released, refused and rolled back with
the `releasekit` command while clients keep asking, and at the end it says what those clients saw.
The shop stays up; run it again as often as you like.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".demo" / "shop"
RELEASEKIT = ROOT / ".venv" / "bin" / "releasekit"
LOAD = ROOT / "bench" / "load.py"
PORTS = range(8080, 8180)

# Fixed, as is all else in a commit: the same sources make the same SHAs, and so the same images.
GIT_ENV = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in {
            "NAME": "The shop's team",
            "EMAIL": "team@shop.example",
            "DATE": "2026-01-01T12:00:00Z",
        }.items()
    },
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A command of the demo, and how it went."""

    command: str
    seconds: float
    status: int
    expected: int


def main() -> int:
    """Run the demo; 0 if every command and every request went as it should."""
    for needed in (RELEASEKIT, LOAD):
        if not needed.exists():
            sys.exit(f"demo: {needed} is missing; start this with `make demo`")
    first, second, broken = commits()
    write_env(port := choose_port())
    shop = f"http://127.0.0.1:{port}"

    taken = [releasekit("up", first)]
    before = ask(f"{shop}/api/orders/count")["count"]
    print("\n# from here on clients ask without a pause", flush=True)
    with load(shop) as report:
        taken.append(releasekit("up", second))
        taken.append(releasekit("up", broken, expected=1))
        taken.append(releasekit("rollback"))
    print("\n# the clients have gone home", flush=True)
    stored = ask(f"{shop}/api/orders/count")["count"] - before
    doubled = ask(f"{shop}/api/orders/doubled")["doubled"]
    taken.append(releasekit("status"))
    taken.append(releasekit("history"))

    show(taken, report, stored, doubled)
    print(f"\nThe shop stays up: {shop}\nIts repository, to go on by hand: {WORK}")
    as_expected = all(one.status == one.expected for one in taken)
    return 0 if as_expected and not report["failed"] and not doubled else 1


def commits() -> list[str]:
    """Make the repository with its commits and an image of each; their SHAs, oldest first."""
    # Laid over what an earlier run left, never in a new folder: a running nginx has mounted it.
    ignore = shutil.ignore_patterns("__pycache__", "shop.env", ".git")
    shutil.copytree(HERE, WORK, ignore=ignore, dirs_exist_ok=True)
    WORK.with_name(".gitignore").write_text("*\n")
    shutil.rmtree(WORK / ".git", ignore_errors=True)
    git("init", "--quiet", "--initial-branch=main")
    return [
        commit("Open the shop"),
        commit("Say what is new", headline="Strawberries are here"),
        commit("Tidy up before the weekend", fault="exit"),
    ]


def commit(subject: str, **changes: str) -> str:
    """Commit changed settings and build the image; the SHA."""
    path = WORK / "shop" / "settings.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(settings, indent=2) + "\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", subject)
    sha = build("HEAD", WORK)
    print(f"{sha}  {subject}", flush=True)
    return sha


def git(*arguments: str) -> None:
    """Run git in the demo's repository, whatever the user's own settings are."""
    subprocess.run(["git", *arguments], cwd=WORK, env=os.environ | GIT_ENV, check=True)


def choose_port() -> int:
    """The port on which an earlier demo's nginx listens, else a free one."""
    shown = subprocess.run(
        ["docker", "port", "shop-nginx-1", "80/tcp"], capture_output=True, text=True, check=False
    )
    if shown.returncode == 0:
        return int(shown.stdout.split()[0].rpartition(":")[2])
    return next(port for port in PORTS if is_free(port))


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def write_env(port: int) -> None:
    """Write shop.env for its owner's eyes only, as releasekit demands."""
    path = WORK / "shop.env"
    path.touch(mode=0o600)
    # The same every time, since the database keeps the first one it was given. It is reachable
    # from the other containers alone; a real project makes up its own.
    path.write_text(f"POSTGRES_PASSWORD=only-for-the-demo\nSHOP_PORT={port}\n")


def releasekit(*arguments: str, expected: int = 0) -> Taken:
    """Run a releasekit command before the user's eyes."""
    command = " ".join(("releasekit", *arguments))
    print(f"\n$ {command}", flush=True)
    started = time.monotonic()
    status = subprocess.run([RELEASEKIT, *arguments], cwd=WORK, check=False).returncode
    taken = Taken(command, time.monotonic() - started, status, expected)
    print(f"# exit status {status} after {taken.seconds:.1f} s", flush=True)
    if arguments[0] == "up" and not expected and status:
        sys.exit("demo: nothing to show without this release")
    return taken


@contextmanager
def load(url: str) -> Iterator[dict[str, Any]]:
    """Clients that ask all the time; what they saw is in the yielded report afterwards."""
    path = WORK.with_name("load.json")
    path.unlink(missing_ok=True)
    report: dict[str, Any] = {}
    with subprocess.Popen(
        [sys.executable, LOAD, "--url", url, "--json", path, "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as clients:
        assert clients.stdin is not None
        assert clients.stderr is not None
        if clients.stderr.readline().strip() != "ready":
            sys.exit(f"demo: the clients got no answer: {clients.stderr.read()}")
        try:
            yield report
        finally:
            clients.stdin.close()  # they end what they have begun, and report
            clients.stderr.read()
    report.update(json.loads(path.read_text()))


def ask(url: str) -> dict[str, Any]:
    """The JSON at `url`."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        value: dict[str, Any] = json.load(answer)
        return value


def show(taken: list[Taken], report: dict[str, Any], stored: int, doubled: int) -> None:
    """Print what it took and what the clients saw."""
    print()
    for one in taken:
        wish = "" if one.status == one.expected else f", NOT {one.expected} AS IT SHOULD"
        print(f"  {one.command:<58}{one.seconds:6.1f} s   exit {one.status}{wish}")
    acked, unacked = (len(report["posts"][fate]) for fate in ("acked", "unacked"))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report["failed_by_kind"].items())
    facts = {
        "requests": f"{report['requests']:,} in {report['seconds']:.0f} s",
        "failed": f"{report['failed']:,}" + (f" ({kinds})" if kinds else ""),
        "longest gap": f"{report['longest_gap_s'] * 1000:.0f} ms",
        "orders": f"{acked:,} confirmed, {unacked} unanswered, {stored:,} stored, {doubled} twice",
        "answered by": ", ".join(
            f"{release[:7]} {seen['answers']:,}" for release, seen in report["releases"].items()
        ),
    }
    print()
    for name, fact in facts.items():
        print(f"  {name:<13}{fact}")


if __name__ == "__main__":
    sys.exit(main())
