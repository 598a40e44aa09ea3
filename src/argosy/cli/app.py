"""The commands, their flags and their help. What a command does is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from argosy import __version__
from argosy.cli.service_app import COMMANDS
from argosy.errors import InvalidRequest

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
run_argument = click.argument("run_id", metavar="RUN")


class WorkflowCommand(click.Command):
    """A command on FILE[:WORKFLOW]. Whatever it does not know is left for the workflow, as it is written."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["context_settings"] = {"ignore_unknown_options": True, "help_option_names": []}
        super().__init__(*arguments, **settings)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["FILE[:WORKFLOW]", "[--PARAM VALUE ...]", "[OPTIONS]"]


class Commands(click.Group):
    """In the order in which a newcomer meets them; a name that is none gets the nearest one told."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1)
            raise InvalidRequest(
                f"there is no command {args[0]!r}",
                hint=f"did you mean 'argosy {near[0]}'?" if near else "'argosy --help' lists them",
            )
        return super().resolve_command(ctx, args)


def workflow_command(function: F) -> F:
    """Adds the words of FILE[:WORKFLOW] [--PARAM VALUE ...], and a --help that knows the workflow."""
    words = click.argument("words", nargs=-1, type=click.UNPROCESSED)
    text = "Show this message; after FILE, the parameters of its workflow."
    shown = click.option("-h", "--help", "show_help", is_flag=True, help=text)
    return shown(words(function))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="All state is kept in $ARGOSY_HOME, by default ~/.argosy.",
)
@click.version_option(__version__, message="argosy %(version)s")
def argosy() -> None:
    """Run machine-learning workflows, written once in Python, on one machine or on a fleet."""


@argosy.command(cls=WorkflowCommand)
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@json_option
@workflow_command
@click.pass_context
def run(context: click.Context, words: tuple[str, ...], detach: bool, as_json: bool, show_help: bool) -> int:
    """Run a workflow, and show its progress until it ends.

    Starts the control plane if none runs. Parameters named like an option here go after a lone "--".
    """
    if show_help:
        _help(context, words)
        return 0
    from argosy.cli.commands import run as command

    return command.run(words, detach=detach, as_json=as_json)


@argosy.command(cls=WorkflowCommand)
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json", "mermaid"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
@workflow_command
@click.pass_context
def graph(context: click.Context, words: tuple[str, ...], output: str, show_help: bool) -> None:
    """Show what a workflow would run, without running it."""
    if show_help:
        _help(context, words)
        return
    from argosy.cli.commands import graph as command

    command.graph(words, output)


def _help(context: click.Context, words: tuple[str, ...]) -> None:
    if not words:
        click.echo(context.get_help())
        return
    from argosy.cli.arguments import parse_target
    from argosy.cli.workflows import workflow_help

    command = context.info_name or ""
    click.echo(workflow_help(parse_target(words, command), command))


@argosy.command()
@json_option
def up(as_json: bool) -> None:
    """Start the control plane, its services and its unfinished runs."""
    from argosy.cli.commands import plane

    plane.up(as_json)


@argosy.command()
@click.option("--keep-services", is_flag=True, help="Stop the control plane alone; what it started stays.")
@json_option
def down(keep_services: bool, as_json: bool) -> None:
    """Stop the control plane and everything it started."""
    from argosy.cli.commands import plane

    plane.down(keep_services, as_json)


@argosy.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether the control plane runs, and what it is doing."""
    from argosy.cli.commands import plane

    plane.status(as_json)


@argosy.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many, the newest first.",
)
@json_option
def runs(limit: int, as_json: bool) -> None:
    """List runs, the newest first."""
    from argosy.cli.commands import runs as command

    command.runs(limit, as_json)


@argosy.command()
@run_argument
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show a run: each node, why it is as it is, what came of it.

    RUN is the run's id, here and elsewhere, or enough of its beginning.
    """
    from argosy.cli.commands import runs as command

    command.show(run_id, as_json)


@argosy.command()
@run_argument
@click.argument("node", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs(run_id: str, node: str | None, follow: bool) -> None:
    """Print what the steps of a run wrote, or one node of it."""
    from argosy.cli.commands import runs as command

    command.logs(run_id, node, follow)


@argosy.command()
@run_argument
@json_option
def cancel(run_id: str, as_json: bool) -> None:
    """End a run."""
    from argosy.cli.commands import runs as command

    command.cancel(run_id, as_json)


for _command in COMMANDS:
    argosy.add_command(_command)
