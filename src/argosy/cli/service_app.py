"""The commands about services, their flags and their help. What a command does is imported when called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_user = click.option("--user", help="Who is recorded as having done it.  [default: your login name]")
_path = click.Path(path_type=Path)


def _author(user: str | None) -> str:
    if user is not None:
        return user
    from argosy.cli.users import user_name

    return user_name()


# Name, keywords: what `argosy serve` takes, in the order of its help.
_SERVE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--name", {"help": "The service: small letters, digits and dashes."}),
    ("--file", {"type": _path, "help": "SERVICE.yaml with all of this; options here count more."}),
    ("--replicas", {"metavar": "MIN:MAX", "help": "Replicas of each model, such as 1:4 or 0:2."}),
    ("--strategy", {"metavar": "STRATEGY", "help": "replicated, sharded or event."}),
    ("--aggregate", {"metavar": "HOW", "help": "mean, weighted_mean, majority_vote or FILE.py:FUNCTION."}),
    ("--weights", {"metavar": "W,W,...", "help": "For weighted_mean, one a model."}),
    ("--quorum", {"type": int, "help": "How many members must answer; 0 is all."}),
    ("--member-timeout", {"metavar": "TIME", "help": "How long a member may take, such as 5s."}),
    ("--max-batch-size", {"type": int, "help": "The most instances that are computed together."}),
    ("--max-wait", {"metavar": "TIME", "help": "How long a batch waits for company; 0 never does."}),
    ("--queue", {"type": int, "help": "How many requests may wait in a replica."}),
    ("--inference-timeout", {"metavar": "TIME", "help": "When a replica that computes is replaced."}),
    ("--metric", {"metavar": "METRIC", "help": "What replicas follow: concurrency, rps, cpu or memory."}),
    ("--target", {"type": float, "help": "How much of the metric each replica should have."}),
    ("--stable-window", {"metavar": "TIME", "help": "What is averaged, such as 60s."}),
    ("--panic-window", {"metavar": "TIME", "help": "What a sudden load is seen by, such as 6s."}),
    ("--idle", {"metavar": "TIME", "help": "When the last replica of a service of MIN 0 goes."}),
    ("--balancing", {"metavar": "POLICY", "help": "least_request, round_robin or ring_hash."}),
    ("--hash-header", {"metavar": "HEADER", "help": "For ring_hash: what belongs together."}),
    (
        "--limit",
        {"multiple": True, "metavar": "TIER=...", "help": "TIER=CONCURRENCY:QUEUE:REQUESTS/PERIOD, such as "
         "anonymous=2:4:100/1h or signed-in=3; again for each tier."},
    ),
    ("--require-token", {"is_flag": True, "default": None, "help": "Callers without a token are refused."}),
    ("--rows", {"type": int, "help": "Sharded: instances in each sub-request."}),
    ("--tile", {"metavar": "HxW", "help": "Sharded: cut each image into tiles of that many pixels."}),
    ("--clean", {"metavar": "FILE.py:FUNCTION", "help": "Sharded: what each part of an answer passes."}),
    ("--canary", {"type": int, "metavar": "PERCENT", "help": "Give the new revision this share only."}),
    ("--shadow", {"type": int, "metavar": "PERCENT", "help": "Copy this share to it and compare."}),
    ("--hold", {"is_flag": True, "default": None, "help": "Give it nothing until it is promoted."}),
    ("--labels", {"type": _path, "help": "The names of the classes: JSON, or one on each line."}),
    ("--preprocessing", {"type": _path, "help": "preprocessing.json: how an image becomes input."}),
    ("--watch/--no-watch", {"default": None, "help": "Deploy newer versions in a folder of versions."}),
)  # fmt: skip


def _serve_options(function: F) -> F:
    for name, keywords in reversed(_SERVE):
        function = click.option(name, **keywords)(function)
    return function


@click.command()
@click.argument("models", nargs=-1, metavar="MODEL...")
@_serve_options
@click.option("--detach", is_flag=True, help="Return once the models are stored.")
@_user
@_json
def serve(models: tuple[str, ...], user: str | None, detach: bool, as_json: bool, **options: Any) -> int:
    """Serve models that are there: one, or several that answer as one.

    MODEL is a model directory, a folder of numbered versions, a SavedModel, a .keras or .onnx file, or
    artifact:DIGEST of a model that a workflow made.
    """
    from argosy.cli.commands import serve as command

    return command.serve(models, {**options, "user": _author(user)}, detach=detach, as_json=as_json)


@click.command()
@_json
def services(as_json: bool) -> None:
    """List the services and their addresses."""
    from argosy.cli.commands import services as command

    command.services(as_json)


@click.command()
@click.argument("name")
@_json
def service(name: str, as_json: bool) -> None:
    """Show a service: its revisions, who gets what, and why."""
    from argosy.cli.commands import services as command

    command.service(name, as_json)


@click.command()
@click.argument("name")
@click.argument("replicas", metavar="MIN:MAX")
@_user
@_json
def scale(name: str, replicas: str, user: str | None, as_json: bool) -> None:
    """Change how many replicas each model of a service may have."""
    from argosy.cli.commands import services as command

    command.scale(name, replicas, _author(user), as_json)


@click.command()
@click.argument("name")
@_json
def delete(name: str, as_json: bool) -> None:
    """Take a service away; it finishes the requests it has."""
    from argosy.cli.commands import services as command

    command.delete(name, as_json)


@click.command()
@click.argument("name")
@click.argument("revision")
@click.option("--data", metavar="DATASET", default="", help="What to compare on: a folder, or a digest.")
@click.option("--force", is_flag=True, help="Promote without comparing.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help="How much worse it may be",
)
@_user
@_json
def promote(
    name: str, revision: str, data: str, force: bool, margin: float, user: str | None, as_json: bool
) -> None:
    """Give all requests to a revision that is no worse than what serves.

    Both answer the validation split of the dataset that the model was trained on, or of DATASET.
    """
    from argosy.cli.commands import services as command

    command.promote(
        name, revision, data=data, force=force, margin=margin, user=_author(user), as_json=as_json
    )


@click.command()
@click.argument("name")
@_user
@_json
def rollback(name: str, user: str | None, as_json: bool) -> None:
    """Go back to what served before."""
    from argosy.cli.commands import services as command

    command.rollback(name, _author(user), as_json)


@click.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="REVISION=PERCENT...")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE=REVISION'", help="Whatever the shares."
)
@_user
@_json
def traffic(
    name: str, shares: tuple[str, ...], headers: tuple[str, ...], user: str | None, as_json: bool
) -> None:
    """Split the requests of a service between its revisions."""
    from argosy.cli.commands import services as command

    command.traffic(name, shares, headers, _author(user), as_json)


@click.command()
@click.argument("service")
@click.argument("image_file", nargs=-1, required=True, type=_path)
@click.option("--token-file", type=_path, help="A file with the token of whoever asks.")
@_json
def predict(service: str, image_file: tuple[Path, ...], token_file: Path | None, as_json: bool) -> None:
    """Ask a service what is in images."""
    from argosy.cli.commands import predict as command

    command.predict(service, image_file, as_json, token_file)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Make, list and revoke the tokens of callers."""


