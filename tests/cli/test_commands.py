"""What the commands print, and that --json is one document."""

from __future__ import annotations

from .conftest import Command, filtered

PLANE = """\
home      <home>
version   0.1.0 (process <pid>)
gateway   http://<gateway>
cpu       1 of 2 in use
memory    1Gi of 4Gi in use
runs      0 active
services  0
"""


def test_a_run_shows_each_change_on_standard_error_and_the_result_on_standard_output(shared: Command) -> None:
    result = shared("run", "hello.py")
    run = result.err.split("run ", 1)[1].split("\n", 1)[0]
    assert result.code == 0
    assert result.out == f'run {run} succeeded in 1.5s: 2 done, 1 from cache\nresult: {{"answer": 42}}\n'
    assert result.err == (
        "the module prints\n"
        f"run {run}\n"
        "   +0.0s  greet: running, epoch 2 · step 340 · loss 0.25 · accuracy 0.875 · 12,345 examples/s · "
        "odd not a number\n"
        "   +1.0s  greet: succeeded in 1.0s\n"
        "   +0.0s  shout: cached, equal code and inputs, 3m old\n"
        "   +1.0s  join: succeeded in 1.0s\n"
    )


def test_a_failed_run_exits_1_and_names_the_node_the_cause_the_line_and_the_log(shared: Command) -> None:
    result = shared("run", "hello.py", "--outcome", "fail")
    run = result.out.split()[1]
    assert result.code == 1
    assert result.out == (
        f"run {run} failed in 1.5s: 1 done, 1 from cache, 1 failed\n"
        "join failed: ValueError: no such luck\n"
        "  at hello.py:7\n"
        f"  its log: argosy logs {run} join\n"
    )


def test_json_of_a_run_is_the_run_when_it_is_over(shared: Command) -> None:
    good = shared("run", "hello.py", "--json", "--name", "ada")
    assert (good.code, good.document["state"], good.document["output"]) == (0, "succeeded", {"answer": 42})
    assert good.document["parameters"]["name"] == "ada"
    bad = shared("run", "hello.py", "--json", "--outcome=fail")
    assert (bad.code, bad.document["state"]) == (1, "failed")


def test_detach_returns_at_once_with_the_id(argosy: Command) -> None:
    result = argosy("run", "hello.py", "--detach", "--outcome", "hang")
    assert (result.code, result.out) == (0, "hello-0001\n")
    as_json = argosy("run", "hello.py", "--detach", "--json", "--outcome", "hang")
    assert as_json.document["run"] == "hello-0002"
    assert as_json.document["state"] == "running"


def test_cancel_ends_a_run_and_refuses_one_that_is_over(argosy: Command) -> None:
    argosy("run", "hello.py", "--detach", "--outcome", "hang")
    assert argosy("cancel", "hello-0001").out == "run hello-0001 is cancelled\n"
    again = argosy("cancel", "hello-0001", "--json")
    assert (again.code, again.document["error"]["code"]) == (2, "conflict")


def test_a_cancelled_run_exits_1(argosy: Command) -> None:
    watching = argosy.start("run", "hello.py", "--outcome", "hang")
    assert watching.stderr is not None
    for line in watching.stderr:
        if "running" in line:
            break
    argosy("cancel", "hello-0001")
    out, _ = watching.communicate(timeout=30)
    assert watching.returncode == 1
    assert out.startswith("run hello-0001 cancelled")


def test_up_says_what_is_up_and_that_it_was_up_already(argosy: Command) -> None:
    assert filtered(argosy("up").out) == "the control plane is up\n" + PLANE
    assert filtered(argosy("up").out) == "the control plane was up already\n" + PLANE
    document = argosy("up", "--json").document
    assert (document["running"], document["started"], document["cpu_total"]) == (True, False, 2.0)


