"""What a warm process has imported, and what the launcher and a template say to each other."""

from __future__ import annotations

import msgspec

from argosy.runtime.protocol import Call, StepCall

# The most processes that one message asks for.
MOST_FORKS = 16


class TemplateKey(msgspec.Struct, frozen=True):
    """What a template has imported. ``source`` is the digest of a snapshot, or empty for a base."""

    preload: tuple[str, ...] = ()
    source: str = ""
    module: str = ""

    @property
    def base(self) -> TemplateKey:
        return TemplateKey(self.preload)


class Fork(msgspec.Struct, frozen=True):
    """Fork a child for each descriptor, or a template for ``template``."""

    template: TemplateKey | None = None


class Born(msgspec.Struct, frozen=True, tag="born"):
    """A template lives, and imports next."""

    pid: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """A template has imported. ``unfit`` says why it must not be forked from, or is empty."""

    pid: int
    unfit: str = ""


def normal_preload(preload: tuple[str, ...]) -> tuple[str, ...]:
    """Preloads that are served by the same base become equal."""
    return tuple(sorted({"tensorflow" if name == "keras" else name for name in preload if name}))


class Context(msgspec.Struct, frozen=True):
    """What every forked process knows from the launcher. ``home`` is the root folder."""

    home: str
    launcher: int


def key_for(call: Call, preload: tuple[str, ...]) -> TemplateKey:
    """The template whose children can carry out ``call``."""
    preload = normal_preload(preload)
    if isinstance(call, StepCall):
        return TemplateKey(preload, call.source, call.module)
    return TemplateKey(preload)
