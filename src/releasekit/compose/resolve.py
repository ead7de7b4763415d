"""A project's compose files as one resolved model: compose itself reads, merges, interpolates."""

from __future__ import annotations

import json
from collections.abc import Mapping

from releasekit.compose import model as models
from releasekit.compose.docker import QUICK_S, compose_argv, engine_problem, last_lines
from releasekit.errors import SettingsError
from releasekit.ports import Host
from releasekit.settings import Settings

NGINX_DIR_VARIABLE = "RELEASEKIT_NGINX_DIR"
NGINX_DIR_PLACEHOLDER = "/run/releasekit-nginx-dir"
"""Stands for the nginx folder until the model has told the project's name, which is part of it."""


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
        env={
            **environ,
            settings.tag_variable: tag,
            NGINX_DIR_VARIABLE: NGINX_DIR_PLACEHOLDER,
        },
    )
    if done.status != 0:
        raise engine_problem(done.stderr) or SettingsError([_refused(done.stderr, folder)])
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


def _refused(stderr: str, folder: str) -> str:
    if "no configuration file provided" in stderr:
        return f"no compose file in {folder} (compose.yaml, or `compose = [...]` in the settings)"
    return f"compose refuses the project's files: {last_lines(stderr)}"
