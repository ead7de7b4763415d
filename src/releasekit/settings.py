"""What a project says about its releases: `releasekit.toml`, variables, arguments.

Import it late: pydantic takes 50 ms that `--help` need not pay.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from releasekit.errors import SettingsError
from releasekit.nginx.render import NAME, PATH
from releasekit.release import TAG

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PREFIX = "RELEASEKIT_"
_NOT_SETTINGS = frozenset({"RELEASEKIT_NGINX_DIR"})
"""For compose files, which mount that folder."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_DAY_S = 86400.0


def _seconds(value: object) -> float:
    """A duration as seconds; more than a day is taken for a slip."""
    seconds = -1.0
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _UNIT_S[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 <= seconds <= _DAY_S:  # also false for nan, which TOML knows
        raise ValueError('must be "500ms", "15s", "2m", "1h" or a number of seconds, at most 24h')
    return seconds


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


def _like(pattern: str, what: str) -> AfterValidator:
    """Text that matches from end to end; the error says what it must be, never what it was."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}")
        return text

    return AfterValidator(check)


Duration = Annotated[float, BeforeValidator(_seconds)]
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
    def _one_way(self) -> HealthSettings:
        if (self.path is None) == (self.settle is None):
            raise ValueError('must have either `path` or `settle`, such as { path = "/up" }')
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
            raise ValueError(f"with `overlap = false` it is recreated, and not {self.strategy}")
        return self


class NginxSettings(_Table):
    """The nginx in front of the app services."""

    mode: Literal["service"] = "service"
    """The project's own compose service."""
    service: ServiceName = "nginx"
    control_port: Port = 8999
    """The port of nginx's container that tells which route is loaded. It listens on every address
    there, and answers nobody but the container itself and its host."""
    preview: bool = False
    """Whether a release that is held can be tried through nginx, by who knows a secret."""


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
    nginx: NginxSettings | None = None
    """The nginx in front; else the compose service `nginx`, if there is one."""

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


_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One source of settings, and how its readers would name what is in it."""

    values: Mapping[str, object]
    where: str
    is_environment: bool = False

    def holds(self, path: Sequence[str | int]) -> bool:
        value: object = self.values
        for key in path:
            if not isinstance(value, Mapping):
                return isinstance(key, int)  # an item: the list as a whole is from one layer
            if key not in value:
                return False
            value = value[key]
        return True

    def name(self, path: _Path) -> str:
        if self.is_environment:
            return _PREFIX + "__".join(str(key) for key in path if isinstance(key, str)).upper()
        return self.where + _dotted(path)

    def unknown(self, path: _Path) -> str:
        """The key at `path`, which does not exist, with the one that was probably meant."""
        known = _keys(path[:-1])
        near = get_close_matches(str(path[-1]), known, n=1)
        right = [self.name((*path[:-1], k)) if self.is_environment else k for k in near or known]
        what = "variable" if self.is_environment else "key"
        guess = f'did you mean "{right[0]}"?' if near else f"known here: {', '.join(right)}"
        return f"{self.name(path)}: unknown {what}; {guess}"


def load_settings(
    folder: Path, *, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> Settings:
    """The settings of the project in `folder`, which needs no file of settings at all.

    `RELEASEKIT_` variables of `environ` beat the file (`RELEASEKIT_SERVICES__WEB__PORT=8080`;
    an empty one counts as not set), and `overrides` beat both (None counts as not given).

    Raises `SettingsError` with every violation; no problem quotes a value, it may be a secret.
    """
    layers = (
        _Layer({key: value for key, value in overrides.items() if value is not None}, "argument "),
        _Layer(_from_environment(environ), "", is_environment=True),
        _from_file(folder),
    )
    values: dict[str, object] = {}
    for layer in reversed(layers):
        values = _laid_over(values, layer.values)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    # Raised out here, because pydantic's own error quotes values and must not be its context.
    raise SettingsError([_problem(layers, detail) for detail in details])


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


def _from_file(folder: Path) -> _Layer:
    """The settings in the one file that has them; two would be two truths."""
    own = _toml(folder / "releasekit.toml")
    tool = _toml(folder / "pyproject.toml").get("tool")
    shared = tool.get("releasekit", {}) if isinstance(tool, dict) else {}
    if not isinstance(shared, dict):
        raise SettingsError(["pyproject.toml: tool.releasekit: must be a table"])
    if own and shared:
        raise SettingsError(
            ["settings are in releasekit.toml and in pyproject.toml ([tool.releasekit])"],
            hint="keep them in one of the two files",
        )
    if shared:
        return _Layer(shared, "pyproject.toml: tool.releasekit.")
    return _Layer(own, "releasekit.toml: ")


def _toml(path: Path) -> dict[str, Any]:
    """The TOML file's content; empty when there is no such file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path.name}: no valid TOML: {error}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path.name}: not UTF-8 (at byte {error.start})"]) from None
    except OSError as error:
        raise SettingsError([f"{path.name}: cannot be read: {error.strerror}"]) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    given = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in sorted(environ.items())
        if name.startswith(_PREFIX) and value and name not in _NOT_SETTINGS
    }
    if not given:
        return {}
    found = _nested(given)
    # pydantic-settings passes over names that it does not know: hand them on, to be refused.
    layer = _Layer(found, "")
    lost = {name: value for name, value in given.items() if not layer.holds(name.split("__"))}
    return {**found, **lost}


