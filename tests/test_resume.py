"""What becomes of a run that was killed when its name is given again."""

import json
import os
from pathlib import Path

import pytest

from mm import resume
from mm.cli.console import Console
from mm.config import Day, Output
from mm.errors import RunExists
from mm.run_folder import CHECKPOINT, Plan, claim, partial_folder
from mm.run_manifest import InputFile, SetKnob
from mm.runs import working


def plan(tmp_path: Path, *, mode: str = "rolling", resumable: bool = True, **day) -> Plan:
    where = Day(**{"symbol": "BTCUSDT", "day": "20251216", "out_root": tmp_path, **day})
    knobs = {
        "schedule_mode": SetKnob(mode, "flag", matters=True),
        "out_root": SetKnob(str(tmp_path), "flag", matters=False),
    }
    return Plan("walkforward", None, where, Output(run_id="mine"), knobs, resumable=resumable)


def killed(one: Plan, **files: str) -> Path:
    """Leave what a run leaves that was killed at work; return its partial folder."""
    lock = resume.hold(one, claim(one))
    resume.take_up(one, "mine")
    partial = partial_folder(one.folder("mine"))
    for name, text in files.items():
        path = partial / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    os.close(lock)  # the system does that when a process dies
    return partial


def test_a_killed_run_is_taken_up_with_its_checkpoint_and_nothing_else(tmp_path):
    """Half-written outputs go, findings stay."""
    partial = killed(plan(tmp_path), poisson_schedule="{", backtest__fills="x", checkpoint__windows="kept")
    with working(plan(tmp_path), Console(as_json=False, level="ERROR")) as run:
        assert (run.checkpoint() / "windows").read_text() == "kept"
        assert sorted(path.name for path in partial.iterdir()) == [CHECKPOINT]
        run.path("result.json").write_text("{}")
    folder = plan(tmp_path).folder("mine")
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "run_manifest.json"]
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert [file["path"] for file in manifest["outputs"]] == ["result.json"]


def test_a_run_killed_before_it_began_is_taken_up(tmp_path):
    """Its folder was made and nothing was in it yet."""
    for inside in ("", CHECKPOINT):
        (partial_folder(plan(tmp_path).folder("mine")) / inside).mkdir(parents=True, exist_ok=True)
        assert claim(plan(tmp_path)) == "mine"


def test_a_finished_run_is_not_taken_up(tmp_path):
    with working(plan(tmp_path), Console(as_json=False, level="ERROR")):
        pass
    with pytest.raises(RunExists, match="was used before"):
        claim(plan(tmp_path))


def test_a_run_of_a_kind_that_cannot_be_resumed_is_not_taken_up(tmp_path):
    killed(plan(tmp_path))
    with pytest.raises(RunExists, match="was used before"):
        claim(plan(tmp_path, resumable=False))


def test_a_run_that_somebody_works_on_is_not_taken_up(tmp_path):
    """The folder is locked for as long as the process lives."""
    one = plan(tmp_path)
    with working(one, Console(as_json=False, level="ERROR")) as run:
        with (
            pytest.raises(RunExists, match="another process works on this run"),
            working(one, Console(as_json=False, level="ERROR")),
        ):
            pass
        assert run.partial.is_dir()


def test_other_knobs_do_not_go_on_with_it(tmp_path):
    """What was found with one mode is of no use to another; the findings stay where they are."""
    partial = killed(plan(tmp_path), checkpoint__windows="kept")
    with (
        pytest.raises(RunExists, match=r"SCHEDULE_MODE 'rolling', now 'ewma'"),
        working(plan(tmp_path, mode="ewma"), Console(as_json=False, level="ERROR")),
    ):
        pass
    assert (partial / CHECKPOINT / "windows").read_text() == "kept"
    os.close(resume.hold(plan(tmp_path), "mine"))


@pytest.mark.parametrize("changed", ["inputs", "version"])
def test_other_files_or_another_version_start_anew(tmp_path, monkeypatch, changed):
    """A day that was mended, or a program that computes otherwise: nothing found before holds."""
    partial = killed(plan(tmp_path), checkpoint__windows="old")
    folder, thrown_away = resume.checkpoint(partial, [InputFile("a", 1, "aa")])
    assert (thrown_away, (folder / "windows").exists()) == (False, True)
    assert resume.checkpoint(partial, [InputFile("b", 1, "aa")]) == (folder, False)
    if changed == "version":
        monkeypatch.setattr("mm.__version__", "99")
    sha256 = "bb" if changed == "inputs" else "aa"
    assert resume.checkpoint(partial, [InputFile("a", 1, sha256)]) == (folder, True)
    assert not (folder / "windows").exists()
    assert resume.checkpoint(partial, [InputFile("a", 1, sha256)]) == (folder, False)


def test_an_out_dir_is_taken_up_too(tmp_path):
    """Its log is the only trace of the name, and is there already."""
    one = plan(tmp_path, out_dir=tmp_path / "here")
    killed(one, checkpoint__windows="kept")
    log = one.log_file("mine")
    log.parent.mkdir(parents=True)
    log.touch()
    with working(one, Console(as_json=False, level="ERROR")) as run:
        assert (run.checkpoint() / "windows").exists()
    assert (tmp_path / "here/run_manifest.json").exists()


def test_an_out_dir_with_files_of_another_run_is_refused(tmp_path):
    """No checkpoint lies in it: it is somebody else's."""
    one = plan(tmp_path, out_dir=tmp_path / "here")
    partial = partial_folder(tmp_path / "here")
    partial.mkdir()
    (partial / "orders.csv").touch()
    with pytest.raises(RunExists, match="a run works on it, or was killed"):
        claim(one)
