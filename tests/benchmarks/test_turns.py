"""``mm bench`` on a day of a few minutes: rows and JSON are complete, independent of the measured times."""

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks import commands, engine
from benchmarks.__main__ import MEASUREMENTS, Settings
from benchmarks.turns import NO_EVENTS, NO_PEER, Bench, Measured, Row, recorded, run
from benchmarks.yardstick import Yardstick
from mm.cli.console import Console
from mm.dayfolder.layout import DayFolder
from mm.errors import DataError, MissingDay, MMError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session
from support import run_python

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

GENERATOR = """
import shutil, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True)
if "--no-day" not in sys.argv:
    shutil.copytree(Path(__file__).parent / "data", out / "data")
if "--events-npz" in sys.argv:
    (out / "events.npy").write_bytes(b"events")
with (Path(__file__).parent / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[3:]) + "\\n")
"""
PEER = """
import json
run = {"load_s": 0.25, "run_s": 2.0, "run_user_s": 1.5, "sent": 40, "fills": 7}
print(json.dumps({"runs": [run], "load_s": 0.25, "run_s": 2.0}))
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """A yardstick whose generator copies a simulated day, and whose peer reports fixed seconds."""
    folder = tmp_path_factory.mktemp("yardstick")
    day = DayFolder(folder / "data", "SIMUSDT", "20260105")
    make_day(day, PoissonMarket(), Session(day.symbol, day.day, 0.05, 7))
    (folder / "gen_day.py").write_text(GENERATOR)
    (folder / "bench_hftbacktest.py").write_text(PEER)
    return folder


def day_folder(scripts: Path) -> Path:
    return scripts / "data" / "SIMUSDT" / "20260105"


@pytest.fixture(scope="module")
def answer(scripts, tmp_path_factory):
    """The output of ``mm bench engine parse`` with a peer, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("bench")
    flags = ["--yardstick", str(scripts), "--hours", "0.05", "--peer", sys.executable, "--turns", "1", "--json"]
    process = run_python("-m", "mm.bench", "engine", "parse", *flags, cwd=folder, ORDER_TTL_MS="1")
    assert (process.returncode, process.stderr) == (0, "")
    return json.loads(process.stdout), folder


def test_answer_has_complete_rows_with_finite_ratios(answer):
    """Both values, their ratio and its spread are present and plausible."""
    output, _ = answer
    rows = {name: {row["name"]: row for row in part["rows"]} for name, part in output["measured"].items()}
    assert set(rows) == {"engine", "parse"}
    against = [*["hftbacktest"] * 10, "attached", *["its share"] * 8]
    assert [row["against"] for row in rows["engine"].values()] == against
    for row in list(rows["engine"].values())[:6]:
        # a kernel that counts in ticks may measure no time in a short play
        assert row["user_ratio"] == (pytest.approx(row["their_user"] / row["user"]) if row["user"] else None)
        assert row["their_user"] == 1.5
    for row in (row for part in rows.values() for row in part.values() if row["theirs"] is not None and row["ours"]):
        assert row["ratio"] == pytest.approx(row["theirs"] / row["ours"])
        assert math.isfinite(row["ratio"])
        assert row["least"] <= row["greatest"]
    assert rows["engine"]["play the day"]["theirs"] == 2.0
    assert rows["parse"]["parse, peak memory"]["ratio"] is None
    assert rows["parse"]["parse and keep, peak memory"]["ratio"] is None
    assert rows["parse"]["open a kept tape"]["against"] == "parse"


def test_facts_report_work_of_measured_runs(answer):
    """The counts show that the measured runs did their work."""
    facts = answer[0]["measured"]["engine"]["facts"]
    assert facts["rows"] > 1_000
    assert (facts["orders"]["hftbacktest"], facts["fills"]["hftbacktest"]) == (40, 7)
    assert len(facts["of the whole process"]) == 5


def test_answer_is_stored_and_runs_are_removed(answer):
    """A measurement leaves its results, the day and the tape, but no runs with large order files."""
    output, folder = answer
    path = Path(output.pop("path"))
    assert path == folder / "out" / "bench" / f"{output['stamp']}.json"
    assert json.loads(path.read_text()) == output
    assert (output["hours"], output["peer"]) == (0.05, True)
    assert not list((folder / "out" / "bench" / "backtest").glob("*/*"))
    assert (folder / "out" / "bench" / "yardstick_0.05h" / "events.npy").is_file()


def test_yardstick_is_created_once(answer, scripts):
    """It takes minutes; the peer's copy is only created with a peer."""
    _, folder = answer
    process = run_python(
        *("-m", "mm", "bench", "parse", "--yardstick", str(scripts), "--hours", "0.05", "--turns", "1"), cwd=folder
    )
    assert process.returncode == 0, process.stderr
    assert "gzip -dc" in process.stdout
    assert (scripts / "calls").read_text().splitlines() == ["--hours 0.05", "--hours 0.05 --no-day --events-npz"]


def test_rows_without_peer_have_no_reference_values(scripts, tmp_path):
    """A note describes how to get a peer; all other rows are complete."""
    measured = engine.measure(Bench(recorded(day_folder(scripts)), tmp_path, turns=1))
    assert [row.theirs for row in measured.rows[:10]] == [[]] * 10
    assert all(row.ours[0] >= 0 for row in measured.rows)
    assert measured.notes == [NO_PEER]
    assert "python -m venv" in measured.lines("engine")[-1]


