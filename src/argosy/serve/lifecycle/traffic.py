"""Where the requests of a service go: a pointer at revisions, and what it was before."""

from __future__ import annotations

import msgspec

from argosy.errors import InvalidRequest


class HeaderTarget(msgspec.Struct, frozen=True):
    """Requests whose ``header`` has exactly this ``value`` go to ``revision``."""

    header: str
    value: str
    revision: int


class ShadowTarget(msgspec.Struct, frozen=True):
    """A copy of ``percent`` of the predictions goes to ``revision``; its answers are only compared."""

    revision: int
    percent: int


class Traffic(msgspec.Struct, frozen=True, omit_defaults=True):
    """``shares`` are (revision, percent), largest revision last; they add up to 100 unless nothing serves."""

    shares: tuple[tuple[int, int], ...] = ()
    headers: tuple[HeaderTarget, ...] = ()
    shadow: ShadowTarget | None = None

    @property
    def revisions(self) -> frozenset[int]:
        """Every revision that gets requests, or copies of them."""
        named = {number for number, _ in self.shares} | {rule.revision for rule in self.headers}
        return frozenset(named | ({self.shadow.revision} if self.shadow else set()))

    @property
    def main(self) -> int | None:
        """The revision with the most requests; of equals the newest."""
        return max(self.shares, key=lambda share: (share[1], share[0]))[0] if self.shares else None

    def percent(self, revision: int) -> int:
        return dict(self.shares).get(revision, 0)


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of a service. ``action``: deploy · promote · rollback · traffic · scale."""

    time: float
    action: str
    traffic: Traffic
    reason: str = ""
    user: str = ""


class Move(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of the pointer that waits until every revision it names is ready, at most until ``due``."""

    traffic: Traffic
    action: str
    due: float
    reason: str = ""
    user: str = ""


def all_to(revision: int) -> Traffic:
    return Traffic(((revision, 100),))


def split(service: str, shares: tuple[tuple[int, int], ...], headers: tuple[HeaderTarget, ...]) -> Traffic:
    """Shares and header rules as a pointer. Raises InvalidRequest when they can not be."""
    problem = _problem(shares)
    if problem:
        given = ", ".join(f"{number}={percent}" for number, percent in shares) or "none"
        raise InvalidRequest(
            f"the shares of service {service!r} are {given}: {problem}, expected 100 in all",
            hint=f"write them like `argosy traffic {service} 1=90 2=10`",
        )
    return Traffic(tuple(sorted((number, percent) for number, percent in shares if percent)), headers)


def _problem(shares: tuple[tuple[int, int], ...]) -> str:
    numbers = [number for number, _ in shares]
    for number, percent in shares:
        if percent < 0:
            return f"revision {number} gets {percent} %"
        if numbers.count(number) > 1:
            return f"revision {number} is named more than once"
    total = sum(percent for _, percent in shares)
    return "" if total == 100 else f"they add up to {total}"


def with_canary(before: Traffic, revision: int, percent: int) -> Traffic:
    """``percent`` to ``revision``, and the rest in the proportions of before.

    What rounding leaves goes to the largest parts of a percent, so that shares are whole and add up to 100.
    """
    rest = [(number, share) for number, share in before.shares if number != revision]
    whole = sum(share for _, share in rest)
    if not whole or percent >= 100:
        return all_to(revision)
    exact = {number: share * (100 - percent) / whole for number, share in rest}
    shares = {number: int(part) for number, part in exact.items()}
    by_remainder = sorted(exact, key=lambda number: (shares[number] - exact[number], number))
    for number in by_remainder[: 100 - percent - sum(shares.values())]:
        shares[number] += 1
    shares[revision] = percent
    return Traffic(tuple(sorted((n, p) for n, p in shares.items() if p)), before.headers, before.shadow)


def with_shadow(before: Traffic, revision: int, percent: int) -> Traffic:
    return Traffic(before.shares, before.headers, ShadowTarget(revision, percent))


def before_last_change(now: Traffic, releases: tuple[Release, ...]) -> Traffic | None:
    """The traffic before the one of now, or None when it never was another."""
    for release in reversed(releases):
        if release.traffic != now and release.traffic.shares:
            return release.traffic
    return None
