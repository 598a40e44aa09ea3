"""One image a request as JSON: ours through Envoy and direct to its replicas, beside every peer.

    bench/serving/run throughput [--seconds 5] [--rounds 3] [--callers 1,16,64] [--only NAME,NAME]

Each server is started anew in each round, checked to answer rightly, warmed, and asked by 1, 16 and 64
callers that keep their connections. It shares the cores with the load generator alone. Beside them the bare
limit: decode and ONNX Runtime in a loop, two processes, no HTTP.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serving import answers, bare_limit, inputs
from serving.findings import Findings
from serving.load import bodies_file, load
from serving.peer_servers import PEERS, RAW, Missing, Peer, running
from serving.processes import cpu_seconds, idle_percent, until
from serving.support import start_ours
from serving.tables import Names, Tables

ENVOY, DIRECT = "Argosy, through Envoy", "Argosy, direct"
WARM_UP_SECONDS = 1.0
LIMIT_BATCHES = (1, 32)


@dataclass(frozen=True, slots=True)
class Bench:
    model: Path
    bodies: Sequence[bytes]
    seconds: float
    callers: Sequence[int]
    findings: Findings

    def ask(self, name: str, urls: Sequence[str], file: Path, pids: Sequence[int]) -> None:
        """Every number of callers in turn, with the processor time that all processes of the server took."""
        load(urls, file, max(self.callers), WARM_UP_SECONDS)
        for callers in self.callers:
            before = cpu_seconds(pids)
            found = load(urls, file, callers, self.seconds)
            self.findings.add(name, callers, found, 1e6 * (cpu_seconds(pids) - before))
            if found.failed:
                print(f"{name}, {callers} callers: {found.failed} requests failed", file=sys.stderr)

    def check(self, url: str, bodies: Sequence[bytes]) -> None:
        answers.check(url, bodies, inputs.expected(self.model))

    def is_right(self, url: str) -> bool:
        self.check(url, self.bodies)
        return True

    def ours(self) -> None:
        file = bodies_file(self.bodies, "json")
        with start_ours(self.model, 2, 2) as ours:
            url, direct = ours.url, ours.direct_urls()
            for one in (url, *direct):
                until(partial(self.is_right, one), "a right answer", 30.0)
            self.findings.idle[ENVOY].append(idle_percent(ours.pids()))
            self.ask(ENVOY, [url], file, ours.pids())
            self.ask(DIRECT, direct, file, ours.pids())

    def peer(self, peer: Peer) -> None:
        bodies = [peer.wrap(body) for body in self.bodies]
        file = bodies_file(bodies, "json" if bodies == list(self.bodies) else peer.environment)
        try:
            with running(peer, self.model, lambda url: self.check(url, bodies)) as (url, server):
                self.findings.idle[peer.name].append(idle_percent(server.pids()))
                self.ask(peer.name, [url], file, server.pids())
        except (Missing, RuntimeError) as reason:
            self.findings.missing[peer.name] = str(reason)

    def limit(self) -> None:
        for batch in LIMIT_BATCHES:
            self.findings.limit[batch].append(
                bare_limit.on_every_core(self.model, batch, max(1.0, self.seconds / 2))
            )


def contestants(bench: Bench, only: Sequence[str]) -> Mapping[str, Callable[[], None]]:
    """What each round does, by name; ``only`` keeps those whose names hold one of its words."""
    peers: dict[str, Callable[[], None]] = {peer.name: partial(bench.peer, peer) for peer in PEERS}
    every: dict[str, Callable[[], None]] = {"Argosy": bench.ours, **peers, "bare limit": bench.limit}
    if not only:
        return every
    return {name: one for name, one in every.items() if any(word.lower() in name.lower() for word in only)}


def measure(arguments: argparse.Namespace) -> Findings:
    callers = [int(one) for one in arguments.callers.split(",")]
    bench = Bench(inputs.plain_model(), inputs.bodies(), arguments.seconds, callers, Findings())
    steps = contestants(bench, [word for word in arguments.only.split(",") if word])
    for number in range(1, arguments.rounds + 1):
        for name, step in steps.items():
            print(
                f"  round {number} of {arguments.rounds}: {name}\033[K", end="\r", file=sys.stderr, flush=True
            )
            step()
    print(end="\033[K", file=sys.stderr, flush=True)
    return bench.findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--callers", default="1,16,64")
    parser.add_argument("--only", default="", help="words of the names of those who take part")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    Tables(measure(arguments), Names(ENVOY, DIRECT, RAW)).print_all(arguments.rounds, load_before)


if __name__ == "__main__":
    main()
