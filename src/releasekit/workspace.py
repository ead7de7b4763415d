"""A project's folder and settings on a host: where its files become drafts and bundles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from releasekit import journal as journals
from releasekit import preparing, room
from releasekit.adopting import Adopted, strangers
from releasekit.bundle import Bundle, BundleStore
from releasekit.chain import Reading
from releasekit.compose import model as models
from releasekit.compose import once, transform
from releasekit.compose.docker import Docker
from releasekit.compose.resolve import NGINX_DIR_PLACEHOLDER, resolve
from releasekit.errors import CommandFailed, Interrupted, MissingImage
from releasekit.events import EventSink, StepEnded, StepStarted
from releasekit.journal import Journal, committed
from releasekit.migrating import Decision, require_decided
from releasekit.nginx.managed import sweep
from releasekit.observed import Observed, Replica
from releasekit.ports import Clock, Host
from releasekit.preparing import Draft, Pinned
from releasekit.release import TAG, Release, short
from releasekit.settings import NginxSettings, Settings, check_env_file
from releasekit.site import Place, Site, wire
from releasekit.steps import Pull
from releasekit.strategies.mixed import Mix
from releasekit.together import together

PROJECT_FILE = "project.json"
"""Tells which folder a project's state belongs to: a rollback reads no compose file."""
NO_TAG = "releasekit-asks-for-the-shape-only"
"""Stands for a tag where only the project's shape is asked."""


