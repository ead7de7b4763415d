"""What others than its owner may do to a file."""

from __future__ import annotations

import stat
from pathlib import Path

READ_BY_NGINX = "nginx"
"""The one folder whose files others could read, as nginx has to, were they let so far."""


def exposed(state: Path) -> set[str]:
    """The files and folders below `state` that others could read or write: could, that is, also if
    the folders above these let them in.

    A project's own folder they may read: docker makes it when nginx, started by plain compose,
    mounts what is not there yet.
    """
    found = set()
    for path in state.rglob("*"):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # it has gone meanwhile
        inner = path.relative_to(state).parts[1:]  # of a project's folder, `state/shop`
        may_read = not inner or inner[0] == READ_BY_NGINX
        if mode & (stat.S_IWGRP | stat.S_IWOTH if may_read else stat.S_IRWXG | stat.S_IRWXO):
            found.add(f"{path}: {stat.filemode(mode)}")
    return found
