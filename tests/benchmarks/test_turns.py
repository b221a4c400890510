"""``mm bench`` on a day of a few minutes: rows and JSON are whole, whatever the times are."""

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
    done = run_python("-m", "mm.bench", "engine", "parse", *flags, cwd=folder, ORDER_TTL_MS="1")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout), folder


def test_every_row_is_whole(answer):
    """Two numbers, their ratio and its spread; none of them missing or absurd."""
    said, _ = answer
    rows = {name: {row["name"]: row for row in part["rows"]} for name, part in said["measured"].items()}
    assert set(rows) == {"engine", "parse"}
    against = [*["hftbacktest"] * 11, "attached", *["its share"] * 8]
    assert [row["against"] for row in rows["engine"].values()] == against
    for row in list(rows["engine"].values())[:6]:
        # a kernel that counts by ticks may find no time in so short a play
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


def test_the_work_that_was_done_is_told_beside_the_times(answer):
    """A fast run that did nothing is no fast run."""
    facts = answer[0]["measured"]["engine"]["facts"]
    assert facts["rows"] > 1_000
    assert (facts["orders"]["hftbacktest"], facts["fills"]["hftbacktest"]) == (40, 7)
    assert len(facts["of the whole process"]) == 5


def test_the_answer_is_kept_and_the_runs_are_not(answer):
    """A measurement leaves its numbers, the day and the tape, and no hundred megabytes of orders."""
    said, folder = answer
    path = Path(said.pop("path"))
    assert path == folder / "out" / "bench" / f"{said['stamp']}.json"
    assert json.loads(path.read_text()) == said
    assert (said["hours"], said["peer"]) == (0.05, True)
    assert not list((folder / "out" / "bench" / "backtest").glob("*/*"))
    assert (folder / "out" / "bench" / "yardstick_0.05h" / "events.npy").is_file()


