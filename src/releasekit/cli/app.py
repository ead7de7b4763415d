"""The verbs. Each loads the project, calls the library's verb of the same name, shows the answer.

What takes time to import is imported where it is used: `--help` and completion need none of it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, NoReturn

import typer

from releasekit.cli.signals import stopping
from releasekit.cli.typed import options_of, seconds_of
from releasekit.cli.verbs import DETAILED, Verbs

if TYPE_CHECKING:
    from releasekit.cli.telling import Telling
    from releasekit.forecast import Forecast
    from releasekit.outcome import Outcome
    from releasekit.project import Project

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "failed; the previous release is serving",
    2: "usage or settings",
    3: "needs a person",
    4: "locked by somebody else",
    130: "interrupted and reverted",
}


class Globals(NamedTuple):
    """What is said before the verb."""

    folder: Path
    debug: bool


def listed(title: str, *lines: str) -> str:
    """A list for the end of a help text; the `\\b` keeps typer from wrapping it."""
    return "\n".join(["\b", f"{title}:", *(f"  {line}" for line in lines)])


def examples(*lines: str) -> str:
    return listed("Examples", *lines)


def strategy_names(incomplete: str) -> list[str]:
    """Names to complete with; nothing of them is imported."""
    from importlib.metadata import entry_points

    names = {entry.name for entry in entry_points(group="releasekit.strategies")}
    return sorted(name for name in names if name.startswith(incomplete))


def show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"releasekit {version('releasekit')}")
        raise typer.Exit


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    # Plain help costs a third of rich's time, and fits any terminal and any pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=listed("Exit codes", *(f"{code:<5}{what}" for code, what in EXIT_CODES.items())),
)

Sha = Annotated[
    str | None,
    typer.Argument(metavar="SHA", help="A commit, or a release on record; by default HEAD."),
]
Earlier = Annotated[
    str | None,
    typer.Argument(metavar="SHA", help="A release on record; by default the previous one."),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How to get there; by default what the settings say.",
        autocompletion=strategy_names,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the strategy, such as max_surge=2; may be repeated.",
    ),
]
Dirty = Annotated[
    bool, typer.Option("--dirty", help="Allow changes that no commit holds; the tag tells.")
]
Hold = Annotated[bool, typer.Option("--hold", help="Bring it up, and stop before users get it.")]
Adopt = Annotated[
    bool,
    typer.Option("--adopt", help="Take over an nginx file that was edited by hand; keep a copy."),
]
Migration = Annotated[
    Literal["done", "again"] | None,
    typer.Option(
        help="Go on after a migration that was not seen to end: it is done, or runs again.",
    ),
]
IgnoreMemory = Annotated[
    bool,
    typer.Option("--ignore-memory", help="Release although its memory limits do not fit the host."),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Only show what would be done.")]
Detailed = Annotated[
    bool,
    typer.Option(
        DETAILED,
        help="Of a plan: end with 2 if there is something to do, with 0 if not; errors that are 2 "
        "elsewhere are 1.",
    ),
]
Wait = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="How long to wait for a run that goes on, such as 5m; not for a lock by hand.",
    ),
]
Message = Annotated[
    str, typer.Option("--message", "-m", metavar="WHY", help="Why; whoever is refused is told.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")]


@app.callback()
def releasekit(
    context: typer.Context,
    project_dir: Annotated[
        Path,
        typer.Option(
            "--project-dir",
            "-C",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="The folder with the settings and the compose file.",
        ),
    ] = Path(),
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Releases for Docker Compose on a single VM: repeatable, observable, reversible."""
    context.obj = Globals(project_dir, debug)


