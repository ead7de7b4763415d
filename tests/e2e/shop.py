"""The example shop as a team has it: a repository of its own, images, and a stack that runs.

Everything that tests do to it goes through what a user has: git, docker, the `releasekit` command
and HTTP.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.load import Load, Report
from examples.shop.build import build
from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.modes import exposed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shop"
RELEASEKIT = str(Path(sys.executable).with_name("releasekit"))

PASSWORD = "s3cret$HOME#1"
"""Of the database, and what no output may show."""
SETTINGS = "releasekit.toml"
RATE = 330.0
"""Fast requests a second: what tests ask for, a little more than the 300 that they insist on."""
DEADLINE_S = 120.0
"""For any one command."""
BACKING = ("nginx", "postgres", "redis")


@dataclass(frozen=True)
class Ran:
    """A `releasekit` command, how it ended and what it said."""

    command: str
    status: int
    stdout: str
    stderr: str
    seconds: float

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed, line by line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """The last of them."""
        last = self.events[-1]
        assert last["event"] == "result", self
        return last

    @property
    def steps(self) -> list[str]:
        """The names of the steps that were begun, in order."""
        return [e["step"]["step"] for e in self.events if e["event"] == "step_started"]

    def took(self, step: str) -> list[float]:
        """How long each step of this name took."""
        ended = [e for e in self.events if e["event"] == "step_ended"]
        return [float(e["seconds"]) for e in ended if e["step"]["step"] == step]

    def routes(self, service: str) -> list[list[str]]:
        """Whom each route that was begun gave this service's requests to."""
        begun = [e["step"] for e in self.events if e["event"] == "step_started"]
        arrows = [step["what"].split("; ") for step in begun if step["step"] == "Route"]
        pairs = [dict(arrow.split(" -> ") for arrow in route) for route in arrows]
        return [route[service].split(",") for route in pairs if service in route]

    @property
    def plan(self) -> list[dict[str, Any]]:
        """The steps that it set out to take."""
        (made,) = (e["plan"] for e in self.events if e["event"] == "plan_made")
        steps: list[dict[str, Any]] = made["steps"]
        return steps

    def ended(self, status: int) -> Ran:
        """This, if it ended so."""
        assert self.status == status, self
        return self

    def __str__(self) -> str:
        return (
            f"{self.command}: exit status {self.status} after {self.seconds:.1f} s\n"
            f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}"
        )

    __repr__ = __str__


@dataclass(frozen=True)
class Container:
    """A container at one moment; `started` changes with every start."""

    id: str
    service: str
    image: str
    is_running: bool
    started: str
    restarts: int


@dataclass(frozen=True)
class Answer:
    """What the shop answered; `release` is its `X-Release`."""

    status: int
    release: str
    body: str


