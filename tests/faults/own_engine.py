"""A Docker engine of a test's own, in a network of its own, that may be stopped like any machine's.

`python own_engine.py restart FOLDER` is what somebody does to it meanwhile.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until

START_S = 60.0
STOP_S = 60.0
IMAGES = "nginx:1.30 postgres:15 redis:7 python:3.11".split()


@dataclass(frozen=True)
class OwnEngine:
    """Its files are in `folder`; `network` is the name of its network namespace."""

    folder: Path
    network: str

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[OwnEngine]:
        """Running, with the base images; gone afterwards."""
        engine = cls(folder, f"engine-{secrets.token_hex(4)}")
        (folder / "network").write_text(engine.network)
        _run("ip", "netns", "add", engine.network)
        try:
            _run(*engine.inside("ip", "link", "set", "lo", "up"))
            engine.start()
            engine.wait()
            engine._load()
            yield engine
        finally:
            engine.stop()
            _run("ip", "netns", "delete", engine.network)
            shutil.rmtree(folder / "data", ignore_errors=True)

    @classmethod
    def at(cls, folder: Path) -> OwnEngine:
        return cls(folder, (folder / "network").read_text())

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.folder}/docker.sock"

    def inside(self, *argv: str) -> list[str]:
        """The command, run in the engine's network."""
        return ["nsenter", f"--net=/run/netns/{self.network}", *argv]

    def start(self) -> None:
        """Begin to start it."""
        places = [f"--{name}-root={self.folder / name}" for name in ("data", "exec")]
        files = [f"--pidfile={self.folder / 'pid'}", f"--host={self.address}"]
        with (self.folder / "log").open("a") as log:
            command = self.inside("dockerd", *places, *files)
            subprocess.run(
                ["setsid", "--fork", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )

    def stop(self) -> None:
        """Stop it, and with it all its containers, as a machine does that shuts down."""
        pid = int((self.folder / "pid").read_text())
        os.kill(pid, signal.SIGTERM)

        def look() -> str:
            return "it runs" if Path(f"/proc/{pid}/exe").exists() else ""

        wait_until(look, deadline_s=STOP_S, clock=MonotonicClock())

    def wait(self) -> None:
        def look() -> str:
            done = self._docker("version", check=False)
            return done.stderr if done.returncode else ""

        wait_until(look, deadline_s=START_S, clock=MonotonicClock())

    def _load(self) -> None:
        names = [f"releasekit-base/{image}" for image in IMAGES]
        images = self.folder / "images.tar"
        _run("docker", "image", "save", "--output", str(images), *names)
        self._docker("image", "load", "--quiet", "--input", str(images))
        images.unlink()

    def _docker(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _run("docker", "--host", self.address, *args, check=check)


def _run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=START_S)


if __name__ == "__main__":
    verb, folder = sys.argv[1:]
    assert verb == "restart"
    engine = OwnEngine.at(Path(folder))
    engine.stop()
    engine.start()
