"""Reads what nginx logs while a release is watched, through the private server."""

from __future__ import annotations

from releasekit.errors import CommandFailed, DeadlineExceeded
from releasekit.nginx.container import Container
from releasekit.nginx.control import ControlServer

EMPTY_S = 10.0
MOST = 16 * 1024 * 1024
"""Bytes of the log that may lie in the container: what is read and more than that is emptied."""


class RequestLog:
    """The log at `path` in nginx's `container`; it is read from its start, each line once.

    nginx hands it out itself: that costs a millisecond, and a command in the container a hundred.
    """

    def __init__(self, control: ControlServer, container: Container, path: str) -> None:
        self._control = control
        self._container = container
        self._path = path
        self._offset = 0

    def empty(self) -> bool:
        """Forget what is there; whether that worked, for then nginx can write it too."""
        # nginx appends, so it goes on at the new end.
        argv = ["cp", "/dev/null", self._path]
        try:
            is_empty = self._container.execute(argv, deadline_s=EMPTY_S).status == 0
        except DeadlineExceeded:
            return False
        if is_empty:  # else what was read is still there
            self._offset = 0
        return is_empty

    def lines(self) -> list[str]:
        """What was logged since the last time, whole lines. Raises a
        `ReleasekitError` when it cannot be read."""
        read = ""
        while part := self._part():
            whole = part[: part.rfind("\n") + 1]
            if not whole:
                break
            read += whole
            self._offset += len(whole)
        if self._offset > MOST:
            self.empty()
        return read.splitlines()

    def _part(self) -> str:
        answer, body = self._control.log(self._offset)
        match answer.status:
            case 206:
                return body
            case 416:
                return ""
            case 200 if not body:  # nginx sees no part in an empty file
                return ""
            case status:
                self._control.inspect()  # it may have come back with another address
                said = answer.detail if status is None else f"it answers {status}"
                raise CommandFailed(f"nginx's log {self._path} cannot be read: {said}")
