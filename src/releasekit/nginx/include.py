"""Whether an nginx configuration loads the managed file, from what `nginx -T` prints. Pure."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Collection, Iterator

from releasekit.nginx import log as logs
from releasekit.nginx.preview import variable

_FILE = re.compile(r"^# configuration file (\S+):$", re.MULTILINE)
_INCLUDE = re.compile(r"^[^#\n]*\binclude\s+[\"']?([^;\"'\s]+)[\"']?\s*;", re.MULTILINE)
GOOD = "test is successful"
"""What `nginx -t` and `nginx -T` print of a configuration that they take."""


def include_problem(dump: str, path: str, services: Collection[str]) -> str:
    """Why nginx, whose `nginx -T` printed `dump`, would not load `path`; "" when it would.

    An upstream and a variable for each of `services` were in that file. Also "" when the
    configuration is broken for another reason: `nginx -t` tells that later, with nginx's own words.
    """
    signs = [f'host not found in upstream "{service}"' for service in services]
    signs += [f'unknown "{variable(service)}" variable' for service in services]
    unknown = any(sign in dump for sign in signs)
    if not unknown and (GOOD not in dump or any(_matches(dump, path))):
        return ""
    folder = posixpath.dirname(path)
    return (
        f"nginx does not include {folder}: add `include {folder}/*.conf;` to `http {{ }}` "
        "of its configuration"
    )


def preview_problem(dump: str, path: str, services: Collection[str]) -> str:
    """Why nginx, whose `nginx -T` printed `dump`, would show no preview of any of `services`: only
    the managed file at `path` names their variables; "" when it would, or is broken."""
    if GOOD not in dump:
        return ""
    _, *parts = _FILE.split(dump)
    theirs = "".join(
        text for file, text in zip(parts[::2], parts[1::2], strict=True) if file != path
    )
    names = sorted(f"${variable(service)}" for service in services)
    if any(re.search(rf"^[^#\n]*{re.escape(name)}\b", theirs, re.MULTILINE) for name in names):
        return ""
    return (
        f"nginx.preview is on, and nginx passes nothing to {' or '.join(names)}, so a preview "
        f"would show what users get: say `proxy_pass http://{names[0]};` in its configuration, or "
        "switch nginx.preview off"
    )


def log_problem(dump: str, path: str) -> str:
    """Why nginx, whose `nginx -T` printed `dump`, would log nothing for the bake: it does not
    include the file for that beside the managed one at `path`; "" when it would, or is broken."""
    folder = posixpath.dirname(path)
    if GOOD not in dump or any(_matches(dump, f"{folder}/{logs.FILE}")):
        return ""
    return (
        "bake: nginx logs nothing that max_error_rate and max_p95 could be judged by: add "
        f"`include {folder}/{logs.PATTERN};` to its configuration, beside each `access_log` of "
        "your own, or in `server { }` where it is off; docs/nginx.md has the details"
    )


def _matches(dump: str, path: str) -> Iterator[bool]:
    """For each include, whether it takes `path` in. nginx reads a relative one from the folder of
    its main configuration file, which it prints first."""
    main = _FILE.search(dump)
    prefix = posixpath.dirname(main[1]) if main else "/etc/nginx"
    for pattern in _INCLUDE.findall(dump):
        yield fnmatch.fnmatchcase(path, posixpath.join(prefix, pattern))
