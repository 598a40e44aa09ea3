"""How exactly limits hold at fifty times what they let through: concurrency, requests a period, one an hour.

    bench/serving/run limits [--seconds 8] [--times 50] [--period 10]

Requests arrive in an open loop through Envoy. A request holds its place from when it reached the gateway
until its answer left. Callers see it longer by the way there and back, which is what a refusal takes: so
much is taken off each request before those at once are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from support.measure import machine

from argosy.flow.service_options import ANONYMOUS, SIGNED_IN, Access, ServiceOptions, TierLimit
from serving import inputs
from serving.answers import Client
from serving.load import bodies_file, load
from serving.open_loop import Floats, Outcome, Plan, milliseconds, run
from serving.support import Ours, create_token, start_ours

CONCURRENCY = {ANONYMOUS: 2, SIGNED_IN: 3}
REQUESTS = 100
HOURLY_SECONDS = 5.0
IMAGES_A_REQUEST = 4
TOLERANCE = 0.01
METERED, HOURLY = "metered", "hourly"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One limit: what was found beside what it allows."""

    limit: str
    found: str
    holds: bool
    outcome: Outcome


def concurrency_verdicts(seconds: float, times: float) -> list[Verdict]:
    """On a slow model, so that few requests a second are already too many at once."""
    tiers = {tier: TierLimit(concurrency=most) for tier, most in CONCURRENCY.items()}
    options = ServiceOptions(access=Access(tiers=tiers))
    file = bodies_file(inputs.bodies_of_several(IMAGES_A_REQUEST), f"json-{IMAGES_A_REQUEST}")
    with start_ours(inputs.slow_model(), 2, 2, options=options) as ours:
        allowed = load([ours.url], file, CONCURRENCY[ANONYMOUS], 3.0).rate
        verdicts = []
        for tier, most in CONCURRENCY.items():
            rate = times * allowed * most / CONCURRENCY[ANONYMOUS]
            headers = {} if tier == ANONYMOUS else _bearer(ours, "concurrent")
            outcome = run(Plan(ours.url, str(file), [(seconds, rate)], headers))
            verdicts.append(_concurrency(tier, most, outcome))
        return verdicts


def _bearer(ours: Ours, user: str, tier: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(ours.home, user, tier)}"}


def _concurrency(tier: str, most: int, outcome: Outcome) -> Verdict:
    shares = overlaps(outcome)
    above = sum(share for count, share in shares.items() if count > most)
    mean = sum(count * share for count, share in shares.items())
    found = f"mean {mean:.2f}, at most {max(shares)}; above {most} for {above:.2%} of the time"
    return Verdict(f"{most} at once ({tier})", found, above <= TOLERANCE, outcome)


def overlaps(outcome: Outcome) -> Mapping[int, float]:
    """Share of the time by how many accepted requests were under way, the way there and back taken off."""
    taken = outcome.latency - outcome.late
    on_the_way = float(np.median(taken[outcome.refused])) if outcome.refused.any() else 0.0
    starts = (outcome.due + outcome.late)[outcome.accepted] + on_the_way / 2
    ends = np.maximum(starts, starts + taken[outcome.accepted] - on_the_way)
    times = np.concatenate([starts, ends])
    changes = np.concatenate([np.ones(len(starts)), -np.ones(len(ends))])
    order = np.argsort(times, kind="stable")
    counts, spans = np.cumsum(changes[order])[:-1], np.diff(times[order])
    total = float(spans.sum()) or 1.0
    return {int(count): float(spans[counts == count].sum()) / total for count in np.unique(counts)}


def rate_verdicts(period: float, times: float) -> list[Verdict]:
    """On the plain model: requests a period for three periods, and one an hour for two callers."""
    tiers = {
        METERED: TierLimit(requests=REQUESTS, period_seconds=period),
        HOURLY: TierLimit(requests=1, period_seconds=3600.0),
    }
    options = ServiceOptions(access=Access(tiers=tiers))
    file = str(bodies_file(inputs.bodies(), "json"))
    with start_ours(inputs.plain_model(), 2, 2, options=options) as ours:
        stages = [(3 * period, times * REQUESTS / period)]
        outcome = run(Plan(ours.url, file, stages, _bearer(ours, "meter", METERED)))
        verdicts = [_periods(period, outcome)]
        for user in ("first", "second"):
            headers = _bearer(ours, user, HOURLY)
            once = run(Plan(ours.url, file, [(HOURLY_SECONDS, times / HOURLY_SECONDS)], headers))
            accepted = int(once.accepted.sum())
            found = f"{accepted} of {len(once.due)} in {HOURLY_SECONDS:g} s"
            verdicts.append(Verdict(f"1 an hour, {user} caller", found, accepted == 1, once))
        print_refusal(ours, headers)
        return verdicts


def _periods(period: float, outcome: Outcome) -> Verdict:
    accepted = outcome.due[outcome.accepted]
    counts, _ = np.histogram(accepted, bins=3, range=(0.0, 3 * period))
    sliding = most_within(accepted, period)
    exact = bool(np.all(np.abs(counts - REQUESTS) <= TOLERANCE * REQUESTS))
    found = f"{', '.join(map(str, counts))} in three periods; at most {sliding} in any {period:g} s"
    return Verdict(
        f"{REQUESTS} in {period:g} s", found, exact and sliding <= REQUESTS * (1 + TOLERANCE), outcome
    )


def most_within(times: Floats, seconds: float) -> int:
    """The most that lie within any window of so many seconds."""
    ends = np.searchsorted(times, times + seconds, side="left")
    return int(np.max(ends - np.arange(len(times)), initial=0))


def print_refusal(ours: Ours, headers: Mapping[str, str]) -> None:
    client = Client(ours.url, headers)
    status, answer = client.post(inputs.bodies()[0])
    client.close()
    print(f"\nA refusal in full: {status} {answer.decode(errors='replace').strip()}")


def print_table(verdicts: list[Verdict], times: float) -> None:
    print(f"\n## Limits at {times:g} times what they allow\n")
    print("| limit | asked | accepted | found | refusal p50 ms | p99 ms | failed | |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |")
    for one in verdicts:
        refused = one.outcome.latency[one.outcome.refused]
        print(
            f"| {one.limit} | {len(one.outcome.due):,} | {int(one.outcome.accepted.sum()):,} | {one.found} "
            f"| {milliseconds(refused, 50):.1f} | {milliseconds(refused, 99):.1f} | {one.outcome.failed} "
            f"| {'holds' if one.holds and not one.outcome.failed else 'MISSED'} |"
        )
    print(f"\nGoal: within {TOLERANCE:.0%}. {machine()}. Repeat: `bench/serving/run limits`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load on the concurrency limits")
    parser.add_argument("--times", type=float, default=50.0, help="how often the limit is asked for")
    parser.add_argument("--period", type=float, default=10.0, help="of the limit of 100 requests")
    arguments = parser.parse_args()
    verdicts = concurrency_verdicts(arguments.seconds, arguments.times)
    verdicts += rate_verdicts(arguments.period, arguments.times)
    print_table(verdicts, arguments.times)


if __name__ == "__main__":
    main()
