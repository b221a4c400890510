import io
import json
import logging
import os
import signal
import subprocess
import sys
import warnings

import pytest

from mm.cli.console import Console, Log, clock_text, interruptible, write_line


def test_without_json_stdout_is_what_was_said(capsys):
    """Results are for people unless a script requests JSON."""
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
    """An undefined value is null, with its reason."""
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
    """A user who waits gets the progress; one who requested only errors does not."""
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


@pytest.fixture
def log(tmp_path):
    opened = Log(tmp_path / "a" / "run.log", "INFO", run_id="r1", symbol="BTCUSDT")
    yield opened
    opened.close()


def lines(log: Log) -> list[dict]:
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_a_line_is_one_json_object_with_what_was_bound(log):
    """Scripts read run.log without a parser of their own."""
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


def test_a_path_that_is_no_text_stays_readable_in_the_file(log):
    """Names of folders are bytes; ``os.fsencode`` of the value gives them back."""
    log.logger.info("fit_taken", path="out\udcff")
    assert lines(log)[-1]["path"] == "out\udcff"


def test_the_terminal_gets_the_event_and_its_numbers(log, capsys):
    """Key=value reads at a glance; values with blanks are quoted."""
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
def test_log_level_is_the_terminals_and_the_file_holds_info_and_above(tmp_path, capsys, level, terminal, file):
    """The file is what remains of a run, and a quiet terminal must not empty it."""
    log = Log(tmp_path / "run.log", level)
    log.logger.debug("seen")
    log.logger.info("begun")
    log.logger.warning("odd")
    log.close()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == terminal
    assert [line["event"] for line in lines(log)] == file


def test_a_log_without_a_file_keeps_to_log_level(capsys):
    """A command that makes no run writes what the terminal shows and nothing else."""
    log = Log(None, "ERROR")
    log.logger.warning("odd")
    log.logger.error("broken")
    log.close()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["broken"]


def test_what_ended_a_run_is_in_the_file_at_any_level(tmp_path, capsys):
    """The traceback is in run.log always, and the terminal keeps to its one line."""
    log = Log(tmp_path / "run.log", "CRITICAL")
    try:
        raise ZeroDivisionError("of\nnothing")
    except ZeroDivisionError as error:
        log.failed(error)
    log.close()
    (line,) = lines(log)
    assert (line["event"], line["error"]) == ("run_failed", "ZeroDivisionError: of nothing")
    assert "test_console.py" in line["traceback"]
    assert capsys.readouterr().err == ""


def test_what_other_packages_say_arrives_in_the_same_file(log, capsys):
    """Nothing is printed past the log, warnings included."""
    logging.getLogger("websockets.client").warning("lost %s", "it")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    first, second = lines(log)
    assert (first["package"], first["message"]) == ("websockets.client", "lost it")
    assert second["message"].endswith("UserWarning: careful")
    assert capsys.readouterr().err.count("\n") == 2


def test_a_closed_log_hears_nothing(log):
    """Two runs in one process do not write into each other's files."""
    log.close()
    logging.getLogger("websockets.client").error("late")
    assert lines(log) == []


def test_a_second_attempt_appends(tmp_path):
    """The log of a failed run is kept when its name is used again."""
    for number in (1, 2):
        log = Log(tmp_path / "run.log", "INFO")
        log.logger.info("began", attempt=number)
        log.close()
    assert [line["attempt"] for line in lines(log)] == [1, 2]


def test_colour_is_for_terminals_that_want_it(log, capsys, monkeypatch):
    """NO_COLOR is honoured, and a pipe never gets an escape."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    log.logger.info("one")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    log.logger.info("two")
    assert "\x1b[" not in capsys.readouterr().err


def test_a_reader_that_has_gone_ends_the_talk_and_not_the_work():
    """``mm backtest | head -1`` finishes its run."""
    code = "import sys; from mm.cli.console import write_line\nfor _ in range(3): write_line(sys.stdout, 'x' * 100_000)"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-c", code], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("encoding", "minus"), [("ascii", "\\u2212"), ("latin-1", "\\u2212"), ("utf-8", "−")])
def test_what_a_terminal_cannot_show_ends_no_work(encoding, minus):
    """No run is lost for a sign, or for the name of a folder that is not UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    write_line(stream, "−1 in \udcff")
    assert stream.buffer.getvalue().decode(encoding) == f"{minus}1 in \\udcff\n"


def test_a_line_is_written_at_once(capsys):
    """A reader of a pipe gets each result when it is there."""
    write_line(sys.stdout, "x")
    assert capsys.readouterr().out == "x\n"


@pytest.mark.parametrize(
    ("number", "plain"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)]
)
def test_who_takes_over_a_signal_in_a_command_keeps_it(number, plain):
    """A trader ignores it once it ends, until the process is gone; one ignored from the start stays so."""
    before = signal.getsignal(number)
    try:
        signal.signal(number, plain)
        with interruptible():
            assert signal.getsignal(number) != plain
        assert signal.getsignal(number) == plain
        with interruptible():
            signal.signal(number, signal.SIG_IGN)
        assert signal.getsignal(number) == signal.SIG_IGN
        with interruptible():
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_what_is_printed_meanwhile_stands_above_the_bar(capsys, monkeypatch):
    """A result glued to a bar cannot be read: the line of the bar is emptied first, and drawn again below."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(as_json=False, level="INFO")
    with console.progress("play", 4) as advance:
        advance(2)
        console.say("PnL 1.0")
        console.log.info("half", done=2)
    console.say("end")
    out, err = capsys.readouterr()
    assert out == "PnL 1.0\nend\n"
    console.close()
    before, _, after = err.partition("half done=2\n")
    assert before.rpartition("\r\x1b[K")[0].endswith("left\x1b[K")
    assert after.startswith("\rplay  [")
    assert err.endswith("\r\x1b[K")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (7322, "2:02:02")])
def test_the_time_left_reads_like_a_clock(seconds, text):
    """Nobody divides by sixty."""
    assert clock_text(seconds) == text


IMPORTED = "import mm.__main__, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
INTERRUPTS = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "mm.cli.frame":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""


def test_an_interrupt_while_the_program_is_imported_leaves_no_traceback():
    """The default handler of Python would print one of the import machinery; the shell shows 130 by itself."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTS + IMPORTED], capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_who_imports_the_program_keeps_the_handler_of_interrupts():
    """A notebook that imports the commands must not end at Ctrl-C."""
    ended = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, check=True, text=True)
    assert ended.stdout == "True\n"
