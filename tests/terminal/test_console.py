import io
import json
import logging
import os
import signal
import subprocess
import sys
import warnings

import pytest

from mm.terminal.console import Console, Log, write_line


def test_stdout_without_json_contains_only_say_lines(capsys):
    """Results are text unless a script requests JSON."""
    console = Console(as_json=False, level="INFO")
    console.print("A = 1")
    console.set_json({"A": 1})
    console.close()
    assert capsys.readouterr().out == "A = 1\n"


def test_stdout_with_json_is_one_object(capsys):
    """A script may parse all of stdout or its last line."""
    console = Console(as_json=True, level="INFO")
    console.print("A = 1")
    console.set_json({"A": 1})
    console.close()
    assert json.loads(capsys.readouterr().out) == {"A": 1}


def test_no_json_is_printed_without_an_answer(capsys):
    """A command that failed early prints nothing that could be taken for a result."""
    Console(as_json=True, level="INFO").close()
    assert capsys.readouterr().out == ""


def test_nan_in_an_answer_raises_value_error():
    """An undefined value is null, with its reason."""
    console = Console(as_json=True, level="INFO")
    console.set_json({"A": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        console.close()


def test_progress_is_silent_in_a_pipe(capsys):
    """A crontab's mail has no progress bars."""
    with Console(as_json=False, level="INFO").progress("days", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    """A user who waits sees the progress, unless the log level is ERROR."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Console(as_json=False, level="INFO").progress("days", 3) as advance:
        advance(3)
    out, err = capsys.readouterr()
    assert out == ""
    assert "days" in err
    with Console(as_json=False, level="ERROR").progress("days", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_command_without_a_run_logs_to_the_terminal(capsys):
    """The same events, without a file."""
    console = Console(as_json=False, level="INFO")
    console.log.info("day_imported", gaps=2)
    console.close()
    assert capsys.readouterr().err.endswith("info    day_imported gaps=2\n")


@pytest.fixture
def log(tmp_path):
    opened = Log(tmp_path / "a" / "run.log", "INFO", run_id="r1", symbol="BTCUSDT")
    yield opened
    opened.close()


def lines(log: Log) -> list[dict]:
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_log_line_is_one_json_object_with_bound_values(log):
    """Scripts can parse run.log as JSON lines."""
    log.logger.info("day_loaded", events=804_000, took_ms=310)
    (line,) = lines(log)
    assert list(line) == ["ts", "level", "event", "run_id", "symbol", "events", "took_ms"]
    assert line | {"ts": ""} == {
        "ts": "",
        "level": "info",
        "event": "day_loaded",
        "run_id": "r1",
        "symbol": "BTCUSDT",
        "events": 804_000,
        "took_ms": 310,
    }
    assert line["ts"].endswith("Z")


def test_log_of_one_symbol_adds_it_to_each_line(capsys):
    """Recordings of several symbols share a log."""
    log = Log(None, "INFO")
    log.logger.bind(symbol="A").info("day_opened", path="x")
    log.close()
    assert capsys.readouterr().err.endswith("day_opened symbol=A path=x\n")


def test_path_with_undecodable_bytes_is_kept_in_the_file(log):
    """Folder names are bytes; ``os.fsencode`` of the value restores them."""
    log.logger.info("fit_taken", path="out\udcff")
    assert lines(log)[-1]["path"] == "out\udcff"


def test_terminal_shows_the_event_and_its_values(log, capsys):
    """As key=value; values with blanks are quoted."""
    log.logger.info("day_loaded", events=3, note="two words")
    assert capsys.readouterr().err[9:] == 'info    day_loaded events=3 note="two words"\n'


@pytest.mark.parametrize(
    ("level", "terminal", "file"),
    [
        ("DEBUG", ["seen", "begun", "odd"], ["seen", "begun", "odd"]),
        ("INFO", ["begun", "odd"], ["begun", "odd"]),
        ("ERROR", [], ["begun", "odd"]),
        ("CRITICAL", [], ["begun", "odd"]),
    ],
)
def test_log_level_applies_to_the_terminal_and_file_keeps_info(tmp_path, capsys, level, terminal, file):
    """The file documents the run, and a quiet terminal must not empty it."""
    log = Log(tmp_path / "run.log", level)
    log.logger.debug("seen")
    log.logger.info("begun")
    log.logger.warning("odd")
    log.close()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == terminal
    assert [line["event"] for line in lines(log)] == file


def test_log_without_a_file_obeys_the_log_level(capsys):
    """A command without a run writes only what the terminal shows."""
    log = Log(None, "ERROR")
    log.logger.warning("odd")
    log.logger.error("broken")
    log.close()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["broken"]


def test_failure_is_in_the_file_at_any_level(tmp_path, capsys):
    """The traceback is always in run.log, and the terminal shows its one line only."""
    log = Log(tmp_path / "run.log", "CRITICAL")
    try:
        raise ZeroDivisionError("of\nnothing")
    except ZeroDivisionError as error:
        log.failed(error, 1)
    log.close()
    (line,) = lines(log)
    assert (line["event"], line["error"], line["exit_code"]) == ("run_failed", "ZeroDivisionError: of nothing", 1)
    assert "test_console.py" in line["traceback"]
    assert capsys.readouterr().err == ""


def test_messages_of_other_packages_go_to_the_same_file(log, capsys):
    """Nothing is printed past the log, including warnings."""
    logging.getLogger("websockets.client").warning("lost %s", "it")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    first, second = lines(log)
    assert (first["package"], first["message"]) == ("websockets.client", "lost it")
    assert second["message"].endswith("UserWarning: careful")
    assert capsys.readouterr().err.count("\n") == 2


def test_closed_log_receives_nothing(log):
    """Two runs in one process do not write into each other's files."""
    log.close()
    logging.getLogger("websockets.client").error("late")
    assert lines(log) == []


def test_second_attempt_appends(tmp_path):
    """The log of a failed run is kept when its name is used again."""
    for number in (1, 2):
        log = Log(tmp_path / "run.log", "INFO")
        log.logger.info("began", attempt=number)
        log.close()
    assert [line["attempt"] for line in lines(log)] == [1, 2]


def test_colour_is_used_only_on_terminals_without_no_color(log, capsys, monkeypatch):
    """NO_COLOR is respected, and a pipe never gets an escape sequence."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    log.logger.info("one")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    log.logger.info("two")
    assert "\x1b[" not in capsys.readouterr().err


def test_closed_pipe_ends_the_output_but_not_the_work():
    """``mm backtest | head -1`` finishes its run."""
    code = """if True:
        import sys
        from mm.terminal.console import write_line
        for _ in range(3): write_line(sys.stdout, 'x' * 100_000)"""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-c", code], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("encoding", "minus"), [("ascii", "\\u2212"), ("latin-1", "\\u2212"), ("utf-8", "−")])
def test_unencodable_characters_are_escaped(encoding, minus):
    """No run fails because of a character or of a folder name that is not UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    write_line(stream, "x − 1 in \udcff")
    assert stream.buffer.getvalue().decode(encoding) == f"x {minus} 1 in \\udcff\n"


def test_minus_is_plain_except_on_a_terminal(capsys, monkeypatch):
    """Pipes and files are read by programs; a terminal by people."""
    console = Console(as_json=False, level="INFO")
    console.print("PnL −1.5 … −0.5")
    assert capsys.readouterr().out == "PnL -1.5 … -0.5\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    console.print("PnL −1.5")
    assert capsys.readouterr().out == "PnL −1.5\n"


def test_line_is_written_at_once(capsys):
    """The reader of a pipe gets each result immediately."""
    write_line(sys.stdout, "x")
    assert capsys.readouterr().out == "x\n"


def test_lines_printed_during_progress_appear_above_the_bar(capsys, monkeypatch):
    """The line of the bar is cleared first, and drawn again below with the next step."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(as_json=False, level="INFO")
    with console.progress("play", 4) as advance:
        advance(2)
        console.print("PnL 1.0")
        console.log.info("half", done=2)
        advance(1)
    console.print("end")
    console.close()
    out, err = capsys.readouterr()
    assert out == "PnL 1.0\nend\n"
    before, _, after = err.partition("half done=2\n")
    assert "play" in before
    assert "50%" in before
    assert "\r\x1b[K" in before[before.rindex("50%") :]
    assert "play" in after
    assert "75%" in after


IMPORTED = "import mm.__main__, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
INTERRUPTS = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "mm.cli.frame":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""


def test_interrupt_during_import_leaves_no_traceback():
    """Python's default handler would print a traceback of the import machinery; the shell shows 130 by itself."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTS + IMPORTED], capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_importing_the_program_keeps_the_interrupt_handler():
    """A notebook that imports the commands must not end at Ctrl-C."""
    ended = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, check=True, text=True)
    assert ended.stdout == "True\n"
