"""What others than its owner may do to a file."""

from __future__ import annotations

import re
import stat
from pathlib import Path

READ_BY_CONTAINERS = re.compile(r"nginx(/.*)?|releases/[^/]+/files/.*")
"""What others could read, were they let so far: nginx has to, and whoever runs in a container has
to read a config file as it may read the team's own."""


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
        inner = "/".join(path.relative_to(state).parts[1:])  # of a project's folder, `state/shop`
        may_read = not inner or READ_BY_CONTAINERS.fullmatch(inner)
        if mode & (stat.S_IWGRP | stat.S_IWOTH if may_read else stat.S_IRWXG | stat.S_IRWXO):
            found.add(f"{path}: {stat.filemode(mode)}")
    return found
