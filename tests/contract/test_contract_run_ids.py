"""Run ids, collisions of ids, output folders, and interrupted runs."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
from lab import Lab, environment, mm
from test_contract_bad_days import DAY, QUOTES, SYMBOL, leftover_runs, tiny

pytestmark = pytest.mark.slow  # a process for each case

OTHER, LATER = "OTHERUSDT", "20990101"
SLOW = """
import time
from pathlib import Path

class Slow:
    def quote(self, view):
        Path("started").touch()
        time.sleep(0.02)
"""


def variables_of(lab: Lab) -> dict[str, str]:
    return {"SYMBOL": SYMBOL, "DAY": DAY, "DATA_ROOT": str(tiny(lab)), **QUOTES}


def runs_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out/backtest" / SYMBOL).iterdir())


def test_duplicate_run_id_is_rejected(lab: Lab, tmp_path: Path) -> None:
    """Exit 2, one line with the id; the first run is unchanged."""
    first = mm("backtest", cwd=tmp_path, RUN_ID="mine", **variables_of(lab))
    assert first.code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out/backtest").rglob("*") if path.is_file()}
    second = mm("backtest", cwd=tmp_path, RUN_ID="mine", **variables_of(lab))
    assert second.code == 2
    (line,) = second.err.splitlines()
    assert "RUN_ID" in line
    assert "mine" in line
    assert {path: path.read_bytes() for path in (tmp_path / "out/backtest").rglob("*") if path.is_file()} == before
    assert runs_in(tmp_path) == [f"{DAY}_mine"]


def test_generated_ids_that_exist_get_number(lab: Lab, tmp_path: Path) -> None:
    """Ids are UTC timestamps; if the folders of these seconds exist, ids end in `_2`, `_3`, `_4`."""
    now = datetime.now(UTC)
    for second in range(60):
        stamp = (now + timedelta(seconds=second)).strftime("%Y%m%dT%H%M%SZ")
        (tmp_path / "out/backtest" / SYMBOL / f"{DAY}_{stamp}").mkdir(parents=True)
    taken = set(runs_in(tmp_path))
    running = [start(lab, tmp_path) for _ in range(3)]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    new = set(runs_in(tmp_path)) - taken
    assert len(new) == 3
    assert all(name.rsplit("_", 1)[1] in {"2", "3", "4"} for name in new)
    assert all((tmp_path / "out/backtest" / SYMBOL / name / "run_manifest.json").exists() for name in new)


def start(lab: Lab, cwd: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """Start a backtest without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "mm", "backtest", *flags],
        cwd=cwd,
        env=environment(**{**variables_of(lab), **variables}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until *path* exists or the process has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.001)
    assert path.exists()


@pytest.mark.parametrize(
    ("signal_number", "code", "line"),
    [(signal.SIGINT, 130, "error: interrupted"), (signal.SIGTERM, 143, "error: terminated")],
)
def test_signal_during_quote_ends_run_without_run_folder(
    lab: Lab, tmp_path: Path, signal_number: signal.Signals, code: int, line: str
) -> None:
    """One line on stderr; no run folder, whole or partial."""
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(lab, tmp_path, QUOTE_MODEL="slow:Slow", QUOTE_PARAMS_JSON="{}")
    wait_for(tmp_path / "started", process)
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines() == [line]
    assert out == ""
    assert leftover_runs(tmp_path) == []


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05])
def test_early_ctrl_c_removes_partial_folder(lab: Lab, tmp_path: Path, delay: float) -> None:
    """The partial folder is removed even if the signal arrives right after its creation."""
    process = start(lab, tmp_path, OUT_DIR="mine")
    wait_for(tmp_path / "mine.partial", process)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in {130, 0}
    assert not (tmp_path / "mine.partial").exists()
    assert (process.returncode == 0) == (tmp_path / "mine").exists()


def test_out_dir_is_run_folder(lab: Lab, tmp_path: Path) -> None:
    """Contract §2: OUT_DIR overrides the run folder; missing parents are created, the log keeps its place."""
    done = mm("backtest", cwd=tmp_path, OUT_DIR="a/b/c", RUN_ID="r", **variables_of(lab))
    assert done.code == 0
    assert (tmp_path / "a/b/c/run_manifest.json").exists()
    assert not (tmp_path / "out/backtest").exists()
    assert (tmp_path / f"out/logs/backtest/{SYMBOL}/{DAY}/r/run.log").exists()


