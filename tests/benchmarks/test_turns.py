"""``mm bench`` on a day of a few minutes: rows and JSON are complete, independent of the measured times."""

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks import commands, engine
from benchmarks.__main__ import MEASUREMENTS, Settings
from benchmarks.turns import NO_EVENTS, NO_PEER, Bench, recorded, run
from benchmarks.yardstick import Yardstick
from mm.errors import DataError, MissingDay
from mm.terminal.console import Console
from simulation import simulate_day
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
    simulate_day(folder / "data", hours=0.05, seed=7)
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
    output = json.loads(process.stdout)
    assert process.returncode == bool(output["missed"]), process.stderr  # a day of minutes may miss an aim
    assert all(missed in process.stderr for missed in output["missed"])
    assert all(row["aim"] or row["why_no_aim"] for part in output["measured"].values() for row in part["rows"])
    return output, folder


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
    assert process.returncode in (0, 1), process.stderr
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
