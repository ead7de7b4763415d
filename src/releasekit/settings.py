"""What a project says about its releases: `releasekit.toml`, variables, arguments.

Import it late: pydantic takes 50 ms that `--help` need not pay.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from releasekit import layers, options
from releasekit.baking import Limits
from releasekit.errors import SettingsError
from releasekit.nginx.render import NAME, PATH
from releasekit.release import TAG
from releasekit.violations import checked

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_DAY_S = 86400.0
_SLOWNESS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|x)")


def seconds(value: object) -> float:
    """A duration as seconds; more than a day is taken for a slip."""
    found = -1.0
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        found = float(match[1]) * _UNIT_S[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if not 0 <= found <= _DAY_S:  # also false for nan, which TOML knows
        raise ValueError('must be "500ms", "15s", "2m", "1h" or a number of seconds, at most 24h')
    return found


def _whole(value: object) -> object:
    """Refuse what pydantic would take for a number: `replicas = true` is no 1."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects no other
    return value


def _listed(value: object) -> object:
    """Text with commas as a list: a variable has no other way to say one."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _words(value: object) -> object:
    """Text as the words of a command, as a shell would split it."""
    return shlex.split(value) if isinstance(value, str) else value


def _like(pattern: str, what: str) -> AfterValidator:
    """Text that matches from end to end; the error says what it must be, never what it was."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}")
        return text

    return AfterValidator(check)


def _with_a_port(url: str) -> str:
    """Refuse a port that there cannot be."""
    try:
        urlsplit(url).port  # noqa: B018 - it is checked when it is asked for
    except ValueError:
        raise ValueError("must be an http or https URL, with a port up to 65535") from None
    return url


