import errno
import json
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mm import errors
from mm.backtest.rules import Execution
from mm.base.common_knobs import Output
from mm.base.knobs import REQUIRED, Reader, knob
from mm.calibration.config import DELTAS
from mm.cli.frame import Command, Program, command, runner
from mm.play.calibration_knobs import Calibration
from mm.play.knobs import Day, Models, Results
from mm.runs.in_progress import Run
from mm.runs.manifest import read_manifest
from mm.terminal.console import Console
from support import ROOT, run_python

SHELL = {"SYMBOL": "BTCUSDT", "DAY": "20251216"}


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def call(program: click.Command, *args: str, **variables: str) -> Result:
    return CliRunner().invoke(program, args, env=SHELL | variables)


def _probe(run: Run, day: Day, execution: Execution, models: Models, calibration: Calibration) -> None:
    """Record the arguments."""
    arguments = {
        "symbol": day.symbol,
        "latency": execution.order_latency_ms,
        "fills": models.fill_model,
        "deltas": calibration.calib_deltas,
    }
    run.path("seen.json").write_text(json.dumps(arguments))
    run.artefact = "seen.json"


probe = runner(
    "calibration",
    Day,
    Execution,
    Models,
    Calibration,
    method="calib_method",
    defaults={"fill_model": "poisson"},
)(_probe)


def ending_with(error: BaseException) -> Command:
    def _main(_run: Run, _day: Day) -> None:
        raise error

    return runner("backtest", Day)(_main)


def json_answer(result: Result) -> dict:
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1), result.output
    return json.loads(result.stdout)


def test_flag_takes_precedence_over_environment_over_default():
    """The precedence is the same for every knob, and the manifest records the source."""
    results = [
        json_answer(call(probe, "--json")),
        json_answer(call(probe, "--json", ORDER_LATENCY_MS="20")),
        json_answer(call(probe, "--json", "--method", "fixed", "--order-latency-ms", "0.5", ORDER_LATENCY_MS="20")),
    ]
    assert [result["latency"] for result in results] == [50.0, 20.0, 0.5]
    knobs = [read_manifest(Path(result["path"]).parent)["knobs"]["order_latency_ms"] for result in results]
    assert [knob["source"] for knob in knobs] == ["default", "environment", "flag"]
    assert [knob["value"] for knob in knobs] == [50.0, 20.0, 0.5]


def test_empty_variable_counts_as_not_set():
    """A crontab may clear a variable."""
    assert json_answer(call(probe, "--json", ORDER_LATENCY_MS=""))["latency"] == 50.0


def test_command_may_have_its_own_default():
    """A walk-forward uses the poisson fill model by default."""
    assert json_answer(call(probe, "--json"))["fills"] == "poisson"
    assert json_answer(call(probe, "--json", FILL_MODEL="trade_cross"))["fills"] == "trade_cross"


def test_flags_of_the_core_document_are_accepted(tmp_path):
    """--method and --deltas are aliases of CALIB_METHOD and CALIB_DELTAS, and the method is a folder."""
    result = json_answer(call(probe, "--json", "--method", "ladder", "--deltas", "1,2,3,5,8,13", "--dwell-ms", "60000"))
    assert result["deltas"] == [1, 2, 3, 5, 8, 13]
    assert Path(result["path"]).relative_to(tmp_path).parts[:4] == ("out", "calibration", "ladder", "BTCUSDT")
    assert json_answer(call(probe, "--json", CALIB_METHOD="fixed", SYMBOL="ethusdt"))["symbol"] == "ETHUSDT"


def test_manifest_contains_every_knob_of_the_command():
    """Flags that were not given are included with their defaults."""
    knobs = read_manifest(Path(json_answer(call(probe, "--json"))["path"]).parent)["knobs"]
    assert knobs["calib_deltas"] == {"value": "1,2,3,5,8,13", "source": "default"}
    assert tuple(map(float, knobs["calib_deltas"]["value"].split(","))) == DELTAS
    assert knobs["out_root"] == {"value": "out", "source": "default"}
    assert {"log_level", "log_root", "run_id"} <= set(knobs)


def test_default_distances_are_accepted_where_unused():
    """A flag with the default value is not rejected, nor is the word for it."""
    for text in ("1,2,3,5,8,13", "auto"):
        result = json_answer(call(probe, "--json", "--deltas", text))
        assert result["deltas"] == list(DELTAS)
    assert "(CALIB_DELTAS) is 1,2, but" in call(probe, "--deltas", "1,2").stderr