def _nested(given: Mapping[str, str]) -> dict[str, Any]:
    """What pydantic-settings finds in these variables. Its import takes 0.1 s, which is most of
    what a command needs to start: only who sets a variable pays it."""
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    class Variables(BaseSettings, Settings):
        model_config = SettingsConfigDict(env_nested_delimiter="__", enable_decoding=False)

    source = EnvSettingsSource(Variables)
    source.env_vars = dict(given)
    return source()


def _laid_over(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    """`base` with `top` over it, table by table; lists are replaced as a whole."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        is_deep = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(below, value) if is_deep else value  # type: ignore[arg-type]
    return merged


def _problem(layers: Sequence[_Layer], detail: ErrorDetails) -> str:
    path = detail["loc"]
    layer = next((layer for layer in layers if layer.holds(path)), None)
    if layer is None:  # a missing key: whoever gave the rest of its table
        layer = next(layer for layer in layers if layer.holds(path[:-1]))
    if detail["type"] == "extra_forbidden":
        return layer.unknown(path)
    return f"{layer.name(path)}: {_in_words(detail)}"


def _in_words(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"].split("_"):
        case ["value", "error"]:
            return str(context["error"])
        case ["greater", "than", "equal"]:
            return f"must be at least {context['ge']}"
        case ["greater", "than"]:
            return f"must be more than {context['gt']:g}"
        case ["less", "than", "equal"]:
            return f"must be at most {context['le']}"
        case ["literal", _]:
            return f"must be {context['expected']}"
        case words:
            return _KINDS.get(words[0], detail["msg"])


_KINDS = {
    "int": "must be a whole number",
    "string": "must be text",
    "tuple": "must be a list",
    "dict": "must be a table",
    "model": "must be a table",
    "missing": "is missing",
    "too": "must not be empty",
}
"""pydantic's error types by their first word, for those who never heard of pydantic."""


def _keys(path: _Path) -> list[str]:
    """The keys that the table at `path` knows."""
    annotation: Any = Settings
    for key in path:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            annotation = _model(annotation).model_fields[str(key)].annotation
    return sorted(_model(annotation).model_fields)


def _model(annotation: Any) -> type[BaseModel]:
    """The model in `Model` or `Model | None`."""
    parts = (annotation, *get_args(annotation))
    return next(p for p in parts if isinstance(p, type) and issubclass(p, BaseModel))


def _dotted(path: _Path) -> str:
    """`path` as TOML writes it, with `[n]` for the items of a list."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += "." + (key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key))
    return text.removeprefix(".")