def test_bench_of_other_day_has_no_peer(scripts):
    """The peer reads its own copy of the yardstick day, so it cannot play another day."""
    settings = Settings(bench_day=day_folder(scripts), bench_peer=Path(sys.executable))
    bench = settings.bench(Console(as_json=True, level="INFO"))
    assert (bench.peer, bench.quote_qty, bench.no_peer) == (None, None, NO_EVENTS)


def test_startup_compares_helps_and_imports_with_idle_interpreter(scripts, tmp_path, monkeypatch):
    """Each help page and each import is compared with an idle interpreter."""
    monkeypatch.setattr(commands, "IMPORTS", ("mm",))
    measured = commands.startup(Bench(recorded(day_folder(scripts)), tmp_path, turns=2))
    assert [row.name for row in measured.rows] == ["mm --help", "mm backtest --help", "import mm"]
    assert all(len(row.ours) == len(row.theirs) == 2 for row in measured.rows)


def test_ratio_uses_medians_and_spread_uses_turns():
    """One slow turn changes the spread, not the ratio."""
    row = Row("x", "s", [1.0, 1.0, 10.0], "y", [8.0, 9.0, 10.0], "8")
    assert (row.ratio, row.turn_ratios()) == (9.0, [1.0, 8.0, 9.0])
    assert "9  (1 to 9)" in row.line()
    assert json.dumps(Measured([row]).to_json())


def test_row_with_zero_time_has_no_ratio():
    """A measured time of 0 gives no ratio, instead of infinity."""
    row = Row("x", "s", [0.0], "y", [1.0])
    assert (row.ratio, row.turn_ratios(), row.to_json()["least"]) == (None, [], None)


def test_run_returns_times_and_last_json_line():
    """Earlier lines of its output are ignored."""
    result = run([sys.executable, "-c", "print('hello'); print('{\"a\": 1}')"])
    assert result.output == {"a": 1}
    assert result.wall_s > 0
    assert result.peak_mb > 1


def test_run_raises_with_last_stderr_line_of_failed_process():
    """A failed process gives no row."""
    with pytest.raises(MMError, match="ended with 3: the reason"):
        run([sys.executable, "-c", "import sys; print('the reason', file=sys.stderr); sys.exit(3)"])


def test_run_accepts_finding_code_only_with_json_output():
    """Exit code 3 is accepted only with a JSON object, and only for the given code."""
    script = "print('{\"ok\": false}'); raise SystemExit(3)"
    result = run([sys.executable, "-c", script], finding_code=3)
    assert (result.output, result.code) == ({"ok": False}, 3)
    for source, finding_code in ((script, 0), ("raise SystemExit(3)", 3), (script.replace("3", "4"), 3)):
        with pytest.raises(MMError, match="ended with"):
            run([sys.executable, "-c", source], finding_code=finding_code)


def test_run_removes_knobs_of_the_shell(monkeypatch):
    """An ORDER_TTL_MS in the shell would change the measured strategy."""
    monkeypatch.setenv("ORDER_TTL_MS", "1")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    assert not {"ORDER_TTL_MS", "PYTHONDONTWRITEBYTECODE"} & set(run([sys.executable, "-c", code]).output)


def test_missing_scripts_and_days_raise_errors_with_hints(tmp_path):
    """The yardstick's scripts, and a given day."""
    yardstick = Yardstick(tmp_path, 1.0, tmp_path / "out")
    with pytest.raises(DataError, match=r"gen_day\.py: there is no such script; give --yardstick \(YARDSTICK\)"):
        yardstick.day(Console(as_json=True, level="INFO"))
    with pytest.raises(MissingDay):
        recorded(tmp_path / "BTCUSDT" / "20250106")
    assert not (tmp_path / "out").exists()


def test_generator_without_output_leaves_no_partial_day(scripts, tmp_path):
    """The next run must not use an empty folder as the day."""
    (tmp_path / "gen_day.py").write_text("")
    yardstick = Yardstick(tmp_path, 1.0, tmp_path / "out")
    with pytest.raises(DataError, match="left no data"):
        yardstick.day(Console(as_json=True, level="INFO"))
    assert not yardstick.root.exists()


def test_unknown_measurement_lists_available_ones(tmp_path):
    """The error lists all measurements."""
    process = run_python("-m", "mm.bench", "recoder", cwd=tmp_path)
    assert process.returncode == 2
    assert all(name in process.stderr for name in MEASUREMENTS)


def test_peak_memory_excludes_measuring_process():
    """On Linux, the peak memory of a program starts with that of its parent."""
    allocated = bytearray(b"1") * (300 << 20)
    assert run([sys.executable, "-I", "-S", "-c", "pass"]).peak_mb < 100
    assert allocated


def test_run_names_missing_program():
    """It has no exit code."""
    with pytest.raises(
        MMError, match=r"no_such_program -x: ended with no exit code: FileNotFoundError.*no_such_program"
    ):
        run(["no_such_program", "-x"])