def test_out_dir_is_shared_by_symbols_and_days(lab: Lab, tmp_path: Path) -> None:
    """Each run is a folder that every command reads; the tables share one folder, and nothing is overwritten."""
    both = {**variables_of(lab), "DATA_ROOT": str(other_symbol_and_day(tiny(lab), tmp_path / "data"))}
    first = mm("backtest", cwd=tmp_path, OUT_DIR="flat", **both)
    assert first.code == 0, first.err
    before = {path: path.read_bytes() for path in (tmp_path / "flat").iterdir()}
    second = mm("backtest", "--json", cwd=tmp_path, OUT_DIR="flat", **{**both, "SYMBOL": OTHER})
    later = mm("backtest", cwd=tmp_path, OUT_DIR="flat", **{**both, "DAY": LATER})
    assert (second.code, later.code) == (0, 0), second.err + later.err
    assert {path: path.read_bytes() for path in before} == before
    flat = tmp_path / "flat"
    for name in ("orders", "fills", "state"):
        table = flat / f"{name}_{OTHER}.csv"
        assert table.read_bytes() == (flat / f"{OTHER}_{DAY}" / table.name).read_bytes()
    assert json.loads(second.out.splitlines()[-1])["path"] == str(flat / f"{OTHER}_{DAY}" / "summary.json")
    listed = mm("runs", "list", "--out-root", "flat", "--json", cwd=tmp_path)
    runs = json.loads(listed.out.splitlines()[-1])
    assert [(run["symbol"], run["day"]) for run in runs["runs"]] == [(SYMBOL, DAY), (OTHER, DAY), (SYMBOL, LATER)]
    assert runs["others"] == []
    for folder in ("flat", f"flat/{OTHER}_{DAY}"):
        assert mm("runs", "reproduce", folder, cwd=tmp_path).code == 0
        assert mm("report", folder, cwd=tmp_path).code == 0
    assert mm("runs", "diff", "flat", f"flat/{OTHER}_{DAY}", cwd=tmp_path).code == 0


@pytest.mark.parametrize("again", [0, 1])
def test_out_dir_rejects_symbol_and_day_that_exist(lab: Lab, tmp_path: Path, again: int) -> None:
    """Exit 2, one line with OUT_DIR and the remedy; existing files are unchanged."""
    both = {**variables_of(lab), "DATA_ROOT": str(other_symbol_and_day(tiny(lab), tmp_path / "data"))}
    for symbol in (SYMBOL, OTHER):
        assert mm("backtest", cwd=tmp_path, OUT_DIR="flat", **{**both, "SYMBOL": symbol}).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "flat").rglob("*") if path.is_file()}
    third = mm("backtest", cwd=tmp_path, OUT_DIR="flat", **{**both, "SYMBOL": (SYMBOL, OTHER)[again]})
    assert third.code == 2
    (line,) = third.err.splitlines()
    assert "OUT_DIR" in line
    assert "name a new folder" in line
    assert {path: path.read_bytes() for path in (tmp_path / "flat").rglob("*") if path.is_file()} == before


def test_out_dir_without_run_manifest_is_rejected(lab: Lab, tmp_path: Path) -> None:
    """A folder without a manifest is not a run; its files are left unchanged."""
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / f"fills_{OTHER}.csv").write_text("mine")
    done = mm("backtest", cwd=tmp_path, OUT_DIR="flat", **variables_of(lab))
    assert done.code == 2
    assert [path.name for path in (tmp_path / "flat").iterdir()] == [f"fills_{OTHER}.csv"]


def other_symbol_and_day(root: Path, copy: Path) -> Path:
    """Copy the tiny day under its own name, under another symbol, and under another day."""
    for symbol, day in ((SYMBOL, DAY), (OTHER, DAY), (SYMBOL, LATER)):
        for path in (root / SYMBOL / DAY).rglob("*"):
            if path.is_file() and not path.name.startswith("manifest"):
                name = str(path.relative_to(root / SYMBOL / DAY)).replace(SYMBOL, symbol).replace(DAY, day)
                new = copy / symbol / day / name
                new.parent.mkdir(parents=True, exist_ok=True)
                is_text = path.suffix in {".csv", ".json"}
                new.write_bytes(
                    path.read_bytes().replace(SYMBOL.encode(), symbol.encode()) if is_text else path.read_bytes()
                )
    return copy


def test_folder_names_may_be_invalid_utf_8(lab: Lab, tmp_path: Path) -> None:
    """A disk mounted with another character set has such names; calibration, backtest and report work there."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    copytree(lab.sim("plain"), folder / "data")
    roots = {"DATA_ROOT": str(folder / "data"), "OUT_ROOT": str(folder / "out"), "DAY": "20260105", "SYMBOL": "SIMUSDT"}
    calibrated = mm("calibrate", "--run-id", "a", "--json", cwd=folder, **roots)
    assert (calibrated.code, calibrated.err) == (0, "")
    played = mm("backtest", "--fit", "last", "--json", cwd=folder, **roots)
    assert (played.code, played.err) == (0, "")
    assert json.loads(Path(calibrated.last["path"]).read_text())["A"] == calibrated.last["A"]
    assert "caf\\udce9" in Path(played.last["path"]).with_name("report.html").read_text()