def test_status_of_a_home_where_nothing_runs_is_no_error(argosy: Command) -> None:
    result = argosy("status")
    assert (result.code, filtered(result.out)) == (0, "no control plane runs on <home>\n")
    assert argosy("status", "--json").document == {"running": False, "home": str(argosy.home)}


def test_status_of_a_home_where_one_runs(shared: Command) -> None:
    lines = filtered(shared("status").out).splitlines()
    assert lines[:2] == ["the control plane has been up for <time>", "home      <home>"]
    assert shared("status", "--json").document["running"] is True


def test_down_says_what_it_stopped_and_a_second_one_that_nothing_runs(argosy: Command) -> None:
    argosy("run", "hello.py", "--detach", "--outcome", "hang")
    assert argosy("down").out == (
        "the control plane has stopped\nruns: hello-0001 (they resume at the next 'argosy up')\n"
    )
    assert filtered(argosy("down").out) == "nothing runs on <home>\n"
    assert argosy("down", "--json").document == {"stopped": False, "services": [], "runs": []}
    argosy("up")
    assert argosy("down", "--json").document == {"stopped": True, "services": [], "runs": ["hello-0001"]}


def test_runs_are_listed_newest_first(shared: Command) -> None:
    lines = filtered(shared("runs", "--limit", "10000").out).splitlines()
    assert lines[0].split() == ["RUN", "WORKFLOW", "STATE", "STARTED", "TIME", "STEPS", "USER"]
    assert lines[-1].split()[:-1] == [
        "hello-0001",
        "hello",
        "succeeded",
        "<when>",
        "1.5s",
        "3/3",
        "(1",
        "from",
        "cache)",
    ]
    assert lines[-2].split()[:5] == ["hello-0002", "hello", "failed", "<when>", "1.5s"]
    newest = shared("runs", "--json", "--limit", "1").document
    assert len(newest) == 1
    assert {"run", "workflow", "state", "nodes", "finished", "cached", "failed"} <= newest[0].keys()


def test_show_tells_a_run_in_full(shared: Command) -> None:
    assert filtered(shared("show", "hello-0002").out) == (
        "run       hello-0002\n"
        "workflow  hello\n"
        "state     failed, join failed: ValueError: no such luck\n"
        "started   <when> by <user>\n"
        "time      1.5s\n"
        '--name "world"\n'
        "--times 1\n"
        '--outcome "fail"\n'
        "--width 1\n"
        "--loud false\n"
        "\n"
        "NODE   STATE      TIME  DETAIL\n"
        "greet  succeeded  1.0s\n"
        "shout  cached           equal code and inputs, 3m old\n"
        "join   failed     1.0s  ValueError: no such luck\n"
        "\n"
        "attempts:\n"
        "  join #1: ValueError: no such luck, 1.0s\n"
        "\n"
        "reuse:\n"
        "  greet, join: no earlier result\n"
        "  shout: equal code and inputs, 3m old\n"
        "\n"
        "outputs:\n"
        '  greet: {"answer": 42}\n'
        "\n"
        "failures:\n"
        "  join failed: ValueError: no such luck\n"
        "    at line 7 of your code\n"
        "    its log: argosy logs hello-0002 join\n"
    )
    assert shared("show", "hello-0002", "--json").document["nodes"][2]["attempts"][0]["line"] == 7


def test_logs_of_a_run_and_of_one_node(shared: Command) -> None:
    assert shared("logs", "hello-0001", "join").out == "join begins\njoin ends\n"
    assert shared("logs", "hello-0001").out.startswith("greet | greet begins\nshout | shout begins\n")