@app.command(
    epilog=examples(
        "releasekit up                                  what is checked out",
        "releasekit up 3f2a9c1 --strategy blue-green    a commit, without downtime",
        "releasekit up --strategy rolling --set max_surge=50%",
        "releasekit up --hold                           beside what serves, to be tried first",
        "releasekit up --plan                           only show what would be done",
    )
)
def up(
    context: typer.Context,
    sha: Sha = None,
    strategy: Strategy = None,
    options: Set = None,
    hold: Hold = False,
    migration: Migration = None,
    ignore_memory: IgnoreMemory = False,
    adopt: Adopt = False,
    plan_only: PlanOnly = False,
    detailed: Detailed = False,
    dirty: Dirty = False,
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Release a commit. If that fails, the previous release goes on serving."""
    with answering(context, as_json, detailed) as output:
        require_plan(plan_only, detailed)
        given, patience = options_of(options or []), seconds_of(wait)
        project = load(context, output)
        release = project.release(sha, dirty=dirty)
        if plan_only:
            forecast = project.plan(
                release, strategy=strategy, options=given, hold=hold, migration=migration
            )
            end_with(output, forecast, detailed)
        with stopping(output.say) as stop:
            outcome = project.up(
                release,
                strategy=strategy,
                options=given,
                hold=hold,
                migration=migration,
                ignore_memory=ignore_memory,
                adopt=adopt,
                wait=patience,
                stop=stop,
            )
        output.outcome(outcome)


@app.command(
    epilog=examples(
        "releasekit plan",
        "releasekit plan 3f2a9c1 --strategy recreate",
        "releasekit plan --detailed-exitcode            2: there is something to do",
    )
)
def plan(
    context: typer.Context,
    sha: Sha = None,
    strategy: Strategy = None,
    options: Set = None,
    detailed: Detailed = False,
    dirty: Dirty = False,
    as_json: Json = False,
) -> None:
    """Show what `up` would do and what that comes to, and change nothing."""
    with answering(context, as_json, detailed) as output:
        given = options_of(options or [])
        project = load(context, output)
        release = project.release(sha, dirty=dirty)
        end_with(output, project.plan(release, strategy=strategy, options=given), detailed)


@app.command(epilog=examples("releasekit promote", "releasekit -C /srv/shop promote --json"))
def promote(
    context: typer.Context, adopt: Adopt = False, wait: Wait = "0s", as_json: Json = False
) -> None:
    """Give users the release that `up --hold` brought up."""
    change(context, adopt, wait, as_json, lambda project, **how: project.promote(**how))


@app.command(epilog=examples("releasekit abort", "releasekit -C /srv/shop abort --json"))
def abort(
    context: typer.Context, adopt: Adopt = False, wait: Wait = "0s", as_json: Json = False
) -> None:
    """Remove the release that `up --hold` brought up; what serves goes on serving."""
    change(context, adopt, wait, as_json, lambda project, **how: project.abort(**how))


@app.command(
    epilog=examples(
        "releasekit rollback            to the release before",
        "releasekit rollback 1b2c3d4    to any release on record",
    )
)
def rollback(
    context: typer.Context,
    sha: Earlier = None,
    adopt: Adopt = False,
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Bring an earlier release back, configuration and all."""
    change(context, adopt, wait, as_json, lambda project, **how: project.rollback(sha, **how))


@app.command(epilog=examples("releasekit recover", "releasekit recover --wait 5m --json"))
def recover(
    context: typer.Context, adopt: Adopt = False, wait: Wait = "0s", as_json: Json = False
) -> None:
    """Put right what a run that was cut short has left; nothing to do if all is well."""
    change(context, adopt, wait, as_json, lambda project, **how: project.recover(**how))


@app.command(epilog=examples('releasekit lock -m "inventory until Monday"'))
def lock(context: typer.Context, message: Message, as_json: Json = False) -> None:
    """Have nobody release until `unlock`; also after a reboot."""
    with answering(context, as_json) as output:
        output.answer.locked(load(context, output).lock(message))


@app.command(epilog=examples("releasekit unlock"))
def unlock(context: typer.Context, as_json: Json = False) -> None:
    """End what `lock` began, whoever it was."""
    with answering(context, as_json) as output:
        output.answer.unlocked(load(context, output).unlock())


@app.command(epilog=examples("releasekit status", "releasekit -C /srv/shop status --json"))
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what serves now, and whatever does not fit together."""
    with answering(context, as_json) as output:
        project = load(context, output)
        found = project.status()
        subjects = {entry.release: entry.subject for entry in project.history()}
        output.answer.status(found, subjects.get(found.live, ""))


@app.command(epilog=examples("releasekit history", "releasekit history -n 100 --json"))
def history(context: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List the runs on record, newest first."""
    with answering(context, as_json) as output:
        output.answer.history(load(context, output).history()[:limit])


@app.command(epilog=examples("releasekit strategies"))
def strategies(context: typer.Context, as_json: Json = False) -> None:
    """List the strategies that are installed."""
    with answering(context, as_json) as output:
        from releasekit.strategies.registry import available

        output.answer.strategies(available())


@contextmanager
def answering(context: typer.Context, as_json: bool, detailed: bool = False) -> Iterator[Telling]:
    """A verb's output. What goes wrong inside is told there, and becomes the exit code."""
    from releasekit.cli import exits
    from releasekit.cli.json_lines import JsonLines
    from releasekit.cli.render import Terminal
    from releasekit.cli.telling import Telling
    from releasekit.errors import Interrupted

    name = context.info_name or ""
    telling = Telling(JsonLines(name, detailed=detailed) if as_json else Terminal())
    code = 0
    try:
        yield telling
    except typer.Exit as ended:
        code = ended.exit_code
    except (Exception, KeyboardInterrupt) as raised:
        error = Interrupted("interrupted") if isinstance(raised, KeyboardInterrupt) else raised
        code = exits.code(error, detailed=detailed)
        telling.failed(error)
        if context.obj.debug:
            telling.later(traceback.print_exception)(raised)
    telling.end(code)
    if code:
        raise typer.Exit(code)


def change(
    context: typer.Context, adopt: bool, wait: str, as_json: bool, verb: Callable[..., Outcome]
) -> None:
    """Do `verb` with the project, and with how: what it may take over, its patience, its stop."""
    with answering(context, as_json) as output:
        patience = seconds_of(wait)
        project = load(context, output)
        with stopping(output.say) as stop:
            outcome = verb(project, adopt=adopt, wait=patience, stop=stop)
        output.outcome(outcome)


def require_plan(plan_only: bool, detailed: bool) -> None:
    """Refuse to tell changes from none by the exit code of what makes them."""
    from releasekit.errors import UsageError

    if detailed and not plan_only:
        raise UsageError(f"{DETAILED} is about a plan: add --plan, or use `releasekit plan`")


def end_with(output: Telling, forecast: Forecast, detailed: bool) -> NoReturn:
    """Show a forecast, and end with the exit code that it comes to."""
    from releasekit.cli import exits

    output.answer.plan(forecast)
    raise typer.Exit(exits.planned(forecast, detailed=detailed))


def load(context: typer.Context, output: Telling) -> Project:
    """The project that the command line speaks of, telling `output` what happens."""
    from releasekit.project import Project

    return Project.load(context.obj.folder, events=output.event)