def test_the_yardstick_is_made_once(answer, scripts):
    """It takes minutes; the peer's copy is made only where a peer is."""
    _, folder = answer
    done = run_python(
        *("-m", "mm", "bench", "parse", "--yardstick", str(scripts), "--hours", "0.05", "--turns", "1"), cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "gzip -dc" in done.stdout
    assert (scripts / "calls").read_text().splitlines() == ["--hours 0.05", "--hours 0.05 --no-day --events-npz"]


def test_without_a_peer_its_rows_are_left_out(scripts, tmp_path):
    """One line names the way to get one; nothing else is missing."""
    found = engine.measure(Bench(recorded(day_folder(scripts)), tmp_path, turns=1))
    assert [row.theirs for row in found.rows[:10]] == [[]] * 10
    assert all(row.ours[0] >= 0 for row in found.rows)
    assert found.notes == [NO_PEER]
    assert "python -m venv" in found.lines("engine")[-1]


def test_another_day_has_no_peer(scripts):
    """The peer reads its own copy of the yardstick day, so it has nothing to say about another."""
    settings = Settings(bench_day=day_folder(scripts), bench_peer=Path(sys.executable))
    bench = settings.bench(Console(as_json=True, level="INFO"))
    assert (bench.peer, bench.quote_qty, bench.no_peer) == (None, None, NO_EVENTS)


def test_startup_is_measured_in_interpreters(scripts, tmp_path, monkeypatch):
    """Each help and each import against an interpreter that does nothing."""
    monkeypatch.setattr(commands, "IMPORTS", ("mm",))
    found = commands.startup(Bench(recorded(day_folder(scripts)), tmp_path, turns=2))
    assert [row.name for row in found.rows] == ["mm --help", "mm backtest --help", "import mm"]
    assert all(len(row.ours) == len(row.theirs) == 2 for row in found.rows)


def test_a_ratio_is_of_medians_and_its_spread_of_turns():
    """One slow turn moves the spread, not the ratio."""
    row = Row("x", "s", [1.0, 1.0, 10.0], "y", [8.0, 9.0, 10.0], "8")
    assert (row.ratio, row.of_turns()) == (9.0, [1.0, 8.0, 9.0])
    assert "9  (1 to 9)" in row.line()
    assert json.dumps(Measured([row]).to_json())


def test_nothing_divides_by_a_time_too_short_to_see():
    """A clock that has not ticked gives no ratio rather than infinity."""
    row = Row("x", "s", [0.0], "y", [1.0])
    assert (row.ratio, row.of_turns(), row.to_json()["least"]) == (None, [], None)


def test_a_process_is_timed_and_its_last_line_read():
    """What it printed before is its own affair."""
    ran = run([sys.executable, "-c", "print('hello'); print('{\"a\": 1}')"])
    assert ran.said == {"a": 1}
    assert ran.wall_s > 0
    assert ran.peak_mb > 1


def test_a_process_that_fails_is_told_with_its_last_words():
    """Not with a row of nonsense."""
    with pytest.raises(MMError, match="ended with 3: the reason"):
        run([sys.executable, "-c", "import sys; print('the reason', file=sys.stderr); sys.exit(3)"])


def test_a_check_that_finds_defects_has_done_its_work():
    """Code 3 is its answer then; without a JSON object it is a day that cannot be read, and no other command's."""
    found = "print('{\"ok\": false}'); raise SystemExit(3)"
    assert run([sys.executable, "-c", found], defects=3).said == {"ok": False}
    for code, defects in ((found, 0), ("raise SystemExit(3)", 3), (found.replace("3", "4"), 3)):
        with pytest.raises(MMError, match="ended with"):
            run([sys.executable, "-c", code], defects=defects)


def test_the_shell_s_knobs_do_not_reach_what_is_measured(monkeypatch):
    """ORDER_TTL_MS of a session before would measure another strategy."""
    monkeypatch.setenv("ORDER_TTL_MS", "1")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    assert not {"ORDER_TTL_MS", "PYTHONDONTWRITEBYTECODE"} & set(run([sys.executable, "-c", code]).said)


def test_what_is_missing_is_named_with_the_way_out(tmp_path):
    """The yardstick's scripts and a named day."""
    yardstick = Yardstick(tmp_path, 1.0, tmp_path / "out")
    with pytest.raises(DataError, match=r"gen_day\.py: there is no such script; give --yardstick \(YARDSTICK\)"):
        yardstick.day(Console(as_json=True, level="INFO"))
    with pytest.raises(MissingDay):
        recorded(tmp_path / "BTCUSDT" / "20250106")
    assert not (tmp_path / "out").exists()


def test_a_generator_that_leaves_nothing_leaves_no_half_day(scripts, tmp_path):
    """The next run must not take an empty folder for the day."""
    (tmp_path / "gen_day.py").write_text("")
    yardstick = Yardstick(tmp_path, 1.0, tmp_path / "out")
    with pytest.raises(DataError, match="left no data"):
        yardstick.day(Console(as_json=True, level="INFO"))
    assert not yardstick.root.exists()


def test_an_unknown_measurement_lists_the_known(tmp_path):
    """Only what exists is listed."""
    done = run_python("-m", "mm.bench", "recoder", cwd=tmp_path)
    assert done.returncode == 2
    assert all(name in done.stderr for name in MEASUREMENTS)


def test_memory_of_the_process_that_measures_is_not_counted():
    """Linux begins the peak of a program with that of the one that starts it."""
    held = bytearray(b"1") * (300 << 20)
    assert run([sys.executable, "-I", "-S", "-c", "pass"]).peak_mb < 100
    assert held


def test_a_program_that_is_not_there_is_named():
    """It has no exit code."""
    with pytest.raises(
        MMError, match=r"no_such_program -x: ended with no exit code: FileNotFoundError.*no_such_program"
    ):
        run(["no_such_program", "-x"])
