"""What people do with services that are there, their callers' tokens, and the audit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Command, filtered


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A home with the service digits: revisions 2 to 5, all requests to 3."""
    folder = tmp_path_factory.mktemp("services")
    command = Command(folder / "work", folder / "home")
    assert command("up").code == 0
    yield command
    command.close()


@pytest.fixture
def digits(home: Command) -> Iterator[Command]:
    (home.home / "gateway.url").write_text("http://127.0.0.1:9")
    yield home
    (home.home / "gateway.url").unlink()
    assert home("services").code == 0


def refused(command: Command, *arguments: str) -> tuple[str, str]:
    """(the message, the hint) of a command that is refused and says nothing else."""
    result = command(*arguments)
    assert (result.code, result.out) == (2, ""), result
    lines = [line for line in result.err.splitlines() if not line.startswith("comparing")]
    assert len(lines) == 2, result.err
    return lines[0].removeprefix("error: "), lines[1].removeprefix("hint: ")


def test_a_service_is_shown_in_full(digits: Command) -> None:
    lines = filtered(digits("service", "digits").out).splitlines()
    assert [line.split(maxsplit=1) for line in lines[:8]] == [
        ["service", "digits"],
        ["state", "ready"],
        ["address", "http://<gateway>/v1/models/digits:predict"],
        ["strategy", "replicated, 2 to 4 replicas of each model"],
        ["aggregate", "mean"],
        ["scaling", "2 replicas: 11 requests at once, 8 wanted for each"],
        ["limits", "every caller needs a token"],
        ["anonymous:", "2 at once, 4 wait, 10 in 1m 00s for each caller"],
    ]
    rows = {line.split()[0]: line for line in lines if line[:1].isdigit()}
    assert rows["2"].startswith("2 (version 7)  none")
    assert rows["2"].endswith("eve  was promoted away")
    assert "100 %" in rows["3"]
    assert "1/2" in rows["3"]
    assert "shadow 10 %" in rows["4"]
    assert rows["5"].endswith("model 'cnn' can not be started")
    assert (
        "  revision 4: 1,200 requests, 3 failed; the same best class for 99.13% of 1,150 instances; largest "
        "difference 0.0321"
    ) in lines
    assert "  <when> promote 3=100 by ada: accuracy 0.91 beside 0.90" in lines
    assert digits("service", "digits", "--json").document["replicas"] == [2, 4]


def test_scale_says_what_it_changed_and_that_nothing_was(digits: Command) -> None:
    assert digits("scale", "digits", "1:8").out == "service digits: 1 to 8 replicas, 2 to 4 replicas before\n"
    assert digits("scale", "digits", "1:8").out == (
        "service digits has 1 to 8 replicas already: nothing was changed\n"
    )
    assert digits("scale", "digits", "3", "--json").document["service"]["replicas"] == [3, 3]


def test_traffic_is_split_by_share_and_by_header(digits: Command) -> None:
    split = digits("traffic", "digits", "3=90", "4=10", "--header", "x-beta: yes=4")
    assert split.out == (
        "service digits: revision 3 gets 90 %, revision 4 gets 10 % and requests with x-beta: yes; "
        "before, revision 3 gets 100 %\n"
    )
    assert "3=90% 4=10%" in digits("services").out


def test_a_revision_is_promoted_with_its_figures_or_refused_with_them(digits: Command) -> None:
    good = digits("promote", "digits", "2")
    assert good.out == "service digits: revision 2 was promoted, accuracy 0.9100 beside 0.9000\n"
    assert good.err == "comparing revision 2 with what serves\n"
    message, hint = refused(digits, "promote", "digits", "4")
    assert "accuracy 0.8000 beside 0.9000" in message
    assert hint == "--force promotes it"
    assert digits("promote", "digits", "r4", "--force").out.endswith("revision 4 was promoted, forced\n")
    again = digits("promote", "digits", "4")
    assert again.out == "revision 4 of service digits gets all requests already: nothing was changed\n"


def test_rollback_says_where_it_went(digits: Command) -> None:
    result = digits("rollback", "digits")
    assert result.out == "service digits: revision 4 gets 100 %; before, revision 3 gets 100 %\n"