def test_distances_with_a_fill_model_are_given_or_follow_the_flow():
    """By flag, by variable, or neither; the manifest records which, so that a reproduced run plays the same."""
    flags = ("--json", "--calib-fills", "trade_cross")
    for words, variables, value, source in (
        ((), {}, "auto", "default"),
        (("--deltas", "1,2,3,5,8,13"), {}, "1,2,3,5,8,13", "flag"),
        ((), {"CALIB_DELTAS": "1,2,3,5,8,13"}, "1,2,3,5,8,13", "environment"),
        (("--deltas", "auto"), {"CALIB_DELTAS": "1,2"}, "auto", "flag"),
    ):
        result = json_answer(call(probe, *flags, *words, **variables))
        assert result["deltas"] == (list(DELTAS) if value != "auto" else "auto")
        knobs = read_manifest(Path(result["path"]).parent)["knobs"]
        assert knobs["calib_deltas"] == {"value": value, "source": source}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--order-latency-ms", "-5"], "--order-latency-ms (ORDER_LATENCY_MS) was '-5': it must be a number between"),
        (["--order-latency-ms=nan"], "--order-latency-ms (ORDER_LATENCY_MS) was 'nan': it must be a number between"),
        (["--symbl", "X"], "No such option '--symbl'. Did you mean '--symbol'?; see "),
        (["--symbol"], "Option '--symbol' requires an argument"),
        (["--day", "2025"], "--day (DAY) was '2025': it must be YYYYMMDD"),
        (["extra"], "Got unexpected extra argument (extra)"),
        (["--out-root", "file"], "file/calibration/marks/BTCUSDT"),
    ],
)
def test_invalid_call_is_one_line_and_exits_with_2(args, message):
    """The line has the cause, the value, and where to find help."""
    Path("file").touch()
    result = call(probe, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


def test_missing_knob_is_named_by_flag_and_variable():
    """The caller may use either."""
    result = CliRunner().invoke(probe, ["--symbol", "BTCUSDT"])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --day (DAY) is missing; give the flag or set the variable; see root --help\n",
    )


def test_value_from_the_environment_is_checked_like_a_flag():
    """An error in a crontab is reported with its variable."""
    result = call(probe, ORDER_LATENCY_MS="fast")
    assert (result.exit_code, "(ORDER_LATENCY_MS) was 'fast'" in result.stderr) == (2, True)


