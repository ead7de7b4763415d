"""`releasekit` itself, but for what goes wrong at the steps that the variable FAULTS names.

    FAULTS='[{"step": 3, "when": "before", "how": "kill"}]' python child.py up --json SHA

Steps are counted from 1 over all that this process takes, those of a way back included. `how` is

error     the step raises, before its effect or after it
hang      docker answers nothing any more: every command of the step, or one more after its effect
kill      the process is gone, as by `kill -9`
command   `argv` is run, and the step goes on: what somebody else does at this moment

or, instead of a step, `{"operation": 17}`: the process is gone as it begins its 17th file or
process operation, whatever that is; with `"amid": true` a little after it began it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from releasekit.cli import main
from releasekit.cli.signals import SIGNALS
from releasekit.errors import StepFailed
from releasekit.hosts.local import LocalHost
from releasekit.runner import Runner
from tests.faults.killing import OF_FILES, OF_PROCESSES, die, kill_at

HANG_S = 0.3
"""Deadline of a command that hangs: the real one, only sooner."""
AMID_S = 0.05
"""How long after its begin an operation is amid."""
FORGED = "as the test has it"
"""What an error says that was made up."""


def run_faulty(faults: list[dict[str, Any]]) -> None:
    """Have `Runner` take its steps with these faults."""
    take: Callable[..., None] = Runner._take
    numbers = count(1)

    def faulty(self: Runner, *args: Any) -> None:
        number = next(numbers)
        mine = [fault for fault in faults if fault.get("step") == number]
        for fault in mine:
            if fault["when"] == "before":
                strike(fault)
        with docker_hanging(any((f["how"], f["when"]) == ("hang", "before") for f in mine)):
            take(self, *args)
        for fault in mine:
            if fault["when"] == "after":
                strike(fault)

    Runner._take = faulty  # type: ignore[method-assign]


def strike(fault: dict[str, Any]) -> None:
    match fault["how"], fault["when"]:
        case "error", _:
            raise StepFailed(FORGED)
        case "kill", _:
            die()
        case "command", _:
            subprocess.run(fault["argv"], check=True, capture_output=True)
        case "hang", "after":
            hang(LocalHost(os.environ))
        case _:
            pass


@contextmanager
def docker_hanging(does_it: bool) -> Iterator[None]:
    """No command on the host ends meanwhile, until its deadline ends it."""
    run = LocalHost.run
    if does_it:
        LocalHost.run = hang  # type: ignore[assignment]
    try:
        yield
    finally:
        LocalHost.run = run  # type: ignore[method-assign]


RUN: Callable[..., Any] = LocalHost.run


def hang(host: LocalHost, *_: object, **__: object) -> Any:
    return RUN(host, ["sleep", "infinity"], deadline_s=HANG_S)


def is_operation(event: str, args: tuple[Any, ...]) -> bool:
    """Whether it changes a file or starts a process."""
    if event != "open":
        return event in OF_FILES | OF_PROCESSES
    writes = os.O_WRONLY | os.O_RDWR
    return bool(args[2] & writes) and not str(args[0]).startswith("/dev/")


if __name__ == "__main__":
    # What the tests' own terminal, or the lack of one, has ignored is not ignored here.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = json.loads(os.environ.get("FAULTS", "[]"))
    run_faulty(asked)
    for each in asked:
        if "operation" in each:
            kill_at(each["operation"], is_operation, AMID_S if each.get("amid") else 0.0)
    sys.exit(main())