@dataclass(frozen=True)
class Shop:
    """A checkout in `folder` of the compose project `name`, with its state under `state`."""

    folder: Path
    name: str
    port: int
    state: Path
    nginx: str = "1.30"
    environ: Mapping[str, str] = field(default_factory=dict)
    """Over what every command gets."""
    images: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, *, nginx: str = "1.30") -> Iterator[Shop]:
        """A shop with one commit and its image, nothing running; gone afterwards, and others could
        read nothing of its state."""
        shop = cls(
            folder / "shop",
            f"shop-{secrets.token_hex(3)}",
            free_port(),
            folder / "state",
            nginx,
        )
        ignore = shutil.ignore_patterns("__pycache__", "shop.env", ".git")
        shutil.copytree(EXAMPLE, shop.folder, ignore=ignore)
        shop.edit("compose.yaml", "name: shop", f"name: {shop.name}")
        shop.write_env()
        shop.git("init", "--quiet", "--initial-branch=main")
        try:
            shop.commit("Open the shop")
            yield shop
            assert exposed(shop.state) == set()
        finally:
            shop.remove()

    def checkout(self, folder: Path, **environ: str) -> Shop:
        """The same project from another folder: what is changed there harms no other test."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder, environ={**self.environ, **environ})

    def with_environ(self, **environ: str) -> Shop:
        return replace(self, environ={**self.environ, **environ})

    # The team's work: files, commits, images

    @cached_property
    def first(self) -> str:
        """The SHA of the first commit."""
        return self.git("rev-list", "--max-parents=0", "main")

    def write_env(self, **values: str) -> None:
        facts = {
            "POSTGRES_PASSWORD": f"'{PASSWORD}'",
            "SHOP_PORT": str(self.port),
            "NGINX_VERSION": self.nginx,
            **values,
        }
        path = self.folder / "shop.env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in facts.items()))

    def configure(self, top: str = "", strategy: str = "blue-green", **services: str) -> None:
        """The example's settings, with these lines at the top and in the services' tables."""
        text = (EXAMPLE / SETTINGS).read_text()
        text = text.replace('strategy = "blue-green"\n', f'strategy = "{strategy}"\n')
        for service, lines in services.items():
            table = f"[services.{service}]\n"
            if table not in text:
                text += f"\n{table}"
            text = text.replace(table, f"{table}{lines}\n")
        (self.folder / SETTINGS).write_text(f"{top}\n{text}")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one `old` in a file."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is in {file} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def git(self, *args: str, stdin: str = "") -> str:
        own = ["-c", f"user.name={self.name}", "-c", "user.email=team@shop.example"]
        return run(["git", *own, *args], cwd=self.folder, stdin=stdin).strip()

    def commit(self, subject: str, **settings: object) -> str:
        """Commit what is there, with these settings of the shop changed, and build it; its SHA."""
        path = self.folder / "shop" / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings, indent=2) + "\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        sha = build("HEAD", self.folder)
        self.images.add(f"shop:{sha}")
        return sha

    def broken(self, fault: str) -> str:
        """A commit beside the main line that is bad in this way; its SHA."""
        self.git("checkout", "--quiet", "-B", f"broken-{fault}", "main")
        try:
            return self.commit(f"Break it: {fault}", fault=fault)
        finally:
            self.git("checkout", "--quiet", "main")

    # Commands

    def run(self, *argv: str, **environ: str) -> Ran:
        """Run it in the project's folder, as a user does."""
        with Running(argv, self.folder, self.environment(**environ)) as command:
            return command.finish()

    def releasekit(self, *args: str, **environ: str) -> Ran:
        return self.run(RELEASEKIT, *args, **environ)

    def up(self, *args: str, **environ: str) -> Ran:
        return self.releasekit("up", "--json", *args, **environ)

    def rollback(self, *args: str) -> Ran:
        return self.releasekit("rollback", "--json", *args)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.releasekit("status", "--json").ended(0).result["status"]
        return status

    def live(self) -> str:
        """The commit of the release that gets the traffic."""
        return str(self.status()["live"]).partition("~")[0]

    def history(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = (
            self.releasekit("history", "--json", "-n", "1000").ended(0).result["history"]
        )
        return entries

    @contextmanager
    def running(self, *args: str, **environ: str) -> Iterator[Running]:
        """The same while it goes on."""
        argv = [RELEASEKIT, *args]
        with Running(argv, self.folder, self.environment(**environ)) as command:
            yield command

    def environment(self, **environ: str) -> dict[str, str]:
        passed = {k: os.environ[k] for k in ("PATH", "HOME", "USER", "LANG") if k in os.environ}
        state = {"RELEASEKIT_STATE_DIR": str(self.state)}
        return {**passed, **state, **self.environ, **environ}

    def compose(self, *args: str, tag: str = "unknown") -> str:
        """The team's own `docker compose`, from before they met releasekit or beside it."""
        files = ["-f", "compose.yaml", "-f", "compose.prod.yaml"]
        command = ["docker", "compose", "--env-file", "shop.env", *files, *args]
        own = {"RELEASE_TAG": tag, "RELEASEKIT_NGINX_DIR": str(self.nginx_dir)}
        return run(command, cwd=self.folder, env=self.environment(**own))

    # What there is

    @property
    def nginx_dir(self) -> Path:
        return self.state / self.name / "nginx"

    def containers(self) -> dict[str, Container]:
        """Every container of the project and of its slots by name, running or not."""
        ids = self.ids("container", "-a")
        if not ids:
            return {}
        return {
            each["Name"].lstrip("/"): Container(
                each["Id"],
                service_of(each["Config"]["Labels"]),
                each["Image"],
                each["State"]["Running"],
                each["State"]["StartedAt"],
                each["RestartCount"],
            )
            for each in json.loads(docker("inspect", *ids))
        }

    def backing(self) -> dict[str, Container]:
        """The containers that no release may touch."""
        names = {f"{self.name}-{service}-1" for service in BACKING}
        return {name: c for name, c in self.containers().items() if name in names}

    def app(self) -> dict[str, Container]:
        """All others."""
        return dict(self.containers().items() - self.backing().items())

    def running_app(self) -> dict[str, Container]:
        return {name: container for name, container in self.app().items() if container.is_running}

    def files(self) -> dict[str, str]:
        """The digests of all files of the state but the locks, which tell who held them last."""
        return {
            str(path.relative_to(self.state)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.state.rglob("*"))
            if path.is_file() and path.name not in ("lock", "nginx.lock")
        }

    def commit_of(self, container: str) -> str:
        """The commit that the container's image was built from."""
        return self.environment_of(container)["RELEASE"]

    def environment_of(self, container: str) -> dict[str, str]:
        """What the container's process was given."""
        lines: list[str] = json.loads(docker("inspect", container))[0]["Config"]["Env"]
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    # What users see

    @property
    def lock(self) -> Path:
        return self.state / self.name / "lock"

    @property
    def journal(self) -> Path:
        return self.state / self.name / "journal.jsonl"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str = "/api/release", body: Mapping[str, object] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            connection.request("GET" if data is None else "POST", path, data)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, answer.getheader("X-Release", ""), text)
        finally:
            connection.close()

    def serving(self) -> str:
        """The one release that answers several requests in a row."""
        (release,) = {self.ask().release for _ in range(5)}
        return release

    def working(self) -> str:
        """The release of the worker that takes a job now."""
        job = json.loads(self.ask("/api/jobs", {}).body)["id"]
        select = f"SELECT release FROM jobs WHERE id = '{job}'"
        done: list[list[str]] = []

        def look() -> str:
            done[:] = self.rows(select)
            return "" if done else "no worker does the job"

        wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())
        return done[0][0]

    def load(self, **options: Any) -> Load:
        """Clients of all classes, with four slow requests always in flight."""
        return Load(self.url, rate=RATE, **options)

    def orders(self) -> Counter[str]:
        """How often each key is in the database."""
        select = "SELECT key, count(*) FROM orders GROUP BY key"
        return Counter({key: int(count) for key, count in self.rows(select)})

    def rows(self, select: str) -> list[list[str]]:
        psql = ["psql", "-h", "127.0.0.1", "-U", "shop", "-d", "shop", "-XAt", "-F", " "]
        given = ["-e", f"PGPASSWORD={PASSWORD}"]
        said = docker("exec", *given, f"{self.name}-postgres-1", *psql, "-c", select)
        return [line.split(" ") for line in said.splitlines()]

    def ids(self, kind: str, *options: str) -> list[str]:
        """What the engine has of the project and of its slots."""
        label = "label=com.docker.compose.project"
        return [
            one
            for project in (self.name, f"{self.name}-releases")
            for one in docker(kind, "ls", "-q", *options, "--filter", f"{label}={project}").split()
        ]

    def report(self, lines: int = 40) -> str:
        """What somebody wants to know who was not there when a test failed."""
        parts = [f"{self.url} {self.state}"]
        for name, container in sorted(self.containers().items()):
            said = subprocess.run(
                ["docker", "logs", "--tail", str(lines), name],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            parts.append(f"--- {name} {container}\n{said.stdout}")
        for file in (self.nginx_dir / "releasekit.conf", self.journal):
            if file.exists():
                parts += [f"--- {file}", *file.read_text().splitlines()[-lines:]]
        return "\n".join(parts)

    def remove(self) -> None:
        """Everything of it on the engine."""
        if found := self.ids("container", "-a"):
            docker("container", "rm", "--force", "--volumes", *found)
        for kind in ("volume", "network"):
            if found := self.ids(kind):
                docker(kind, "rm", *found)
        if self.images:
            run(["docker", "image", "rm", "--force", *sorted(self.images)], check=False)


class Running:
    """A `releasekit` command that goes on, whose JSON lines can be waited for."""

    def __init__(self, argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._command = " ".join(argv)
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._complaint: list[str] = []
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._watchdog = threading.Timer(DEADLINE_S, self._process.kill)

    def __enter__(self) -> Running:
        self._reader.start()
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.finish()

    def _read_stderr(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._complaint.append(line)

    def wait_for_word(self, word: str) -> None:
        """Return when it has said so to people."""

        def look() -> str:
            said = "".join(self._complaint)
            return "" if word in said else f"{word!r} is not in {said!r}"

        wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())

    def wait_for_step(self, name: str) -> None:
        """Return when it begins a step of this name."""
        self.wait_for("step_started", lambda said: said["step"]["step"] == name)

    def wait_for(
        self, event: str, is_meant: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The first event of this name that is meant, as soon as it is told."""
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(line)
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event and is_meant(said):
                return said
        raise AssertionError(f"no such {event}: {self.finish()}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> Ran:
        """Wait for its end."""
        assert self._process.stdout
        if not self._process.stdout.closed:
            self._lines += self._process.stdout
            self._process.stdout.close()
        self._process.wait()
        self._watchdog.cancel()
        self._reader.join()
        assert self._process.stderr
        self._process.stderr.close()
        ran = Ran(
            self._command,
            self._process.returncode,
            "".join(self._lines),
            "".join(self._complaint),
            time.monotonic() - self._began,
        )
        assert PASSWORD not in ran.stdout + ran.stderr, ran
        return ran


def killed(shop: Shop, sha: str, *steps: str) -> None:
    """Release `sha`, and kill that as it begins the last of these steps, one after the other."""
    with shop.running("up", "--json", sha) as up:
        for step in steps:
            up.wait_for_step(step)
        up.signal(signal.SIGKILL)
        up.finish().ended(-signal.SIGKILL)


def assert_serves(shop: Shop, sha: str, **replicas: int) -> None:
    """This release answers and does the jobs, nothing else runs, and `status` says the same.

    `replicas`: how many there are of each service; one, if nothing is said.
    """
    wanted = {"web": 1, "worker": 1, **replicas}
    assert shop.serving() == sha
    if wanted["worker"]:
        assert shop.working() == sha
    status = shop.status()
    assert status["problems"] == []
    assert status["live"].partition("~")[0] == sha
    running = [r for r in status["replicas"] if r["running"]]
    assert {r["release"] for r in running} == {status["live"]}
    assert Counter(r["service"] for r in running) == Counter(wanted)
    assert_shared(shop, {r["id"][:12] for r in running if r["service"] == "web"})


def assert_shared(shop: Shop, hosts: set[str]) -> None:
    """Each of these containers gets requests, and no other."""
    heard: set[str] = set()

    def look() -> str:
        heard.add(json.loads(shop.ask().body)["host"])
        return f"{heard} answer, {hosts} run" if heard != hosts else ""

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())


def assert_none_lost(shop: Shop, report: Report, *, slow: bool = True) -> None:
    """Every request of a load got its answer, and every order is in the database just once."""
    assert report.failed == 0, f"{report.summary()}\n{report.failures}"
    assert_orders_kept(shop, report, slow=slow)


def assert_orders_kept(shop: Shop, report: Report, *, slow: bool = True) -> None:
    """Confirmed orders are there once, the others at most once; the load was what it claims."""
    stored = shop.orders()
    wrong = {key: stored[key] for key in report.posts["acked"] if stored[key] != 1}
    assert not wrong, f"confirmed orders, and how often they were stored: {wrong}"
    twice = {key: stored[key] for key in report.posts["unacked"] if stored[key] > 1}
    assert not twice, f"unconfirmed orders, and how often they were stored: {twice}"
    assert report.posts["acked"]
    assert report.rate >= 300, report.summary()
    classes = {"fresh", "careful", "naive", "post", *(["slow"] if slow else [])}
    assert report.by_class.keys() == classes


def service_of(labels: Mapping[str, str]) -> str:
    """The service that a container with these labels is of, whatever the slot."""
    return labels.get("releasekit.service") or labels.get("com.docker.compose.service", "")


def docker(*args: str) -> str:
    return run(["docker", *args])


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    check: bool = True,
) -> str:
    """Run it; its standard output."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to no client of a load either."""
    while True:
        port = 20000 + secrets.randbelow(10000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
