import json
import os
from pathlib import Path

import pytest

from begun_runs import begun, knob_of, plan_of
from mm.base.audit_chain import audit_path
from mm.errors import RunExists, UsageError
from mm.runs import plan as folders
from mm.runs.plan import CHECKPOINT, Plan, claim, new_page, partial_folder


@pytest.fixture(autouse=True)
def _clock(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "now_us", lambda: 1_765_951_200_000_000)
    monkeypatch.chdir(tmp_path)


def plan(kind="backtest", method=None, run_id=None, **day) -> Plan:
    return plan_of(kind, method, output={"run_id": run_id}, **day)


@pytest.mark.parametrize(
    ("kind", "method", "folder", "log"),
    [
        ("backtest", None, "backtest/BTCUSDT/20251216_r", "backtest/BTCUSDT/20251216/r"),
        ("calibration", "ladder", "calibration/ladder/BTCUSDT/20251216_r", "calibration/ladder/BTCUSDT/20251216/r"),
        ("schedule", None, "calibration/schedules/BTCUSDT/20251216_r", "schedule/BTCUSDT/20251216/r"),
        ("walkforward", None, "walkforward/BTCUSDT/20251216_r", "walkforward/BTCUSDT/20251216/r"),
        ("sweep", None, "sweep/BTCUSDT/20251216_r", "sweep/BTCUSDT/20251216/r"),
    ],
)
def test_run_and_log_are_in_the_documented_folders(kind, method, folder, log):
    """Scripts find runs by their paths."""
    planned = plan(kind, method)
    assert planned.folder("r") == Path("out") / folder
    assert planned.log_file("r") == Path("out/logs") / log / "run.log"


def test_several_days_share_one_folder():
    """A range is one run."""
    assert plan(day="20251216:20251218").folder("r").name == "20251216-20251218_r"


def test_logs_follow_the_output_unless_log_root_is_set():
    """A run into another folder leaves nothing in the current one."""
    assert plan(out_root=Path("/x")).log_file("r").is_relative_to("/x/logs")
    with_log_root = plan_of(output={"log_root": Path("/l")})
    assert with_log_root.log_file("r").is_relative_to("/l/backtest")


def test_generated_name_is_a_numbered_timestamp():
    """Two runs in the same second are two runs; a name is claimed by its partial folder."""
    assert [claim(plan()) for _ in range(3)] == ["20251217T060000Z", "20251217T060000Z_2", "20251217T060000Z_3"]


def test_generated_name_shares_no_log():
    """A failed run keeps its log to itself."""
    log = plan().log_file("20251217T060000Z")
    log.parent.mkdir(parents=True)
    log.touch()
    assert claim(plan()) == "20251217T060000Z_2"


@pytest.mark.parametrize("kind", ["trade", "flatten"])
def test_generated_name_is_none_that_an_audit_log_of_the_symbol_has(kind):
    """Regression: a trade within the second of a flatten ended with 2, which no supervisor starts again."""
    made = plan(kind)
    log = audit_path(made.day.out_root, made.day.symbol, "20251217", "20251217T060000Z")
    log.parent.mkdir(parents=True)
    log.touch()
    assert claim(made) == "20251217T060000Z_2"


@pytest.mark.parametrize("name", ["20251216_mine", "20251216_mine.partial"])
def test_given_name_cannot_be_reused(name):
    """An existing folder is never overwritten, nor one that is in use."""
    folder = plan(run_id="mine").folder("mine").with_name(name)
    folder.mkdir(parents=True)
    with pytest.raises(RunExists, match=r"run_id 'mine' was used before") as raised:
        claim(plan(run_id="mine"))
    leave_killed_run = name.endswith(".partial")
    assert ("or was killed; if none is, remove that folder" in str(raised.value)) == leave_killed_run
    assert name in str(raised.value)


def test_name_of_a_failed_run_may_be_reused():
    """Only its log is left, which continues."""
    log = plan().log_file("mine")
    log.parent.mkdir(parents=True)
    log.touch()
    assert claim(plan(run_id="mine")) == "mine"