def test_logs_follow_a_run_to_its_end(argosy: Command) -> None:
    argosy("run", "hello.py", "--detach", "--outcome", "hang")
    following = argosy.start("logs", "hello-0001", "join", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "join begins\n"
    argosy("cancel", "hello-0001")
    assert following.communicate(timeout=30)[0] == "join ends\n"


def test_a_reader_that_has_enough_is_no_error(shared: Command) -> None:
    reading = shared.start("logs", "hello-0001")
    assert reading.stdout is not None
    reading.stdout.close()
    assert reading.wait(30) == 0
    assert reading.stderr is not None
    assert reading.stderr.read() == ""
    reading.stderr.close()


def test_a_unique_beginning_of_an_id_is_enough(shared: Command) -> None:
    only = shared("runs", "--json").document[-1]["run"]
    assert shared("show", "hello-0001"[:-1] + "1", "--json").document["run"] == only
    assert shared("logs", "hello-0002"[:10], "join").code == 0
    empty = shared("show", "")
    assert (empty.code, empty.err.splitlines()[0]) == (2, "error: the id of a run is empty")
    ambiguous = shared("show", "hello-000")
    assert ambiguous.code == 2
    assert "may be any of" in ambiguous.err


def test_graph_in_its_three_forms(shared: Command) -> None:
    text = shared("graph", "hello.py", "--times", "2")
    assert text.code == 0
    assert "greet-2" in text.out
    assert shared("graph", "hello.py:hello", "--format", "mermaid").out.startswith("flowchart TD\n")
    document = shared("graph", "hello.py", "--format", "json", "--name=ada").document
    assert document["parameters"]["name"] == "ada"
    assert [node["id"] for node in document["nodes"]] == ["greet", "shout", "join"]


def test_graph_needs_no_control_plane(argosy: Command) -> None:
    assert argosy("graph", "hello.py").code == 0
    assert not argosy.home.exists()


def test_help_after_a_file_lists_the_parameters_of_its_workflow(shared: Command) -> None:
    assert shared("run", "hello.py", "--help").out == (
        "Usage: argosy run hello.py:hello [--PARAM VALUE ...]\n"
        "\n"
        "  Greet, several times.\n"
        "\n"
        "Parameters:\n"
        '  --name     str   default "world"    whom to greet\n'
        "  --times    int   default 1\n"
        '  --outcome  str   default "succeed"\n'
        "  --width    int   default 1\n"
        "  --loud     bool  default false\n"
    )


def test_a_bool_parameter_may_stand_alone_and_a_negative_value_is_a_value(shared: Command) -> None:
    result = shared("run", "hello.py", "--json", "--loud", "--name", "-1")
    assert (result.document["parameters"]["loud"], result.document["parameters"]["name"]) == (True, "-1")


def test_a_parameter_named_like_an_option_goes_after_two_dashes(argosy: Command) -> None:
    (argosy.folder / "odd.py").write_text(
        "import argosy as ar\n"
        "@ar.step\ndef one(x: str) -> str:\n    return x\n"
        "@ar.workflow\ndef odd(json: str, detach: bool = False) -> str:\n    return one(json)\n"
    )
    document = argosy("run", "odd.py", "--json", "--", "--json", "text", "--detach").document
    assert document["state"] == "succeeded"
    assert document["parameters"] == {"json": "text", "detach": True}


def test_a_thousand_nodes_of_one_step_are_one_row(shared: Command) -> None:
    result = shared("run", "hello.py", "--outcome", "wide", "--width", "1000")
    assert result.code == 1
    assert len(result.err.splitlines()) < 10
    assert "join ×1,000: failed in 1.0s, 1 failed · 999 done; join[999]: ValueError" in result.err
    assert "join[999] failed: ValueError: no such luck" in result.out
    assert "argosy logs" in result.out
    assert "'join[999]'" in result.out


def test_the_version_and_the_help_say_what_they_are(shared: Command) -> None:
    assert shared("--version").out == "argosy 0.1.0\n"
    words = shared("--help").out.split("Commands:")[1].split()
    assert all(
        name in words
        for name in (
            "run",
            "up",
            "down",
            "status",
            "runs",
            "show",
            "logs",
            "cancel",
            "graph",
            "services",
            "predict",
        )
    )
    assert shared().out == shared("--help").out