@token.command("create")
@click.option("--user", required=True, help="Whose it is.")
@click.option("--group", default="", help="Where they belong.")
@click.option("--tier", default="", help="Whose limits they have.  [default: signed-in]")
@click.option("--expires", metavar="TIME", default="30d", show_default=True, help="Such as 12h.")
@_json
def token_create(user: str, group: str, tier: str, expires: str, as_json: bool) -> None:
    """Make a token and print it, once."""
    from argosy.cli.commands import tokens as command

    command.create(user, group, tier, expires, as_json)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@_json
def token_revoke(token_id: str, as_json: bool) -> None:
    """Refuse a token from now on."""
    from argosy.cli.commands import tokens as command

    command.revoke(token_id, as_json)


@token.command("list")
@_json
def token_list(as_json: bool) -> None:
    """List every token, the newest first."""
    from argosy.cli.commands import tokens as command

    command.listed(as_json)


@click.command()
@click.option("--user", help="Of this user only; anonymous is who has no token.")
@click.option("--service", help="Of this service only.")
@click.option("--since", metavar="TIME", default="1d", show_default=True, help="Such as 6h, or ever.")
@_json
def audit(user: str | None, service: str | None, since: str, as_json: bool) -> None:
    """Say who asked how much of what, and what was refused."""
    from argosy.cli.commands import tokens as command

    command.audit(user, service, since, as_json)


COMMANDS = (
    serve, services, service, predict, scale, promote, rollback, traffic, delete, token, audit,
)  # fmt: skip