def test_out_dir_is_the_run_folder_itself():
    """OUT_DIR=out_backtest gives the core document's layout."""
    assert plan(out_dir=Path("out_backtest")).folder("r") == Path("out_backtest")
    claim(plan(out_dir=Path("out_backtest")))
    assert Path("out_backtest.partial").is_dir()


def test_out_dir_must_be_new_or_empty():
    """Files of two runs are never mixed."""
    Path("empty").mkdir()
    claim(plan(out_dir=Path("empty")))
    Path("full").mkdir()
    Path("full/x").touch()
    with pytest.raises(RunExists, match="'full' is not empty"):
        claim(plan(out_dir=Path("full")))
    with pytest.raises(UsageError, match="to a file"):
        claim(plan(out_dir=Path("full/x")))
    with pytest.raises(RunExists, match=r"a run is writing it, or was killed; if none is, remove .*empty.partial"):
        claim(plan(out_dir=Path("empty")))


def test_name_used_with_out_dir_is_detected_by_its_log():
    """The folder does not contain the name there."""
    log = plan(run_id="mine").log_file("mine")
    log.parent.mkdir(parents=True)
    log.touch()
    with pytest.raises(RunExists, match="'mine' was used before"):
        claim(plan(run_id="mine", out_dir=Path("elsewhere")))


def test_unwritable_output_error_names_the_knob():
    """It is detected before the work, not after it."""
    Path("file").touch()
    with pytest.raises(UsageError, match=r"file/backtest/.* cannot be written \(Not a directory\); set out_root"):
        claim(plan(out_root=Path("file")))


def test_partial_folder_is_beside_the_run_folder(tmp_path):
    """Renaming is then one step on one disk."""
    assert partial_folder(Path("a/../b")) == tmp_path / "b.partial"


def test_command_of_a_plan_needs_no_environment():
    """Values from variables become flags; a RUN_ID, which would be rejected the second time, is left out."""
    knobs = {
        "symbol": knob_of("BTCUSDT", "environment", flag="--symbol"),
        "fill_per_side": knob_of(True, flag="--fill-per-side"),
        "seed": knob_of(0, "default", flag="--seed"),
        "run_id": knob_of("mine", matters=False, flag="--run-id"),
    }
    planned = plan_of(knobs=knobs, program="python -m mm backtest")
    assert planned.command() == ["python", "-m", "mm", "backtest", "--symbol", "BTCUSDT", "--fill-per-side", "1"]


def killed_plan(tmp_path: Path, *, mode: str = "rolling", resumable: bool = True, **day) -> Plan:
    knobs = {
        "schedule_mode": knob_of(mode),
        "out_root": knob_of(str(tmp_path), matters=False),
    }
    output = {"run_id": "mine"}
    return plan_of("walkforward", knobs=knobs, output=output, resumable=resumable, **{"out_root": tmp_path, **day})


def leave_killed_run(planned: Plan, **files: str) -> Path:
    """Leave the files of a run that was killed at work; return its partial folder."""
    lock = folders.lock_run(planned, claim(planned))
    folders.resume(planned, "mine")
    partial = partial_folder(planned.folder("mine"))
    for name, text in files.items():
        path = partial / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    os.close(lock)  # the system does that when a process dies
    return partial


def test_killed_run_is_resumed_with_its_checkpoint_only(tmp_path):
    """Half-written outputs are removed, the checkpoint stays."""
    partial = leave_killed_run(
        killed_plan(tmp_path), poisson_schedule="{", backtest__fills="x", checkpoint__windows="kept"
    )
    with begun(killed_plan(tmp_path), as_json=False) as run:
        assert (run.checkpoint() / "windows").read_text() == "kept"
        assert sorted(path.name for path in partial.iterdir()) == [CHECKPOINT]
        run.path("result.json").write_text("{}")
    folder = killed_plan(tmp_path).folder("mine")
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "run_manifest.json"]
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert [file["path"] for file in manifest["outputs"]] == ["result.json"]


def test_run_killed_before_its_first_file_is_resumed(tmp_path):
    """Its folder was made and was still empty."""
    for inside in ("", CHECKPOINT):
        (partial_folder(killed_plan(tmp_path).folder("mine")) / inside).mkdir(parents=True, exist_ok=True)
        assert claim(killed_plan(tmp_path)) == "mine"


