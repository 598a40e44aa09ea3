"""Changes of a service that is there: what may be asked, and what is said of it."""

from __future__ import annotations

import re
from collections import Counter

from argosy.api.serving import TrafficRequest
from argosy.api.views import ServiceView
from argosy.control.promoting import find_revision
from argosy.errors import Conflict, InvalidRequest
from argosy.flow.service_options import ServiceOptions, Strategy
from argosy.flow.service_rules import faults

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e]{1,1024}")


def check_replicas(view: ServiceView, least: int, most: int) -> None:
    """Raises InvalidRequest for bounds that can not be."""
    options = ServiceOptions(strategy=Strategy(view.strategy))
    for fault in faults(options, (least, most), "mean", None):
        raise InvalidRequest(fault.message, hint=fault.hint)


def check_traffic(view: ServiceView, request: TrafficRequest) -> None:
    """Raises InvalidRequest, NotFound or Conflict for shares and headers that can not be."""
    named = Counter(share.revision for share in request.shares)
    twice = [revision for revision, count in named.items() if count > 1]
    if twice:
        raise InvalidRequest(f"revision {twice[0]} has two shares", hint="give each revision one")
    for share in request.shares:
        if not 0 <= share.percent <= 100:
            raise InvalidRequest(
                f"revision {share.revision} can not have {share.percent} percent", hint="write 0 to 100"
            )
    whole = sum(share.percent for share in request.shares)
    if whole != 100:
        raise InvalidRequest(
            f"the shares add up to {whole}, expected 100",
            hint="every request goes somewhere: write, for instance, 3=90 4=10",
        )
    for rule in request.headers:
        if not _HEADER.fullmatch(rule.header) or not _VALUE.fullmatch(rule.value):
            raise InvalidRequest(
                f"{rule.header[:80]!r}: {rule.value[:80]!r} is not a header", hint="write 'x-beta: yes=4'"
            )
    for revision in (*named, *(rule.revision for rule in request.headers)):
        state = find_revision(view, revision).state
        if state not in ("serving", "standby"):
            raise Conflict(
                f"revision {revision} of service {view.name!r} is {state} and takes no requests",
                hint=f"'argosy service {view.name}' shows the revisions that do",
            )


def is_traffic(view: ServiceView, request: TrafficRequest) -> bool:
    """Whether requests go so already."""
    asked = {share.revision: share.percent for share in request.shares if share.percent}
    rules = sorted((rule.revision, f"{rule.header}: {rule.value}") for rule in request.headers)
    shares = {one.revision: one.percent for one in view.revisions if one.percent}
    there = sorted((one.revision, text) for one in view.revisions for text in one.headers)
    return (asked, rules) == (shares, there)


def has_moved(before: ServiceView, after: ServiceView, action: str) -> bool:
    """Whether what was asked for has happened. Raises Conflict when something else has, or nothing will."""
    fresh = after.releases[-1:]
    if fresh != before.releases[-1:] and fresh:
        if fresh[0].action == action:
            return True
        raise Conflict(
            f"service {after.name}: {fresh[0].action} came before {action} was done",
            hint=f"'argosy service {after.name}' shows what serves; try again",
        )
    if after.reason != before.reason and f"{action} was given up" in after.reason:
        raise Conflict(
            f"service {after.name}: {after.reason}",
            hint=f"the logs of its processes are in logs/services/{after.name} of the home",
        )
    return False


def traffic_text(view: ServiceView) -> str:
    """``revision 3 gets 90 %, revision 4 gets 10 %``."""
    parts = [
        f"revision {one.revision} gets {one.percent} %"
        + (f" and requests with {', '.join(one.headers)}" if one.headers else "")
        for one in view.revisions
        if one.percent or one.headers
    ]
    return ", ".join(parts) or "no revision gets requests"


def replicas_text(view: ServiceView) -> str:
    least, most = view.replicas
    return f"{least} to {most} replicas" if least != most else f"{least} replica{'s' * (least != 1)}"
