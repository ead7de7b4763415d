"""A project's compose files as one resolved model: compose itself reads, merges, interpolates."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from releasekit.compose import model as models
from releasekit.compose.docker import QUICK_S, compose_argv, engine_problem, last_lines
from releasekit.errors import HostError, SettingsError
from releasekit.ports import Host
from releasekit.redact import MASK, clean, redact, secrets_in
from releasekit.settings import Settings

NGINX_DIR_VARIABLE = "RELEASEKIT_NGINX_DIR"
NGINX_DIR_PLACEHOLDER = "/run/releasekit-nginx-dir"
"""Stands for the nginx folder until the model has told the project's name, which is part of it."""

_NOT_PASSED_ON = ("COMPOSE_REMOVE_ORPHANS", "COMPOSE_COMPATIBILITY")
_SHORTEST = 4
"""Shorter values of an env file would blot out ordinary text."""
_QUOTED_LINE = re.compile(r"(failed to read .*?: [^\"'\n]*)[\"'].*", re.DOTALL)
"""Compose on an env file's syntax: from the first quote on it is the file's own text."""


def resolve(
    host: Host, settings: Settings, folder: str, tag: str, environ: Mapping[str, str]
) -> models.Model:
    """The model of the project in `folder` with its images at `tag`.

    Raises `SettingsError` when compose refuses the files, or when a variable in them is not set:
    compose only warns, and would go on with a blank value.
    """
    argv = compose_argv(
        files=settings.compose,
        project=settings.project,
        env_files=_env_files(host, settings, folder),
    )
    done = host.run(
        [*argv, "config", "--format", "json"],
        deadline_s=QUICK_S,
        cwd=folder,
        # All of them, unlike any other command: the files interpolate whatever the caller has
        # set, and COMPOSE_FILE or COMPOSE_PROFILES say which files those are. Only what would
        # have compose act differently from the commands that come later stays out.
        env={
            **{name: value for name, value in environ.items() if name not in _NOT_PASSED_ON},
            settings.tag_variable: tag,
            NGINX_DIR_VARIABLE: NGINX_DIR_PLACEHOLDER,
        },
    )
    if done.status != 0:
        said = _without_values(done.stderr, host, settings, folder, environ)
        raise engine_problem(said) or SettingsError([_refused(said, folder)])
    unset = models.unset_variables(done.stderr)
    if unset:
        raise SettingsError(
            [f"compose: the variable {name} is not set" for name in unset],
            hint="set it in the environment, in .env or in the file that env_file names",
        )
    model: models.Model = json.loads(done.stdout)
    return model


def _env_files(host: Host, settings: Settings, folder: str) -> list[str]:
    """What `--env-file` names: given one, compose no longer reads `.env` by itself."""
    if settings.env_file is None:
        return []
    dotenv = f"{folder}/.env"
    return [*([dotenv] if host.digest(dotenv) else []), settings.env_file]


def _without_values(
    stderr: str, host: Host, settings: Settings, folder: str, environ: Mapping[str, str]
) -> str:
    """What compose complains, which quotes what it does not like, without the variables' values."""
    # PWD has a password's name, and is where the files are.
    given = {name: value for name, value in environ.items() if name not in ("PWD", "OLDPWD")}
    secrets = set(secrets_in({"environment": given}))
    for path in (".env", settings.env_file):
        if path is not None:
            with suppress(HostError):
                secrets |= set(_values(host.read(posixpath.join(folder, path)) or ""))
    return redact(_QUOTED_LINE.sub(rf"\1{MASK}", clean(stderr)), frozenset(secrets))


def _values(text: str) -> Iterator[str]:
    """The values in an env file; of a line that sets nothing, which may go on with a value, all."""
    for line in text.splitlines():
        name, sets, value = line.partition("=")
        for form in (value if sets else name, value.partition(" #")[0]):
            bare = form.strip().strip("\"'").strip()
            if len(bare) >= _SHORTEST:
                yield bare


def _refused(stderr: str, folder: str) -> str:
    if "no configuration file provided" in stderr:
        return f"no compose file in {folder} (compose.yaml, or `compose = [...]` in the settings)"
    return f"compose refuses the project's files: {last_lines(stderr)}"
