"""``argosy up``, ``down`` and ``status``."""

from __future__ import annotations

import time

import msgspec

from argosy.api.views import ShutdownView, StatusView
from argosy.cli.output import document, say, show
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.client import ControlClient
from argosy.client.stopping import stop_control_plane
from argosy.client.transport import NotRunning
from argosy.home import Home
from argosy.units import format_duration, format_memory


def up(as_json: bool) -> None:
    started: list[bool] = []
    client = ensure_control_plane(Home.from_environment(), started=lambda: started.append(True))
    view = client.status()
    if as_json:
        document({"running": True, "started": bool(started), **msgspec.to_builtins(view)})
        return
    show("the control plane is up" if started else "the control plane was up already")
    _show_status(view)


def down(keep_services: bool, as_json: bool) -> None:
    home = Home.from_environment()
    stopped = stop_control_plane(home, keep_services)
    if as_json:
        ended = stopped or ShutdownView(0)
        document({"stopped": stopped is not None, "services": ended.services, "runs": ended.runs})
    elif stopped is None:
        show(f"nothing runs on {home.root}")
    else:
        _show_stopped(stopped, keep_services)


def _show_stopped(stopped: ShutdownView, keep_services: bool) -> None:
    show("the control plane has stopped")
    if stopped.services:
        fate = "still running" if keep_services else "stopped until the next 'argosy up'"
        show(f"services: {', '.join(stopped.services)} ({fate})")
    if stopped.runs:
        show(f"runs: {', '.join(stopped.runs)} (they resume at the next 'argosy up')")


def status(as_json: bool) -> None:
    home = Home.from_environment()
    try:
        view = ControlClient(home).status()
    except NotRunning:
        if as_json:
            document({"running": False, "home": str(home.root)})
        else:
            show(f"no control plane runs on {home.root}")
            say("hint: 'argosy up' starts it, and so does 'argosy run'")
        return
    if as_json:
        document({"running": True, **msgspec.to_builtins(view)})
    else:
        show(f"the control plane has been up for {format_duration(max(0.0, time.time() - view.started_at))}")
        _show_status(view)


def _show_status(view: StatusView) -> None:
    show(f"home      {view.home}")
    show(f"version   {view.version} (process {view.pid})")
    show(f"gateway   {view.gateway or 'not started: there are no services'}")
    show(f"cpu       {view.cpu_used:g} of {view.cpu_total:g} in use")
    show(f"memory    {format_memory(view.memory_used)} of {format_memory(view.memory_total)} in use")
    show(f"runs      {view.runs_active} active")
    show(f"services  {view.services}")
    if view.degraded:
        say(f"warning: {view.degraded}")
