"""When a version in a watched folder is deployed: decided on what was seen alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.control.folders import Look, Trouble, decide

NEW = Look(version=2, fingerprint="two")


def test_a_newer_version_is_deployed_and_an_equal_or_older_one_is_not() -> None:
    assert decide(Trouble(), 1, NEW) == (Trouble(), True)
    assert decide(Trouble(), 2, NEW) == (Trouble(), False)
    assert decide(Trouble(), 3, NEW) == (Trouble(), False)


def test_a_version_that_failed_is_tried_again_only_when_its_files_change() -> None:
    failed = Trouble("two", "version 2 is not deployed: it is damaged")
    assert decide(failed, 1, NEW) == (failed, False)
    assert decide(failed, 1, Look(2, "two, mended")) == (Trouble(), True)
    assert decide(failed, 1, Look(3, "three")) == (Trouble(), True)


def test_a_version_that_can_not_be_served_is_told_of_until_it_is_gone() -> None:
    look = Look(version=1, fingerprint="one", refused=2, reason="it has no model.onnx")
    told, due = decide(Trouble(), 1, look)
    assert (told.reason, due) == ("version 2 is not deployed: it has no model.onnx", False)
    assert decide(told, 1, Look(1, "one")) == (Trouble(), False)


@given(
    looks=st.lists(st.builds(Look, version=st.integers(0, 5), fingerprint=st.sampled_from("abc"))),
    works=st.sampled_from("abc"),
)
def test_versions_only_rise_and_nothing_that_failed_is_tried_twice_in_a_row(
    looks: list[Look], works: str
) -> None:
    trouble, deployed = Trouble(), 1
    for look in looks:
        trouble, due = decide(trouble, deployed, look)
        if not due:
            continue
        assert look.version > deployed
        if look.fingerprint == works:
            deployed = look.version
        else:
            trouble = Trouble(look.fingerprint, "it failed")
            assert decide(trouble, deployed, look) == (trouble, False)
