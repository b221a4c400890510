"""What a run is called, what happens to the name when it is taken, and what Ctrl-C leaves."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lab import Lab, environment, mm
from test_contract_bad_days import DAY, QUOTES, SYMBOL, remains, tiny

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


def test_a_run_id_given_twice_is_refused(lab: Lab, tmp_path: Path) -> None:
    """Exit 2, one line with the id; the first run stays as it was; another kind of run may have the name too."""
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


def test_generated_ids_that_exist_get_a_number(lab: Lab, tmp_path: Path) -> None:
    """UTC stamps; where the folders of this and the next seconds are taken, `_2`, then `_3`."""
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
    """Look until *path* is there or the process has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.001)
    assert path.exists()


def test_ctrl_c_while_a_model_quotes_ends_with_130_and_leaves_no_run(lab: Lab, tmp_path: Path) -> None:
    """One line on stderr; no run folder, whole or partial; the same id may be used again after a new try."""
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(lab, tmp_path, QUOTE_MODEL="slow:Slow", QUOTE_PARAMS_JSON="{}")
    wait_for(tmp_path / "started", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(err.splitlines()) == 1
    assert out == ""
    assert remains(tmp_path) == []


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05])
def test_ctrl_c_as_soon_as_the_partial_folder_is_there_removes_it(lab: Lab, tmp_path: Path, delay: float) -> None:
    """There is no moment between making the folder and minding it."""
    process = start(lab, tmp_path, OUT_DIR="mine")
    wait_for(tmp_path / "mine.partial", process)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in {130, 0}
    assert not (tmp_path / "mine.partial").exists()
    assert (process.returncode == 0) == (tmp_path / "mine").exists()


def test_an_out_dir_is_the_run_folder_itself(lab: Lab, tmp_path: Path) -> None:
    """Contract §2: OUT_DIR overrides the run folder; missing parents are made, the log stays where it was."""
    done = mm("backtest", cwd=tmp_path, OUT_DIR="a/b/c", RUN_ID="r", **variables_of(lab))
    assert done.code == 0
    assert (tmp_path / "a/b/c/run_manifest.json").exists()
    assert not (tmp_path / "out/backtest").exists()
    assert (tmp_path / f"out/logs/backtest/{SYMBOL}/{DAY}/r/run.log").exists()
