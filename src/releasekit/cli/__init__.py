"""The command line: the library's own verbs, for people and for scripts."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence

from releasekit.cli import app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv`'s unless given, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no subject may fail in a terminal without UTF-8
            stream.reconfigure(errors="replace")
    try:
        app.app(argv, prog_name="releasekit")
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    _flush()
    # At exit Python searches all objects for cycles, several times: 0.1 s for nothing.
    gc.freeze()
    return code if isinstance(code, int) else int(code is not None)


def _flush() -> None:
    """Write out what is still buffered; where nobody reads it, have Python not fail over it.

    Left alone, its own flush at exit would turn every exit code into 120.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
