import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mm
from mm.commands.data import data_check as check_command
from mm.commands.data import data_coverage as coverage_command
from mm.commands.data import data_export as export_command
from mm.commands.data import data_import as import_command
from mm.commands.data import data_inspect as inspect_command
from mm.commands.data import data_repair as repair_command
from mm.errors import NeverSynced, RunExists, UsageError
from strategies import Story

START_US = 1_767_600_000_000_000  # 2026-01-05 09:00 in Berlin
START_MS = START_US // 1000
DAY = Path("data/SIMUSDT/20260105")


def line(after_ms: int, message: dict, stream: str = "") -> str:
    content = {"stream": stream, "data": message} if stream else message
    return f"{START_US + after_ms * 1000} {json.dumps(content)}\n"


def capture() -> str:
    snapshot = {"lastUpdateId": 10, "bids": [["99.99", "1.5"]], "asks": [["100.01", "2"]]}
    diff = {"e": "depthUpdate", "E": START_US // 1000, "s": "SIMUSDT", "U": 11, "u": 11, "b": [["99.98", "1"]], "a": []}
    trade = {"e": "trade", "E": START_US // 1000, "s": "SIMUSDT", "t": 7, "p": "100.01", "q": "0.5"}
    return "".join(
        [
            line(0, snapshot),
            line(100, diff, "simusdt@depth@100ms"),
            line(150, trade | {"T": START_US // 1000, "m": False, "M": True}, "simusdt@trade"),
            line(200, diff | {"U": 12, "u": 12, "b": [["99.98", "0"]]}, "simusdt@depth@100ms"),
        ]
    )


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with gzip.open("capture.gz", "wt") as file:
        file.write(capture())


def call(command, *args: str, **variables: str) -> Result:
    return CliRunner().invoke(command, args, env=variables)


def test_import_of_a_capture_writes_day_folders():
    """The command reports the files written, and the check finds no problem in them."""
    result = call(import_command, "capture.gz", "--symbol", "simusdt")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("20260105  2 diffs, 1 trade, 2 frames")
    assert DAY.is_dir()
    checked = call(check_command, str(DAY))
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout.splitlines()[-1].startswith(f"{DAY}: sealed; ")


def files_below(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore::UserWarning")  # beside the one that is expected
def test_python_imports_the_same_days_as_the_command():
    """`mm.load_capture` writes the same bytes, and returns the days as tapes that a backtest takes."""
    assert call(import_command, "capture.gz", "--symbol", "simusdt").exit_code == 0
    with pytest.warns(UserWarning, match="give tick_size if the exchange's is finer") as said:
        (tape,) = mm.load_capture("capture.gz", "simusdt", data_root="other")
    assert said[0].filename == __file__
    assert files_below("other") == files_below("data")
    assert len(tape) == len(mm.load_day(DAY)) > 0
    assert mm.backtest([tape], sensitivity=False).summary["days"] == ["20260105"]
    with pytest.raises(RunExists, match="already contains a recorded day; move it, or import into another data_root"):
        mm.load_capture(Path("capture.gz"), "SIMUSDT", data_root="other")


@pytest.mark.filterwarnings("ignore::UserWarning")  # beside the one that is expected
def test_python_import_tells_what_is_doubtful_and_refuses_what_cannot_be_played():
    """Doubts are Python's warnings; a file of which nothing can be played is an error, as for the command."""
    lines = capture().splitlines(keepends=True)
    Path("quiet").write_text("".join(row for row in lines if "@trade" not in row))
    with pytest.warns(UserWarning, match="0 trades, so a backtest fills only where the book moves"):
        mm.load_capture(["quiet"], "SIMUSDT", data_root="quiet_days")
    Path("torn").write_text("".join(lines[1:]))
    with pytest.raises(NeverSynced, match="no snapshot could be used"):
        mm.load_capture("torn", "SIMUSDT", data_root="torn_days")
    with pytest.raises(TypeError, match="did you mean tick_size"):
        mm.load_capture("capture.gz", "SIMUSDT", ticksize="0.01")
    with pytest.raises(UsageError, match="tick_size"):
        mm.load_capture("capture.gz", "SIMUSDT", tick_size="-1")


def test_day_without_trades_is_imported_with_a_warning():
    """The files are complete, but measurements on them are not of a market that trades."""
    with gzip.open("capture.gz", "wt") as file:
        file.writelines(row for row in capture().splitlines(keepends=True) if "@trade" not in row)
    result = call(import_command, "capture.gz", "--symbol", "simusdt")
    assert result.exit_code == 0
    assert "warning: 20260105: 0 trades, so a backtest fills only where the book moves" in result.stdout
    checked = call(check_command, str(DAY))
    assert checked.exit_code == 0
    assert checked.stdout.splitlines()[-1].startswith("note: 0 trades: ")
    assert json.loads(call(check_command, str(DAY), "--json").stdout)["trades"] == 0


def test_import_prints_json_and_takes_knobs_from_variables():
    """Knobs come from flags and variables as for any command."""
    result = call(import_command, "capture.gz", "--json", "--tick-size", "0.01", SYMBOL="SIMUSDT", RUN_ID="r7")
    output = json.loads(result.stdout)
    assert (output["symbol"], output["run_id"], output["days"][0]["trades"]) == ("SIMUSDT", "r7", 1)
    assert output["instrument"]["tick_size"] == "0.01"


def diffs(count: int, bids: list[list[str]]) -> list[str]:
    """Return changes of 0.1 s distance with consecutive ids, the first three with a valid bid."""
    update = {"e": "depthUpdate", "E": START_MS, "s": "SIMUSDT", "a": []}
    shown = [[["99.98", "1"]]] * 3 + [bids] * (count - 3)
    return [line(100 * n, update | {"U": 11 + n, "u": 11 + n, "b": b}) for n, b in enumerate(shown)]


@pytest.mark.parametrize("little", ["unreadable", "late snapshot"])
def test_an_import_that_could_use_little_says_so_and_ends_with_3(little):
    """What was read stays, so that one can look at it."""
    snapshot = capture().splitlines(keepends=True)[0]
    if little == "unreadable":
        Path("c").write_text("".join([snapshot, *diffs(600, [["NaN", "1"]])]))
    else:
        rows = diffs(600, [["99.98", "1"]])
        late = line(59_850, {"lastUpdateId": 609, "bids": [["99.99", "1.5"]], "asks": [["100.01", "2"]]})
        Path("c").write_text("".join([*rows[:599], late, rows[599]]))
    result = call(import_command, "c", "--symbol", "SIMUSDT")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert " of 60" in result.stderr
    assert DAY.is_dir()


def test_a_capture_of_which_no_message_can_be_used_says_why():
    """Prices finer than eight places are none of Binance's."""
    Path("c").write_text("".join(diffs(20, [["0.0000000012", "1"]])[3:]))
    result = call(import_command, "c", "--symbol", "SIMUSDT")
    assert (result.exit_code, Path("data").exists()) == (3, False)
    assert "none of 17 messages" in result.stderr
    assert "--price-scale" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--symbol", "X"], 2, "Missing argument 'CAPTURE...'"),
        (["capture.gz"], 2, "--symbol (SYMBOL) is missing"),
        (["gone.gz", "--symbol", "SIMUSDT"], 3, "gone.gz"),
        (["capture.gz", "--symbol", "SIMUSDT", "--tick-size", "0"], 2, "--tick-size (TICK_SIZE) was '0'"),
    ],
)
def test_invalid_import_fails_with_one_line(args, code, message):
    """Nothing is written."""
    result = call(import_command, *args)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(f"error: {message}")
    assert not Path("data").exists() or not list(Path("data").rglob("*.csv"))


def test_check_lists_defects_and_exits_with_3():
    """Text output has one line per defect, JSON a list."""
    call(import_command, "capture.gz", "--symbol", "SIMUSDT")
    trades = DAY / "trades_ws_SIMUSDT_20260105.csv"
    trades.write_text(trades.read_text() + "x\n")
    result = call(check_command, str(DAY), "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"], set(report)) == (
        3,
        False,
        {
            "ok",
            "sealed",
            "defects",
            "covered_s",
            "gaps",
            "trades",
            "trade_gaps",
            "trade_gaps_s",
            "trades_provable",
            "standing_s",
            "order_log",
            "fifo_consistency",
            "warnings",
        },
    )
    assert any(defect["file"] == trades.name for defect in report["defects"])
    assert result.stderr.startswith(f"error: {DAY}: {len(report['defects'])} defects")
    assert f"{trades.name}:2: " in call(check_command, str(DAY)).stdout


def test_check_finds_swapped_aggressors(tmp_path):
    """100 sells at the ask: the day is consistent otherwise, but ends with exit code 3."""
    trades = ((START_MS, n, START_MS, "101.00", "1.000", True, n, n, "ws") for n in range(1, 101))
    steps = [
        ("event", START_US, "run_start", 0, {"version": "1", "knobs": {}}),
        ("diff", START_US, START_MS, 1, 5, [], []),
        ("snapshot", START_US + 1, "initial", 5, [["99.00", "5.000"]], [["101.00", "7.000"]], 1),
        *(("trade", START_US + 2, *trade) for trade in trades),
    ]
    folder = Story([steps]).write(tmp_path)
    result = call(check_command, str(folder.path), "--json")
    defects = json.loads(result.stdout)["defects"]
    assert (result.exit_code, [(one["kind"], one["file"]) for one in defects]) == (
        3,
        [("aggressor", folder.trades.name)],
    )


def test_check_reports_an_unsealed_day():
    """There are no hashes to compare."""
    call(import_command, "capture.gz", "--symbol", "SIMUSDT")
    (DAY / "manifest_SIMUSDT_20260105.json").unlink()
    assert "not sealed, so checked without hashes" in call(check_command, str(DAY)).stdout


@pytest.mark.parametrize("command", [check_command, repair_command, coverage_command, inspect_command])
def test_day_commands_take_flags_variables_or_folder(command):
    """Flags and variables name the folder that is otherwise given as a path; the path takes precedence."""
    assert call(import_command, "capture.gz", "--symbol", "simusdt").exit_code == 0
    by_path = call(command, str(DAY), "--json")
    by_flags = call(command, "--symbol", "simusdt", "--day", "20260105", "--json")
    by_variables = call(command, "--json", SYMBOL="SIMUSDT", DAY="20260105", DATA_ROOT="data")
    by_path_and_variables = call(command, str(DAY), "--json", SYMBOL="OTHER", DAY="20990101")
    answers = [json.loads(done.stdout) for done in (by_path, by_flags, by_variables, by_path_and_variables)]
    assert set(answers[2].pop("settings_from")) == {"SYMBOL", "DAY", "DATA_ROOT"}
    answers[3].pop("settings_from", None)
    assert by_path.exit_code == 0
    assert answers == answers[:1] * 4


def test_a_day_is_exported_by_symbol_and_day():
    call(import_command, "capture.gz", "--symbol", "simusdt")
    assert call(export_command, "--symbol", "SIMUSDT", "--day", "20260105").exit_code == 0
    assert Path("out/parquet/SIMUSDT/20260105").is_dir()


def test_coverage_and_check_take_several_days():
    call(import_command, "capture.gz", "--symbol", "simusdt")
    both = call(coverage_command, "--symbol", "SIMUSDT", "--day", "20260105:20260106")
    assert (both.exit_code, "20260106" in both.stderr) == (3, True)
    checked = call(check_command, "--symbol", "SIMUSDT", "--day", "20260105:20260106")
    assert (checked.exit_code, "1 of 2 days have defects" in checked.stderr) == (3, True)
    for command in (check_command, coverage_command):
        no_day = call(command, "--symbol", "SIMUSDT")
        assert (no_day.exit_code, "give DAY_FOLDER, or --symbol" in no_day.stderr) == (2, True)


@pytest.mark.parametrize("command", [check_command, repair_command, coverage_command, export_command, inspect_command])
def test_wrong_day_error_lists_available_days(command):
    """As for every command that plays a day."""
    call(import_command, "capture.gz", "--symbol", "simusdt")
    other = call(command, "--symbol", "SIMUSDT", "--day", "20260109")
    assert other.exit_code == 3
    assert "SIMUSDT/20260109; available days: 20260105; set --data-root" in other.stderr
    above = call(command, str(DAY.parent))
    assert above.exit_code == 2
    assert "is not a day folder: its name is not YYYYMMDD; it has 20260105" in above.stderr


def test_check_of_a_missing_day_exits_with_3():
    """The message names the folder."""
    result = call(check_command, "data/SIMUSDT/20260106")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


def test_repair_reports_changes_and_leaves_a_sound_day():
    """A second repair reports that nothing changed."""
    call(import_command, "capture.gz", "--symbol", "SIMUSDT")
    frames = next(DAY.glob("orderbook*"))
    original = frames.read_bytes()
    frames.unlink()
    repaired = call(repair_command, str(DAY))
    assert repaired.exit_code == 0, repaired.output
    assert "written again" in repaired.stdout
    assert frames.read_bytes() == original
    answer = json.loads(call(repair_command, str(DAY), "--json").stdout)
    assert (answer["changed"], answer["after"]["ok"]) == (False, True)


def test_repair_with_remaining_defects_exits_with_3():
    """A script must not take a damaged day for a repaired one."""
    call(import_command, "capture.gz", "--symbol", "SIMUSDT")
    events = next(DAY.glob("events*"))
    events.write_text(events.read_text().replace("window_start", "window_stort", 1))
    result = call(repair_command, str(DAY))
    assert result.exit_code == 3
    assert "3 defects left" in result.stderr