def test_a_service_that_is_deleted_is_gone(home: Command) -> None:
    (home.folder / "model").mkdir(exist_ok=True)
    assert home("serve", "model", "--name", "brief").code == 0
    assert home("delete", "brief").out == "service brief is deleted; it finishes the requests it has\n"
    assert "there is no service 'brief'" in refused(home, "delete", "brief")[0]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["service", "digit"], "there is no service 'digit'", "did you mean 'digits'?"),
        (["scale", "digit", "1:2"], "there is no service 'digit'", "did you mean 'digits'?"),
        (["scale", "digits", "1-2"], "'1-2' is not MIN:MAX", "1:4"),
        (["scale", "digits", "0:0"], "0 to 0 replicas can not be", "0:1"),
        (["scale", "digits", "1:999"], "1 to 999 replicas can not be", "256"),
        (["promote", "digits", "best"], "'best' is not the number of a revision", "argosy service"),
        (["promote", "digits", "9"], "has no revision 9", "2, 3, 4, 5"),
        (["traffic", "digits", "3=90", "4=20"], "3=90 4=20 adds up to 110 percent", "3=90 4=10"),
        (["traffic", "digits", "3"], "'3' is not REVISION=PERCENT", "3=90"),
        (["traffic", "digits", "3=50", "3=50"], "revision 3 has two shares", "one"),
        (["traffic", "digits", "9=100"], "has no revision 9", "2, 3, 4, 5"),
        (["traffic", "digits", "5=100"], "revision 5 of service 'digits' is failed", "argosy service"),
        (["traffic", "digits", "3=100", "--header", "x"], "'x' is not 'NAME: VALUE=REVISION'", "x-beta"),
        (["traffic", "digits"], "Missing argument 'REVISION=PERCENT...'", "--help"),
        (["token", "create"], "Missing option '--user'", "--help"),
        (["token", "create", "--user", "ada", "--expires", "soon"], "--expires: duration 'soon'", "'14d'"),
        (["token", "revoke", "t99"], "there is no token 't99'", "argosy token list"),
        (["audit", "--since", "long"], "--since: duration 'long'", "'14d'"),
        (
            ["predict", "digits", "hello.py", "--token-file", "none"],
            "there is no file none",
            "check the path",
        ),
    ],
)
def test_each_mistake_is_one_message_with_a_hint(
    digits: Command, arguments: list[str], message: str, hint: str
) -> None:
    said, mend = refused(digits, *arguments)
    assert message in said
    assert hint in mend


def test_a_token_is_shown_once_listed_and_revoked_once(argosy: Command) -> None:
    created = argosy("token", "create", "--user", "ada", "--tier", "gold", "--expires", "12h")
    assert (created.code, created.out) == (0, "header.t1.signature\n")
    assert "token t1 of ada is valid until" in created.err
    listed = argosy("token", "list").out.splitlines()
    assert listed[1].split()[:4] == ["t1", "ada", "gold", "valid"]
    assert "signature" not in "".join(listed)
    assert argosy("token", "revoke", "t1").out == "token t1 of ada is revoked\n"
    assert refused(argosy, "token", "revoke", "t1")[0] == "token t1 of ada was revoked already"
    assert (argosy.home / "revoked").read_text() == "t1"


def test_the_audit_says_who_asked_how_much_and_was_refused_by_which_limit(home: Command) -> None:
    lines = home("audit", "--since", "ever").out.splitlines()
    assert lines[0].split() == [
        "HOUR", "USER", "GROUP", "TIER", "SERVICE", "ANSWERED", "NOT", "REFUSED", "IN", "OUT", "LAST",
    ]  # fmt: skip
    assert " ".join(lines[1].split()[1:]) == "anonymous anonymous other 0 1 (1 failed) 0 1Ki 0 14:59:59Z"
    assert " ".join(lines[2].split()[1:]) == (
        "ada vision signed-in digits 1,200 0 9 (7 concurrency, 2 requests) 3Mi 1Mi 14:59:59Z"
    )
    assert len(home("audit", "--since", "ever", "--user", "ada", "--json").document) == 3
    assert len(home("audit", "--since", "ever", "--user", "anonymous", "--json").document) == 1
    assert home("audit", "--since", "1s").err == "nobody asked anything in that time\n"