def test_run_id_cannot_be_reused():
    """The second run is rejected before it does anything."""
    assert call(probe, "--run-id", "r").exit_code == 0
    result = call(probe, RUN_ID="r", LOG_LEVEL="ERROR")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--run-id (RUN_ID) 'r' was used before" in result.stderr


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.UsageError("a\nb"), 2, "a b"),
        (errors.MissingDay("no day"), 3, "no day"),
        (errors.FitError("no fit"), 4, "no fit"),
        (errors.SafetyError("no"), 5, "no"),
        (errors.TryLater("later"), 75, "later"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (NO_SPACE, 75, "no space: [Errno 28] No space left on device; free some and try again"),
        (
            OSError(errno.EIO, "Input/output error"),
            75,
            "the disk cannot be written: [Errno 5] Input/output error; repair",
        ),
        (FileNotFoundError(errno.ENOENT, "No", "x.csv"), 3, "x.csv: there is no such file or folder"),
        (NotADirectoryError(errno.ENOTDIR, "No", "a/b"), 3, "a/b: a part of the path is a file, not a folder"),
        (
            ModuleNotFoundError(name="scipy.stats"),
            2,
            "this command needs scipy; install it with: pip install '.[research]' in the checkout, or pip install "
            "'mm-research[research]'",
        ),
        (
            ModuleNotFoundError(name="mm.backtest.engine._engine"),
            2,
            "mm.backtest.engine._engine is not compiled; build it with",
        ),
        (EOFError("odd"), 1, "unforeseen EOFError: odd; the traceback is in out/logs/backtest/BTCUSDT/20251216/"),
        (ZeroDivisionError("x\ny"), 1, "unforeseen ZeroDivisionError: x y; the traceback is in out/logs"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failure_is_one_line_with_its_exit_code(error, code, message):
    """Scripts read the code, people the line; stderr has nothing else, and no folder is left."""
    result = call(ending_with(error), LOG_LEVEL="ERROR")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
    assert not list(Path("out").rglob("run_manifest.json"))
    assert not list(Path("out").rglob("*.partial"))


@pytest.mark.parametrize("level", ["ERROR", "DEBUG"])
def test_error_in_a_user_model_is_one_line_and_its_traceback_at_debug(level):
    def _main(_run: Run, _day: Day) -> None:
        try:
            raise KeyError("my own mistake")
        except KeyError as error:
            raise errors.ModelError("Mine.on_trade raised KeyError", "mine.py:7") from error

    result = call(runner("backtest", Day)(_main), LOG_LEVEL=level)
    lines = result.stderr.splitlines()
    assert (result.exit_code, lines[-1]) == (1, "error: mine.py:7: Mine.on_trade raised KeyError")
    assert ("KeyError: 'my own mistake'" in lines) == (level == "DEBUG")
    assert len(lines) == 1 or level == "DEBUG"


def test_unusable_fit_is_printed_and_exits_with_4():
    """A script gets the numbers and the code."""

    def _main(run: Run, _day: Day) -> None:
        run.path("poisson_fit.json").write_text('{"A": null}')
        run.artefact = "poisson_fit.json"
        raise errors.FitError("only 3 fills")

    main = runner("calibration", Day)(_main)

    result = call(main, "--json", LOG_LEVEL="ERROR")
    assert (result.exit_code, json.loads(result.stdout)["A"]) == (4, None)
    assert result.stderr == "error: only 3 fills\n"


def _halve(console: Console, results: Results, number: int) -> None:
    """Halve a number that is even."""
    console.print(f"{results.out_root}: {number // 2}")
    console.set_json({"half": number // 2})
    if number % 2:
        raise errors.DataError(f"{number} is odd")
    if number == 0:
        raise ZeroDivisionError("of nothing")


halve = command(arguments=[click.Argument(["number"], type=int)])(_halve)


def test_plain_command_prints_without_a_run():
    """No folder, no log file; otherwise the same frame."""
    assert call(halve, "4", "--out-root", "o").stdout == "o: 2\n"
    assert json_answer(call(halve, "4", "--json")) == {"half": 2}
    assert not list(Path().iterdir())


def test_plain_command_prints_its_answer_before_it_fails():
    """The findings of a check are printed although its exit code is 3."""
    result = call(halve, "5", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (3, '{"half": 2}\n', "error: 5 is odd\n")


def test_plain_command_shows_its_traceback_at_debug_level():
    """It has no run.log to keep it in."""
    result = call(halve, "0")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: unforeseen ZeroDivisionError: of nothing; LOG_LEVEL=DEBUG shows the traceback\n",
    )
    assert "Traceback" in call(halve, "0", LOG_LEVEL="DEBUG").stderr


def test_body_names_its_groups_of_knobs():
    """Also those of every command: the recorder writes its run into every row."""

    def _main(console: Console, output: Output) -> None:
        console.print(f"{output.run_id} {output.log_level}")

    main = command()(_main)

    assert call(main, RUN_ID="r", LOG_LEVEL="debug").stdout == "set by environment: RUN_ID=r\nr DEBUG\n"


TREE = Program(
    "tree",
    "A program.",
    {
        "half": ("Halve.", "test_cli_frame:halve"),
        "sub": ("More.", {"leaf": ("A leaf.", "test_cli_frame:halve")}),
        "gone": ("Not installed.", "no_such_package.module:main"),
        "empty": ("Nothing installed.", {"leaf": ("A leaf.", "mm.no_such_module:main")}),
    },
)


def test_program_lists_installed_commands():
    """An optional part that is not installed is not listed."""
    result = CliRunner().invoke(TREE, [])
    assert result.exit_code == 0
    assert "half  Halve." in result.stdout
    assert "sub   More." in result.stdout
    assert "gone" not in result.stdout + CliRunner().invoke(TREE, ["--help"]).stdout
    assert "empty" not in result.stdout


def test_program_calls_the_named_command():
    """Nested commands, with the same errors."""
    assert CliRunner().invoke(TREE, ["sub", "leaf", "4"]).stdout == "out: 2\n"
    assert CliRunner().invoke(TREE, ["half", "5"]).exit_code == 3
    assert "leaf  A leaf." in CliRunner().invoke(TREE, ["sub"]).stdout
    assert "Halve a number that is even." in CliRunner().invoke(TREE, ["half", "--help"]).stdout


def test_unknown_command_error_names_the_closest():
    """One line, exit code 2."""
    result = CliRunner().invoke(TREE, ["haf"])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: tree has no command 'haf'; it has half, sub; did you mean half?\n",
    )


def test_unknown_command_that_a_group_has_is_named_with_its_group():
    """``mm import`` means ``mm data import``."""
    result = CliRunner().invoke(TREE, ["leaf", "4"])
    assert result.exit_code == 2
    assert "did you mean tree sub leaf?" in result.stderr


def test_help_shows_variable_and_default():
    """The name of a variable need not be looked up."""
    text = " ".join(call(probe, "--help-all").stdout.split())
    assert "--order-latency-ms NUMBER Time from sending an order until it rests in the book. [ORDER_LATENCY_MS," in text
    assert "[ORDER_LATENCY_MS, default 50]" in text
    assert "[DAY] [required]" in text
    assert "[TICK_SIZE" not in text


@dataclass(frozen=True, kw_only=True)
class Many:
    """A knob whose flag may be repeated."""

    grid: str = knob(REQUIRED, Reader("TEXT", str.upper), "A list.", joined=";")


def _many(console: Console, many: Many) -> None:
    """Print the given value."""
    console.print(many.grid)


many = command(Many)(_many)


def test_repeated_flag_is_joined_and_its_variable_is_one_text():
    """``--grid a=1 --grid b=2`` and GRID="a=1; b=2" are the same knob, including blanks."""
    assert call(many, "--grid", "a=1", "--grid", "b={2 , 3}").stdout == "A=1;B={2 , 3}\n"
    assert call(many, GRID="a=1; b={2 , 3}").stdout.splitlines()[1:] == ["A=1; B={2 , 3}"]
    missing = call(many)
    assert missing.exit_code == 2
    assert "--grid (GRID) is missing" in missing.stderr


def test_incomplete_run_is_kept_and_exits_with_the_code_of_its_error():
    """Successful parts are kept; without a main output there is nothing to keep."""

    def failing(written: bool) -> Command:
        def _main(run: Run, day: Day) -> None:
            run.artefact = "found.json"
            if written:
                run.path("found.json").write_text("{}")
            raise errors.Incomplete("2 of 3 points failed", 3)

        return runner("sweep", Day)(_main)

    done = call(failing(written=True), RUN_ID="kept")
    assert done.exit_code == 3
    assert "error: 2 of 3 points failed" in done.stderr
    assert read_manifest(Path("out/sweep/BTCUSDT/20251216_kept"))["status"] == "incomplete"
    assert call(failing(written=False), RUN_ID="gone").exit_code == 3
    assert not Path("out/sweep/BTCUSDT/20251216_gone").exists()


def _own(console: Console, results: Results) -> None:
    """Say where results go."""
    console.print(f"own {results.out_root}")


own = command(Results)(_own)


def _other(console: Console, name: str) -> None:
    """Say a name."""
    console.print(f"other {name}")


other = command(arguments=[click.Argument(["name"])])(_other)


@pytest.fixture
def grouped(monkeypatch):
    """Return a program with a group that has its own command."""
    monkeypatch.setattr(errors, "own", own, raising=False)
    monkeypatch.setattr(errors, "other", other, raising=False)
    inside = {"": ("Say where.", "mm.errors:own"), "other": ("Say a name.", "mm.errors:other")}
    return Program("mm", "A program.", {"group": ("A group.", inside)})


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["group"], "own out"),
        (["group", "--out-root", "x"], "own x"),
        (["group", "other", "one"], "other one"),
    ],
)
def test_group_may_have_its_own_command(grouped, words, printed):
    """It is called where no other is named: options follow directly on the group."""
    result = call(grouped, *words)
    assert (result.exit_code, result.stdout) == (0, printed + "\n")


def test_help_of_a_group_with_a_command_lists_the_other_commands(grouped):
    """It is the help of the group's own command."""
    text = " ".join(call(grouped, "group", "--help").stdout.split())
    assert text.startswith("Usage: mm group [OPTIONS] Say where results go.")
    assert text.endswith("mm group other: Say a name.")
    unknown = call(grouped, "group", "third")
    assert unknown.exit_code == 2
    assert "has no command 'third'; it has other" in unknown.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help-all"], ["runs", "--help-all"], ["tapes", "list", "--help-all"]])
def test_help_all_works_on_every_command(words):
    """Also where the short help is whole; a model's parameter as a flag is told its knob."""
    process = run_python("-m", "mm", *words, cwd=ROOT)
    assert (process.returncode, process.stderr) == (0, "")
    wrong = run_python("-m", "mm", "backtest", "--gamma", "1", cwd=ROOT)
    assert wrong.returncode == 2
    assert 'QUOTE_PARAMS_JSON=\'{"gamma"' in wrong.stderr