def test_finished_run_is_not_resumed(tmp_path):
    with begun(killed_plan(tmp_path), as_json=False):
        pass
    with pytest.raises(RunExists, match="was used before"):
        claim(killed_plan(tmp_path))


def test_run_of_a_kind_without_resumption_is_not_resumed(tmp_path):
    leave_killed_run(killed_plan(tmp_path))
    with pytest.raises(RunExists, match="was used before"):
        claim(killed_plan(tmp_path, resumable=False))


def test_run_of_a_living_process_is_not_resumed(tmp_path):
    """The folder is locked for the lifetime of the process."""
    plan_of_run = killed_plan(tmp_path)
    with begun(plan_of_run, as_json=False) as run:
        with (
            pytest.raises(RunExists, match="is in use by another process"),
            begun(plan_of_run, as_json=False),
        ):
            pass
        assert run.partial.is_dir()


def test_killed_run_is_not_resumed_with_other_knobs(tmp_path):
    """Results of one mode are of no use to another; the checkpoint stays in place."""
    partial = leave_killed_run(killed_plan(tmp_path), checkpoint__windows="kept")
    with (
        pytest.raises(RunExists, match=r"SCHEDULE_MODE 'rolling', now 'ewma'"),
        begun(killed_plan(tmp_path, mode="ewma"), as_json=False),
    ):
        pass
    assert (partial / CHECKPOINT / "windows").read_text() == "kept"
    os.close(folders.lock_run(killed_plan(tmp_path), "mine"))


@pytest.mark.parametrize("changed", ["inputs", "code"])
def test_other_inputs_or_code_discard_the_checkpoint(tmp_path, monkeypatch, changed):
    """After a repaired day, or with a program that calculates differently, nothing found before is valid."""
    partial = leave_killed_run(killed_plan(tmp_path), checkpoint__windows="old")
    folder, discarded = folders.checkpoint(partial, [{"path": "a", "bytes": 1, "sha256": "aa"}])
    assert (discarded, (folder / "windows").exists()) == (False, True)
    assert folders.checkpoint(partial, [{"path": "b", "bytes": 1, "sha256": "aa"}]) == (folder, False)
    if changed == "code":
        monkeypatch.setattr(folders, "sources_hash", lambda: "of another checkout")
    sha256 = "bb" if changed == "inputs" else "aa"
    assert folders.checkpoint(partial, [{"path": "a", "bytes": 1, "sha256": sha256}]) == (folder, True)
    assert not (folder / "windows").exists()
    assert folders.checkpoint(partial, [{"path": "a", "bytes": 1, "sha256": sha256}]) == (folder, False)


def test_killed_run_in_an_out_dir_is_resumed(tmp_path):
    """Its log is the only trace of the name, and exists already."""
    plan_of_run = killed_plan(tmp_path, out_dir=tmp_path / "here")
    leave_killed_run(plan_of_run, checkpoint__windows="kept")
    log = plan_of_run.log_file("mine")
    log.parent.mkdir(parents=True)
    log.touch()
    with begun(plan_of_run, as_json=False) as run:
        assert (run.checkpoint() / "windows").exists()
    assert (tmp_path / "here/run_manifest.json").exists()


def test_out_dir_with_files_of_another_run_is_rejected(tmp_path):
    """It has no checkpoint: it belongs to another program."""
    plan_of_run = killed_plan(tmp_path, out_dir=tmp_path / "here")
    partial = partial_folder(tmp_path / "here")
    partial.mkdir()
    (partial / "orders.csv").touch()
    with pytest.raises(RunExists, match="a run is writing it, or was killed"):
        claim(plan_of_run)


def test_two_pages_of_one_second_have_different_names(tmp_path):
    """Regression: the second of two comparisons within a second overwrote the first."""
    names = []
    for _ in range(3):
        page = new_page(tmp_path, "20251216_")
        page.touch()
        names.append(page.name)
    assert names == [f"20251216_20251217T060000Z{suffix}.html" for suffix in ("", "_2", "_3")]