Duration = Annotated[float, BeforeValidator(seconds)]
Port = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65535)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
HttpStatus = Annotated[int, BeforeValidator(_whole), Field(ge=100, le=599)]
Text = Annotated[str, _like(r"[^\x00-\x1f\x7f]+", "text, not empty and without control characters")]
AbsolutePath = Annotated[str, _like(r"/[^\x00-\x1f\x7f]*", "an absolute path")]
UrlPath = Annotated[
    str,
    _like(
        PATH.pattern,
        'a path that starts with "/", of letters, digits and "._~/%?&=+@:,-", all else %-encoded',
    ),
]
HostHeader = Annotated[str, _like(r"[A-Za-z0-9._:\[\]-]+", "a host name")]
PublicUrl = Annotated[
    str,
    _like(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?", "an http or https URL"),
    AfterValidator(_with_a_port),
]
HeaderName = Annotated[str, _like(r"[A-Za-z0-9-]+", "the name of a header")]
Slowness = Annotated[
    str, _like(_SLOWNESS.pattern, 'a duration with its unit, "500ms", or a factor, "1.5x"')
]
LogPath = Annotated[
    str, _like(r"(/[A-Za-z0-9._-]+)+", "an absolute path of letters, digits and '._-'")
]
ImageTag = Annotated[str, _like(TAG.pattern, "an image tag")]
VariableName = Annotated[
    str, _like(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")
]
ServiceName = Annotated[
    str, _like(NAME.pattern, "the name of a compose service, a letter or digit first")
]
ProjectName = Annotated[
    str,
    _like(
        r"[a-z0-9][a-z0-9_-]*", "lower-case letters, digits, '-' and '_', a letter or digit first"
    ),
]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Words = Annotated[
    tuple[Annotated[str, _like(r"[^\x00]+", "text, not empty")], ...],
    BeforeValidator(_words),
    Field(min_length=1),
]
ImageTags = Annotated[tuple[ImageTag, ...], BeforeValidator(_listed)]
HttpStatuses = Annotated[tuple[HttpStatus, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HealthSettings(_Table):
    """When a replica counts as healthy: it answers over HTTP at its own address."""

    path: UrlPath | None = None
    """What is asked for, such as "/up"."""
    settle: Annotated[Duration, Field(gt=0)] | None = None
    """For a service that nothing can ask: healthy once it ran so long without a restart."""
    statuses: HttpStatuses = (200,)
    """The answers that mean healthy."""
    host: HostHeader | None = None
    """The Host header, for an app that answers to its public name alone."""
    timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """How long a release's replicas may take to become healthy, from their start."""

    @model_validator(mode="after")
    def _fits(self) -> HealthSettings:
        if (self.path is None) == (self.settle is None):
            raise ValueError('must have either `path` or `settle`, such as { path = "/up" }')
        if self.settle is None:
            return self
        if self.model_fields_set & {"statuses", "host"}:
            raise ValueError("with `settle` nobody asks: remove `statuses` and `host`")
        if self.timeout <= self.settle:
            raise ValueError("`timeout` must be more than `settle`, which is a part of it")
        return self


class ServiceSettings(_Table):
    """How one app service is released."""

    port: Port | None = None
    """The port in the container that nginx sends requests to."""
    replicas: Count | None = None
    """How many containers; else what the compose file says. 0 is none: it is scaled to nothing."""
    drain: Duration = 30.0
    """How long requests in flight may take to finish before their replica is stopped."""
    health: HealthSettings | None = None
    strategy: Text | None = None
    """The service's own strategy; else the project's."""
    options: dict[str, Any] = {}
    """Options of its strategy, over those in `strategies`."""
    overlap: bool = True
    """Whether the old and the new one may run at the same time. false: the old one is stopped
    before the new one starts, whatever the strategy."""

    @model_validator(mode="after")
    def _fits(self) -> ServiceSettings:
        if not self.overlap and self.strategy not in (None, "recreate"):
            raise ValueError("with `overlap = false` it is always recreated: remove `strategy`")
        return self


class NginxSettings(_Table):
    """The nginx in front of the app services."""

    mode: Literal["service"] = "service"
    """The project's own compose service."""
    service: ServiceName = "nginx"
    control_port: Port = 8999
    """The port of nginx's container that tells which route is loaded. It listens on every address
    there, and answers nobody but the container itself and its host."""
    bake_log: LogPath = "/run/releasekit.log"
    """Where it logs for the bake, in its container: in a folder that it may write to."""
    preview: bool = False
    """Whether a release that is held can be tried through nginx, by who knows a secret."""


class PreReleaseSettings(_Table):
    """A command that runs once per release, before anything of it starts: its migration."""

    service: ServiceName
    """The app service that it runs in a container of: the new release's image, its environment,
    its networks and volumes."""
    run: Words
    """The command."""
    timeout: Annotated[Duration, Field(gt=0)] = 600.0
    """How long it may take; then it is ended, and the release fails."""


class HooksSettings(_Table):
    """What is run beside the release itself."""

    pre_release: PreReleaseSettings | None = None


class BakeSettings(_Table):
    """How long a new release is watched while it serves, and what takes it back."""

    duration: Annotated[Duration, Field(le=3600)] | None = None
    """For how long, before the release before it is let go; without it, or 0, there is no bake."""
    max_error_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The share of its requests that may fail, with 500 or more: 0.01 is one in a hundred."""
    max_p95: Slowness | None = None
    """How slow its p95 may be: "500ms", or "1.5x" that of the release before."""
    min_requests: Annotated[Count, Field(ge=1)] = 50
    """Fewer requests than that tell nothing."""
    url: PublicUrl | None = None
    """A page that is asked from the host as anybody would ask it, its certificate included."""
    statuses: HttpStatuses = (200,)
    """The answers of that page that are good; redirects are not followed."""
    release_header: HeaderName | None = None
    """The header of that page in which the app tells its release's tag."""

    @model_validator(mode="after")
    def _fits(self) -> BakeSettings:
        if self.duration is None and (self.limits.are_any or self.url):
            raise ValueError('needs `duration`, such as "15s": without it nothing is watched')
        if self.url is None and self.release_header:
            raise ValueError("needs `url`, in whose answer `release_header` is looked for")
        return self

    @property
    def limits(self) -> Limits:
        """What is too much, in numbers."""
        seconds = factor = None
        if match := _SLOWNESS.fullmatch(self.max_p95 or ""):
            if match[2] == "x":
                factor = float(match[1])
            else:
                seconds = float(match[1]) * _UNIT_S[match[2]]
        return Limits(self.max_error_rate, seconds, factor, self.min_requests)


class Settings(_Table):
    """The settings of a project. Paths are on the host, from the project's folder."""

    project: ProjectName | None = None
    """Compose's name of the project; else the one that compose itself would give it."""
    compose: Texts = ()
    """The compose files; else those that compose itself would read."""
    env_file: Text | None = None
    """The variables that the compose files interpolate; refused when others may read it."""
    strategy: Text = "blue-green"
    """How the old release makes way for the new one."""
    tag_variable: VariableName = "RELEASE_TAG"
    """The variable that gives the compose files the release's tag: `image: shop:${RELEASE_TAG}`."""
    allow_tags: ImageTags = ()
    """Tags that may be released although they will mean something else tomorrow."""
    workers_wait: bool = True
    """Whether services that nginx asks nothing start only once those that it asks are healthy."""
    strategies: dict[str, dict[str, Any]] = {}
    """Options of strategies, by the strategy's name."""
    state_dir: AbsolutePath | None = None
    """Where bundles, journal and nginx folder are kept, for all projects."""
    services: dict[str, ServiceSettings] = {}
    """Refinements of app services, by name."""
    hooks: HooksSettings = HooksSettings()
    nginx: NginxSettings | None = None
    """The nginx in front; else the compose service `nginx`, if there is one."""
    bake: BakeSettings = BakeSettings()
    """The watch over a new release before the one before it is let go."""

    def state_root(self, environ: Mapping[str, str], *, uid: int | None = None) -> str:
        """The folder of all releasekit's state for the user `uid` (default: who runs this)."""
        if self.state_dir is not None:
            return self.state_dir
        if (os.geteuid() if uid is None else uid) == 0:
            return "/var/lib/releasekit"
        base = environ.get("XDG_STATE_HOME", "")
        if not base.startswith("/"):  # the XDG specification: a relative path is to be ignored
            base = f"{environ.get('HOME') or Path.home()}/.local/state"
        return f"{base}/releasekit"


def load_settings(
    folder: Path, *, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> Settings:
    """The settings of the project in `folder`, which needs no file of settings at all.

    `RELEASEKIT_` variables of `environ` beat the file (`RELEASEKIT_SERVICES__WEB__PORT=8080`;
    an empty one counts as not set), and `overrides` beat both (None counts as not given).

    Raises `SettingsError` with every violation, those of strategies' options too; no problem
    quotes a value, it may be a secret.
    """
    sources = (
        layers.from_arguments(overrides),
        _with_options(layers.from_environment(environ, Settings)),
        layers.from_file(folder),
    )
    values = layers.merged(sources)
    settings, wrong = checked(Settings, values)
    found = (*wrong, *options.violations({"strategy": Settings().strategy, **values}))
    if settings is None or found:
        raise SettingsError([layers.told(sources, violation) for violation in found])
    return settings


def _with_options(layer: layers.Layer) -> layers.Layer:
    """What variables say of strategies, read as TOML would: nobody else knows the types of their
    options."""
    values = dict(layer.values)
    if isinstance(strategies := values.get("strategies"), dict):
        spelled = {options.spelled(name): table for name, table in strategies.items()}
        values["strategies"] = {name: _typed(table) for name, table in spelled.items()}
    if isinstance(services := values.get("services"), dict):
        values["services"] = {
            name: {**table, "options": _typed(table["options"])}
            if isinstance(table, dict) and "options" in table
            else table
            for name, table in services.items()
        }
    return replace(layer, values=values)


def _typed(value: object) -> object:
    """`value` with every text in its tables read as TOML would."""
    if not isinstance(value, dict):
        return value
    return {k: layers.typed(v) if isinstance(v, str) else _typed(v) for k, v in value.items()}


def check_env_file(path: str, *, exists: bool, own_uid: int, mode: int = 0, uid: int = 0) -> str:
    """What is wrong with the env file at `path`, with the command that mends it; "" if nothing.

    It must be there, readable by its owner alone, and owned by root or by `own_uid`, who deploys.
    """
    if not exists:
        return f"env_file: {path} does not exist"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return f"env_file: {path} is not a file"
    faults, commands = [], []
    if uid not in (0, own_uid):
        faults.append(f"belongs to user {uid}, neither to root nor to who deploys")
        commands.append(f"chown {own_uid} {shlex.quote(path)}")
    if mode & 0o077:
        faults.append(f"is open to other users (mode {stat.S_IMODE(mode):04o})")
        commands.append(f"chmod 600 {shlex.quote(path)}")
    if not faults:
        return ""
    return f"env_file: {path} {' and '.join(faults)}; run: {' && '.join(commands)}"
