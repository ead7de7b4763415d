"""Where settings come from (a file, variables, arguments), and how each names what is in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path as File
from typing import Any, cast

from pydantic import BaseModel

from releasekit.errors import SettingsError
from releasekit.violations import Path, Violation

_PREFIX = "RELEASEKIT_"
_NOT_SETTINGS = frozenset({"RELEASEKIT_NGINX_DIR", "RELEASEKIT_LOCK"})
"""For compose files, which mount that folder; in what a release runs, which is told apart by it."""


@dataclass(frozen=True, slots=True)
class Layer:
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

    def name(self, path: Path) -> str:
        if self.is_environment:
            return _PREFIX + "__".join(_variable(key) for key in path if isinstance(key, str))
        return self.where + _dotted(path)

    def told(self, violation: Violation) -> str:
        path, known = violation.path, violation.known
        if not violation.is_unknown:
            return f"{self.name(path)}: {violation.words}"
        name, what = str(path[-1]), "variable" if self.is_environment else "key"
        near = get_close_matches(name, known, n=1)
        right = [self.name((*path[:-1], k)) if self.is_environment else k for k in near or known]
        guess = f'did you mean "{right[0]}"?' if near else f"known here: {', '.join(right)}"
        return f"{self.name(path)}: unknown {what}; {guess if known else 'none is known here'}"


def told(layers: Iterable[Layer], violation: Violation) -> str:
    """The violation with its place as the layer names it that it comes from, the first of them."""
    layers, path = tuple(layers), violation.path
    holding = (layer for layer in layers if layer.holds(path))
    # Nobody holds a missing key: whoever gave the rest of its table.
    above = (layer for layer in layers if layer.holds(path[:-1]))
    return next(chain(holding, above)).told(violation)


def merged(layers: Sequence[Layer]) -> dict[str, object]:
    """What the layers say together; the first beats all others, table by table, while lists are
    replaced as a whole."""
    values: dict[str, object] = {}
    for layer in reversed(layers):
        values = _laid_over(values, layer.values)
    return values


def _laid_over(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    both = dict(base)
    for key, value in top.items():
        below = both.get(key)
        is_deep = isinstance(below, Mapping) and isinstance(value, Mapping)
        both[key] = _laid_over(below, value) if is_deep else value  # type: ignore[arg-type]
    return both


def from_file(folder: File) -> Layer:
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
        return Layer(shared, "pyproject.toml: tool.releasekit.")
    return Layer(own, "releasekit.toml: ")


def from_environment(environ: Mapping[str, str], model: type[BaseModel]) -> Layer:
    """What the `RELEASEKIT_` variables say of a `model`; an empty one counts as not set."""
    given = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in sorted(environ.items())
        if name.startswith(_PREFIX) and value and name not in _NOT_SETTINGS
    }
    found = _nested(given, model) if given else {}
    # pydantic-settings passes over names that it does not know: hand them on, to be refused.
    layer = Layer(found, "")
    lost = {name: value for name, value in given.items() if not layer.holds(name.split("__"))}
    return Layer({**found, **lost}, "", is_environment=True)


def from_arguments(given: Mapping[str, object]) -> Layer:
    """None counts as not given."""
    values = {key: value for key, value in given.items() if value is not None}
    return Layer(values, "argument ")


def typed(text: str) -> object:
    """What TOML would read where `text` is the value; if nothing, the text itself."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if len(read) == 1 else text


def _toml(path: File) -> dict[str, Any]:
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


def _nested(given: Mapping[str, str], model: type[BaseModel]) -> dict[str, Any]:
    """What pydantic-settings finds in these variables. Its import takes 0.1 s, which is most of
    what a command needs to start: only who sets a variable pays it."""
    from pydantic import create_model
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    class Variables(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter="__", enable_decoding=False)

    variables = create_model("Variables", __base__=(Variables, model))
    source = EnvSettingsSource(cast("type[BaseSettings]", variables))
    source.env_vars = dict(given)
    return source()


def _variable(key: str) -> str:
    return key.upper().replace("-", "_")


def _dotted(path: Path) -> str:
    """`path` as TOML writes it, with `[n]` for the items of a list."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += "." + (key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key))
    return text.removeprefix(".")
