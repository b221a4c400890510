import json

import pytest

from mm.cli.console import Console


def test_without_json_stdout_is_what_was_said(capsys):
    """Results are for people unless a script asks."""
    console = Console(as_json=False, level="INFO")
    console.say("A = 1")
    console.answer({"A": 1})
    console.close()
    assert capsys.readouterr().out == "A = 1\n"


def test_with_json_stdout_is_one_object(capsys):
    """A script reads the whole of stdout, or its last line, and gets the same."""
    console = Console(as_json=True, level="INFO")
    console.say("A = 1")
    console.answer({"A": 1})
    console.close()
    assert json.loads(capsys.readouterr().out) == {"A": 1}


def test_without_an_answer_there_is_no_json(capsys):
    """A command that failed early prints nothing that could be taken for a result."""
    Console(as_json=True, level="INFO").close()
    assert capsys.readouterr().out == ""


def test_nan_is_no_answer():
    """An undefined value is null, and whoever computed it says so."""
    console = Console(as_json=True, level="INFO")
    console.answer({"A": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        console.close()


def test_progress_is_silent_in_a_pipe(capsys):
    """A crontab's mail holds no bars."""
    with Console(as_json=False, level="INFO").progress("days", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    """Whoever waits sees how long; whoever asked for errors alone does not."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Console(as_json=False, level="INFO").progress("days", 3) as advance:
        advance(3)
    out, err = capsys.readouterr()
    assert out == ""
    assert "days" in err
    with Console(as_json=False, level="ERROR").progress("days", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_a_command_without_a_run_logs_to_the_terminal(capsys):
    """The same events, without a file."""
    console = Console(as_json=False, level="INFO")
    console.log.info("day_imported", gaps=2)
    console.close()
    assert capsys.readouterr().err.endswith("info    day_imported gaps=2\n")
