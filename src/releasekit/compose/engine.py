"""`ports.Engine` on Docker and compose: containers of one project, by label and by id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from releasekit.baking import Whereabouts
from releasekit.bundle import Bundle, BundleStore, HealthCheck
from releasekit.compose import labels, meanwhile, observe, once, transform
from releasekit.compose import model as models
from releasekit.compose.docker import Docker
from releasekit.errors import CommandFailed, DeadlineExceeded, NeedsPerson, StepFailed
from releasekit.nginx.render import Peer
from releasekit.observed import PLAIN, Backing, Replica
from releasekit.ports import LOG_LINES, Clock, Host, Probe
from releasekit.redact import clean, redact, secrets_in
from releasekit.together import each, together
from releasekit.waiting import wait_until

if TYPE_CHECKING:
    from python_on_whales.components.container.models import ContainerInspectResult

PROBE_DEADLINE_S = 5.0
BACKING_DEADLINE_S = 120.0
BODY_SHOWN = 80
"""Characters of an unhealthy answer's body."""


class ComposeEngine:
    """The containers of `bundle`'s project; every other release comes from `store`. `committed`
    tells the ids of the releases that were ever committed to."""

    def __init__(
        self,
        host: Host,
        docker: Docker,
        store: BundleStore,
        clock: Clock,
        bundle: Bundle,
        committed: Callable[[], Collection[str]],
    ) -> None:
        self._host = host
        self._docker = docker
        self._store = store
        self._committed = committed
        self._clock = clock
        self._project = bundle.project
        self._app = bundle.app
        self._projects = (self._project, f"{self._project}-releases")
        self._nginx_service = bundle.nginx_service
        self._nginx_networks = frozenset(bundle.networks(bundle.nginx_service))
        self._bundles = {bundle.id: bundle}
        self._since: dict[tuple[str, object], float] = {}
        """When a container was first seen running, by its id and the start that it runs since."""
        self._released: set[str] = set()
        """The ids that are known to be of a release's own containers."""
        self._seen: dict[str, meanwhile.Seen] = {}
        """The containers as they were seen last, by id, and what was done to them since: which were
        stopped or removed, which releases were started, and whether a backing service was."""
        self._ours: set[str] = set()
        self._started: set[str] = set()
        self._is_backed = False

    def containers(self) -> tuple[ContainerInspectResult, ...]:
        """Every container of the project and of its slots, running or not."""
        shown = f'{{{{.ID}}}} {{{{.Label "{labels.COMPOSE_PROJECT}"}}}}'
        label = f"label={labels.COMPOSE_PROJECT}"
        command = ("container", "ls", "-a", "--no-trunc", "--filter", label)
        listed, _ = together(
            lambda: self._docker.ask(*command, "--format", shown), self._docker.preload
        )
        rows = (line.partition(" ") for line in listed.splitlines())
        found = self._docker.inspect([key for key, _, project in rows if project in self._projects])
        self._know(found)
        return found

    def _know(self, containers: Iterable[ContainerInspectResult]) -> None:
        self._released |= {
            str(container.id)
            for container in containers
            if labels.RELEASE in observe.labels_of(container)
        }

    def observe(self) -> tuple[tuple[Replica, ...], tuple[Backing, ...]]:
        containers = self.containers()
        self._look_again_from(containers)
        replicas = (self._identified(r) for c in containers if (r := observe.replica(c, self._app)))
        backing = (b for c in containers if (b := observe.backing(c, self._app)))
        return tuple(sorted(replicas)), tuple(sorted(backing))

    def _look_again_from(self, containers: Iterable[ContainerInspectResult]) -> None:
        self._seen = {
            str(container.id): meanwhile.seen(container)
            for container in containers
            if not observe.is_one_off(observe.labels_of(container))
        }
        self._ours, self._started, self._is_backed = set(), set(), False

    def changed(self) -> tuple[str, ...]:
        """What others did to the project's containers since they were observed, in words; nginx's
        own is left out, since what it serves is asked before anything relies on it."""
        command = ["container", "ls", "-a", "--no-trunc", "--format", meanwhile.SHOWN]
        label = f"label={labels.COMPOSE_ONE_OFF}=False"
        shown, found = together(
            lambda: self._docker.ask(*command, "--filter", label),
            lambda: self._docker.inspect(list(self._seen)),
        )
        there = [
            each
            for each in meanwhile.listed(shown)
            if each.project in self._projects and each.service != self._nginx_service
        ]
        return tuple(
            meanwhile.changes(
                {k: was for k, was in self._seen.items() if was.service != self._nginx_service},
                {str(container.id): meanwhile.seen(container) for container in found},
                there,
                ours=self._ours,
                released=self._started,
                backed=self._is_backed,
            )
        )

    def pull(self, images: Sequence[str]) -> None:
        for image in images:
            self._docker.pull(image)

    def ensure_backing(
        self,
        release: str,
        services: Sequence[str],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        model = self._bundle(release).model
        for service in services:
            self.up_backing(model, service)
            self._await_backing(service, on_wait)

    def up_backing(self, model: Mapping[str, Any], service: str) -> None:
        """Start one backing service as the user's own `docker compose up -d` would, so that
        theirs finds nothing to recreate afterwards."""
        self._is_backed = True
        found = (observe.replica(container, self._app) for container in self.containers())
        if any(replica is not None and replica.slot == PLAIN for replica in found):
            # Scaled to nothing in the model, the user's own app containers would be removed.
            plain = transform.plain_model(model, (), "", self._project, {})
            self._compose(plain, ["up", "-d", "--no-recreate", "--no-deps", service])
        else:
            scaled = transform.backing_model(model, self._app)
            self._compose(scaled, ["up", "-d", "--no-recreate", service])

    def _await_backing(self, service: str, on_wait: Callable[[], None]) -> None:
        def look() -> str:
            on_wait()
            troubles = map(observe.backing_trouble, self._backing_containers(service))
            return "; ".join(f"{service}: {trouble}" for trouble in troubles if trouble)

        try:
            wait_until(look, deadline_s=BACKING_DEADLINE_S, clock=self._clock)
        except DeadlineExceeded as error:
            names = [observe.name_of(c) for c in self._backing_containers(service)]
            tails = {name: self.log_tail(name, LOG_LINES) for name in names}
            raise StepFailed(f"backing service {error.message}", log_tail=tails) from error

    def _backing_containers(self, service: str) -> list[ContainerInspectResult]:
        return [
            container
            for container in self.containers()
            if (backing := observe.backing(container, self._app)) and backing.service == service
        ]

    def run_once(self, release: str, service: str, deadline_s: float) -> None:
        bundle = self._bundle(release)
        command = bundle.migration.run if bundle.migration is not None else ()
        self._ensure_resources(bundle.model, bundle.app)
        model = once.once_model(bundle.model, service, command, release, bundle.project)
        once.run(self._docker, model, once.container_name(bundle.project), deadline_s)

    def start(self, release: str, slot: str, replicas: Sequence[tuple[str, int]]) -> None:
        bundle = self._bundle(release)
        self._started.add(release)
        model, counts = bundle.model, dict(replicas)
        self._ensure_resources(model, bundle.app)
        if slot == PLAIN:
            model = transform.plain_model(model, bundle.app, release, bundle.project, counts)
            services = list(counts)
        else:
            model = transform.slot_model(model, list(counts), slot, release, bundle.project, counts)
            services = [f"{service}-{slot}" for service in counts]
        options = ["--no-deps", "--no-build", "--pull=never"]
        try:
            self._compose(model, ["up", "-d", *options, *services])
        except CommandFailed as error:
            raise StepFailed(error.message) from error

    def _ensure_resources(self, model: models.Model, app: Sequence[str]) -> None:
        """Create what only app services use: in a slot it is external, which compose expects to
        be there."""
        networks, volumes = models.app_only_resources(model, app)
        if self._are_missing("network", networks) or self._are_missing("volume", volumes):
            self._compose(transform.resources_model(model, app), ["up", "--no-start"])

    def _are_missing(self, kind: str, names: Sequence[str]) -> bool:
        if not names:
            return False
        existing = self._docker.ask(kind, "ls", "--format", "{{.Name}}").split()
        return not set(names) <= set(existing)

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        bundle = self._bundle(release)
        containers = self._docker.inspect([name for _, name in replicas])
        found = {observe.name_of(container): container for container in containers}
        self._seen |= {str(container.id): meanwhile.seen(container) for container in containers}
        probes = each(lambda pair: self._probe(bundle, pair[0], found.get(pair[1])), replicas)
        return {
            name: replace(probe, run=observe.run_of(found[name])) if name in found else probe
            for (_, name), probe in zip(replicas, probes, strict=True)
        }

    def _probe(
        self, bundle: Bundle, service: str, container: ContainerInspectResult | None
    ) -> Probe:
        if container is None:
            return Probe(False, "the container is gone", is_lost=True)
        lost = observe.lost(container)
        if lost:
            return Probe(False, lost, is_lost=True)
        health = bundle.health(service)
        port, settle_s = bundle.service(service).port, bundle.service(service).settle_s
        if settle_s is not None:
            return observe.settled(container, self._ran_s(container), settle_s)
        if health is None or port is None:
            return observe.docker_health(container)
        address = next(iter(observe.addresses(container).values()), "")
        if not address:
            return Probe(False, "it has no address yet")
        probe, body = self._probe_http(address, port, health, service)
        if not body:
            return probe
        # Cut last: a secret that is cut in two is not recognized.
        start = " ".join(redact(clean(body), secrets_in(bundle.model)).split())[:BODY_SHOWN]
        return replace(probe, detail=f"{probe.detail} {start}".rstrip())

    def _ran_s(self, container: ContainerInspectResult) -> float:
        """How long it was seen running since it was started last: by a clock that nobody sets."""
        started = container.state.started_at if container.state is not None else None
        now = self._clock.now()
        if not observe.runs(container):
            return 0.0
        return now - self._since.setdefault((str(container.id), started), now)

    def _probe_http(
        self, address: str, port: int, health: HealthCheck, service: str
    ) -> tuple[Probe, str]:
        """The probe, and the body of an answer that is not healthy."""
        host = health.host or service  # as `proxy_pass http://<service>` has it
        answer, body = self._host.http_get(
            address, port, health.path, headers={"Host": host}, deadline_s=PROBE_DEADLINE_S
        )
        asked = f"GET {health.path} on port {port}"
        if answer.status is None:
            return Probe(False, f"{asked}: {answer.detail}"), ""
        if answer.status in health.statuses:
            return Probe(True, f"{asked}: {answer.status}"), ""
        to = f" to {answer.detail}" if answer.detail else ""
        return Probe(False, f"{asked}: {answer.status}{to}"), body

    def peers(self, names: Sequence[str]) -> dict[str, Peer]:
        """Where these replicas answer nginx, as their own releases say; without those gone."""
        found: dict[str, Peer] = {}
        for container in self._docker.inspect(names):
            replica = observe.replica(container, self._app)
            release = self._identified(replica).release if replica is not None else ""
            if replica is None or not release:
                continue
            bundle = self._bundle(release)
            port = bundle.service(replica.service).port
            if port is not None:
                address = self._address_for_nginx(container)
                found[replica.name] = Peer(port, address, bundle.health(replica.service))
        return found

    def whereabouts(self, names: Sequence[str]) -> tuple[Whereabouts, ...]:
        """All addresses of these containers; without those gone."""
        return tuple(map(observe.whereabouts, self._docker.inspect(names)))

    def _address_for_nginx(self, container: ContainerInspectResult) -> str:
        """The address on a network that nginx is on too, else any."""
        addresses = observe.addresses(container)
        shared = [address for name, address in addresses.items() if name in self._nginx_networks]
        return next(iter([*shared, *addresses.values()]), "")

    def _identified(self, replica: Replica) -> Replica:
        """`replica` with its release: a container that plain compose started carries no label of
        ours, and is known by the image of what was committed to. What is merely stored tells
        nothing: such a container is nobody's, or about to be adopted."""
        if replica.release:
            return replica
        for release in sorted(self._committed()):
            bundle = self._store.load(release)
            if bundle is not None and bundle.images.get(replica.service) == replica.image:
                return replace(replica, release=release)
        return replica

    def stop(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        self._ours |= {*ids}
        always = [key for key in ids if key in self._seen and self._seen[key].is_always_started]
        if always:  # a reboot would bring them back beside those that took their place
            self._docker.do("container", "update", "--restart=unless-stopped", *always)
        self._docker.do("container", "stop", *ids)

    def remove(self, ids: Sequence[str]) -> None:
        self._ours |= {*ids}
        # Only a release's own: what plain compose started may keep data in an anonymous volume.
        self._know(self._docker.inspect([key for key in ids if key not in self._released]))
        ours = [key for key in ids if key in self._released]
        others = [key for key in ids if key not in self._released]
        if ours:
            self._docker.do("container", "rm", "--volumes", *ours)
        if others:
            self._docker.do("container", "rm", *others)

    def log_tail(self, name: str, lines: int) -> tuple[str, ...]:
        secrets = frozenset(s for b in self._bundles.values() for s in secrets_in(b.model))
        return self._docker.log_tail(name, lines, secrets)

    def _bundle(self, release: str) -> Bundle:
        if release not in self._bundles:
            bundle = self._store.load(release)
            if bundle is None:
                raise NeedsPerson(f"release {release} is not stored on this host")
            self._bundles[release] = bundle
        return self._bundles[release]

    def _compose(self, model: Mapping[str, Any], args: Sequence[str]) -> None:
        self._docker.compose(model, args)
