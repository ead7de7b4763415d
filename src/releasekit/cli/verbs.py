"""The group of all verbs: what becomes of a call that cannot be parsed."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

DETAILED = "--detailed-exitcode"


class Verbs(TyperGroup):
    """typer's group of commands, which answers `--json` also when it cannot parse the rest, and
    keeps a wrong call apart from a plan that has something to do."""

    def make_context(self, info_name: Any, args: list[str], *more: Any, **extra: Any) -> Any:
        typed = list(args)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except typer.TyperException as error:
            if DETAILED in typed:
                error.exit_code = 1
            raise

    def invoke(self, ctx: Any) -> Any:
        typed = list(ctx.args)
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            if DETAILED in typed:
                error.exit_code = 1
            if "--json" in typed:
                from releasekit.cli.json_lines import JsonLines
                from releasekit.errors import UsageError

                usage = UsageError(error.format_message(), hint=f"{ctx.command_path} --help")
                JsonLines(ctx.invoked_subcommand or "", detailed=DETAILED in typed).error(usage)
            raise