class Workspace:
    """`folder` with its `settings` on `host`; `environ` is the caller's environment."""

    def __init__(
        self, host: Host, clock: Clock, settings: Settings, folder: str, environ: Mapping[str, str]
    ) -> None:
        self.host = host
        self.clock = clock
        self.settings = settings
        self.folder = folder
        self._environ = environ
        self._docker = Docker(host)

    @property
    def shows_previews(self) -> bool:
        """Whether nginx is to show what is held to who knows a secret."""
        return self.settings.nginx is not None and self.settings.nginx.preview

    @property
    def bake_s(self) -> float:
        """For how long a new release is watched before the one before it is let go."""
        return self.settings.bake.duration or 0.0

    def draft(self, release: Release, mix: Mix) -> Draft:
        """The release as the project's files describe it now.

        Raises `SettingsError` with every reason why it cannot be released with `mix`.
        """
        preparing.require(self._env_file_problems())
        # Compose first: without it the files seem to be what is wrong.
        _, resolved, _ = together(
            self._docker.require_compose, lambda: self._resolved(release), self._docker.preload
        )
        draft = self._with_images(resolved)
        nginx_dir = self.place(draft.project).nginx
        preparing.require(preparing.problems(draft, mix, nginx_dir))
        return draft

    def _with_images(self, draft: Draft) -> Draft:
        """`draft` with what Docker knows of its images now."""
        return replace(draft, found=self._docker.images(sorted(set(draft.images.values()))))

    def _resolved(self, release: Release) -> Draft:
        model = self._model(release.tag)
        is_unique = len(release.tag) >= len(NO_TAG)  # a SHA: no other image has it by chance
        probe, tag = (model, release.tag) if is_unique else (self._model(NO_TAG), NO_TAG)
        return preparing.draft(release, self.settings, self.folder, model, probe, tag)

    def _model(self, tag: str) -> models.Model:
        model = resolve(self.host, self.settings, self.folder, tag, self._environ)
        nginx_dir = self.place(str(model["name"])).nginx
        return transform.with_nginx_dir(model, NGINX_DIR_PLACEHOLDER, nginx_dir)

    def _env_file_problems(self) -> list[str]:
        if self.settings.env_file is None:
            return []
        path, uid = Path(self.folder, self.settings.env_file), os.geteuid()
        try:
            status = path.stat()
        except PermissionError:
            return [f"env_file: {path} cannot be read by user {uid}"]
        except OSError:
            return [check_env_file(str(path), exists=False, own_uid=uid)]
        problem = check_env_file(
            str(path), exists=True, own_uid=uid, mode=status.st_mode, uid=status.st_uid
        )
        if not problem and not os.access(path, os.R_OK):
            problem = f"env_file: {path} cannot be read by user {uid}"
        return [problem] if problem else []

    def pulled(self, draft: Draft, events: EventSink, is_stopped: Callable[[], bool]) -> Draft:
        """`draft` with all its images on the host; raises `MissingImage` when one is nowhere, and
        `Interrupted`."""
        missing = draft.missing_images
        for number, image in enumerate(missing, start=1):
            step = Pull((image,), "not on this host")
            events(StepStarted(number, len(missing), step))
            began, error = self.clock.now(), ""
            try:
                self._docker.pull(image, is_stopped)
            except CommandFailed as failure:
                error = failure.message
                raise MissingImage(
                    f"image {image} is not on this host, and cannot be pulled: {failure.message}",
                    hint=f"build it (docker build -t {image} .) or push it, then try again",
                ) from failure
            except Interrupted:
                error = f"stopped while {image} was pulled; nothing is changed"
                raise Interrupted(error) from None
            finally:
                events(StepEnded(number, len(missing), step, self.clock.now() - began, error))
        return self._with_images(draft) if missing else draft

    def pinned(self, draft: Draft) -> Pinned:
        """The release with its images pinned to those that are on the host."""
        return preparing.pin(draft, self.host, self.store(draft.project), draft.image_ids)

    def require_images(self, bundle: Bundle) -> None:
        """Raise `MissingImage` unless what `bundle` is pinned to is still on this host."""
        found = self._docker.images(sorted(set(bundle.images.values())))
        missing = sorted(name for name, image in bundle.images.items() if image not in found)
        if missing:
            release = short(bundle.id)
            raise MissingImage(
                f"{release} cannot come back: its image of {', '.join(missing)} is no longer on "
                "this host",
                hint=f"release that commit anew: releasekit up {release}",
            )

    def adopted(self, observed: Observed, draft: Draft) -> Adopted | None:
        """The release that plain compose runs here before the first `up`; None when there is none.

        It gets the project's files as they are now: what it was started with nobody knows.
        """
        unknown = strangers(observed)
        if not unknown:
            return None
        ids = {replica.service: replica.image for replica in unknown}
        earlier = self._resolved(Release(self._running_tag(unknown)))
        earlier = replace(earlier, app=tuple(name for name in earlier.app if name in ids))
        return Adopted(preparing.pin(earlier, self.host, self.store(draft.project), ids))

    def _running_tag(self, replicas: list[Replica]) -> str:
        """The tag that these containers were started with, or one made up of their images."""
        containers = self._docker.inspect([replica.name for replica in replicas])
        images = [str(c.config.image) for c in containers if c.config is not None]
        tags = {image.rpartition(":")[2] for image in images if ":" in image}
        if len(tags) == 1 and TAG.fullmatch(tag := tags.pop()):
            return tag
        return f"adopted-{min(r.image for r in replicas).rpartition(':')[2][:12]}"

    def unfinished(self, project: str, decision: Decision | None) -> Mapping[str, Any] | None:
        """The record of the migration that was not seen to end, once a person has decided how it
        goes on; raises as `migrating.require_decided`."""
        record = journals.unfinished(self.journal(project).records())
        told, runs = "", False
        if record is not None:
            told, runs = once.told(self._docker, once.container_name(project))
        require_decided(record, decision, told, runs=runs)
        return record

    def decide(
        self, project: str, record: Mapping[str, Any], decision: Decision, who: Mapping[str, str]
    ) -> None:
        """Write down what a person decided of this unfinished migration: it is one no more."""
        facts = {"release": record["release"], "state": decision, **who}
        self.journal(project).write("migration", record["run"], **facts)
        once.forget(self._docker, once.container_name(project))

    def require_disk(self, draft: Draft) -> None:
        """Raise `NoRoom` when releasing `draft` would fill a disk."""
        place = self.place(draft.project)
        room.require_disk(self.host, self._docker, place, draft.missing_images)

    def give_way(self, project: str, events: EventSink) -> None:
        """Make room for a way back, where the disk is full."""
        room.give_way(self.host, self.place(project), events)

    def place(self, project: str) -> Place:
        return Place(f"{self.settings.state_root(self._environ)}/{project}")

    def store(self, project: str) -> BundleStore:
        return BundleStore(self.host, self.place(project).releases)

    def journal(self, project: str) -> Journal:
        return Journal(self.host, self.clock, self.place(project).journal)

    def reading(self, project: str) -> tuple[Reading, str]:
        """What the journal says, and whose run goes on; "" for nobody's. One that begins or ends
        while it is read was not cut short: who holds the lock is asked before and after."""
        lock = self.place(project).lock
        before = self.host.holder(lock)
        reading = self.journal(project).read()
        return reading, before or self.host.holder(lock)

    def current_site(self) -> Site:
        """The adapters for what runs now: the current release, else the files as they are."""
        project = self.name()
        stack = committed(self.journal(project).records())
        bundle = self.store(project).load(stack[-1]) if stack else None
        if bundle is None:
            bundle = self.pinned(self._resolved(Release(NO_TAG))).bundle
        return self.site(bundle)

    def site(self, bundle: Bundle) -> Site:
        """The adapters for `bundle`'s project."""
        nginx = self.settings.nginx or NginxSettings()
        place = self.place(bundle.project)
        return wire(self.host, self.clock, place, bundle, nginx, self.settings.bake)

    @contextmanager
    def locked(
        self,
        project: str,
        purpose: str,
        *,
        wait_s: float = 0.0,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> Iterator[None]:
        """Hold the project's lock on the host, and remember which folder it belongs to."""
        place = self.place(project)
        with self.host.lock(place.lock, purpose, wait_s=wait_s, on_wait=on_wait):
            known = json.dumps({"folder": self.folder})
            if self.host.read(f"{place.state}/{PROJECT_FILE}") != known:
                self.host.write(f"{place.state}/{PROJECT_FILE}", known)
            sweep(self.host, place.nginx)
            yield

    def name(self) -> str:
        """The project's name: as settings say, as this folder was released before, or as compose
        says; in that order, so that a broken compose file stops no rollback."""
        if self.settings.project is not None:
            return self.settings.project
        known = self._known_names()
        if len(known) == 1:
            return known[0]
        return self._resolved(Release(NO_TAG)).project

    def _known_names(self) -> list[str]:
        root = self.settings.state_root(self._environ)
        return [
            name
            for name in self.host.list_dir(root)
            if _folder_of(self.host.read(f"{root}/{name}/{PROJECT_FILE}")) == self.folder
        ]


def _folder_of(text: str | None) -> str | None:
    try:
        return str(json.loads(text)["folder"]) if text else None
    except (ValueError, KeyError, TypeError):
        return None
