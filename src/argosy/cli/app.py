"""The commands, their flags and their help. What a command does is imported when it is called."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

app = typer.Typer(
    name="argosy",
    help="Run machine-learning workflows, written once in Python, on one machine or on a fleet.",
    epilog="All state is kept in $ARGOSY_HOME, by default ~/.argosy.",
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Whatever these commands do not know is a parameter of the workflow, and left as it is written.
_PARAMETERS_ALLOWED = {"ignore_unknown_options": True, "help_option_names": []}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or enough of its beginning.")]
Words = Annotated[list[str] | None, typer.Argument(hidden=True)]
Help = Annotated[
    bool, typer.Option("-h", "--help", help="Show this message; after FILE, the parameters of its workflow.")
]


class WorkflowCommand(TyperCommand):
    """A command on FILE[:WORKFLOW]: its usage says what its one hidden argument takes."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:
        return ["FILE[:WORKFLOW]", "[--PARAM VALUE ...]", "[OPTIONS]"]


class GraphFormat(StrEnum):
    TEXT = "text"
    JSON = "json"
    MERMAID = "mermaid"


def _version(asked: bool) -> None:
    if asked:
        from argosy import __version__

        typer.echo(f"argosy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")
    ] = False,
) -> None:
    """Run machine-learning workflows, written once in Python, on one machine or on a fleet."""


@app.command(context_settings=_PARAMETERS_ALLOWED, cls=WorkflowCommand, add_help_option=False)
def run(
    context: typer.Context,
    words: Words = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and return at once.")] = False,
    as_json: Json = False,
    show_help: Help = False,
) -> None:
    """Run a workflow, and show its progress until it ends.

    Starts the control plane if none runs. Parameters named like an option here go after a lone "--".
    """
    if show_help:
        _help(context, words, "run")
        return
    from argosy.cli.commands import run as command

    raise typer.Exit(command.run(words or [], detach=detach, as_json=as_json))


@app.command(context_settings=_PARAMETERS_ALLOWED, cls=WorkflowCommand, add_help_option=False)
def graph(
    context: typer.Context,
    words: Words = None,
    output: Annotated[GraphFormat, typer.Option("--format", help="How to print it.")] = GraphFormat.TEXT,
    show_help: Help = False,
) -> None:
    """Show what a workflow would run, without running it."""
    if show_help:
        _help(context, words, "graph")
        return
    from argosy.cli.commands import graph as command

    command.graph(words or [], output.value)


def _help(context: typer.Context, words: list[str] | None, command: str) -> None:
    if not words:
        typer.echo(context.get_help())
        return
    from argosy.cli.arguments import parse_target
    from argosy.cli.workflows import workflow_help

    typer.echo(workflow_help(parse_target(words, command), command))


@app.command()
def up(as_json: Json = False) -> None:
    """Start the control plane, its services and its unfinished runs."""
    from argosy.cli.commands import plane

    plane.up(as_json)


@app.command()
def down(
    keep_services: Annotated[
        bool, typer.Option("--keep-services", help="Stop the control plane alone; what it started stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop the control plane and everything it started."""
    from argosy.cli.commands import plane

    plane.down(keep_services, as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Say whether the control plane runs, and what it is doing."""
    from argosy.cli.commands import plane

    plane.status(as_json)


@app.command()
def runs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    from argosy.cli.commands import runs as command

    command.runs(limit, as_json)


@app.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show a run: each node, why it is as it is, what came of it."""
    from argosy.cli.commands import runs as command

    command.show(run_id, as_json)


@app.command()
def logs(
    run_id: RunId,
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="Only this node.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print what the steps of a run wrote."""
    from argosy.cli.commands import runs as command

    command.logs(run_id, node, follow)


@app.command()
def cancel(run_id: RunId, as_json: Json = False) -> None:
    """End a run."""
    from argosy.cli.commands import runs as command

    command.cancel(run_id, as_json)


@app.command()
def services(as_json: Json = False) -> None:
    """List the services and their addresses."""
    from argosy.cli.commands import services as command

    command.services(as_json)


@app.command()
def predict(
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    files: Annotated[list[Path], typer.Argument(metavar="IMAGE_FILE...")],
    as_json: Json = False,
) -> None:
    """Ask a service what is in images."""
    from argosy.cli.commands import predict as command

    command.predict(service, files, as_json)
