"""Reproducing runs with the program itself; the runs are small and made once."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import click.testing
import pytest

from mm.base.code_identity import hash_file
from mm.runs.manifest import MANIFEST, read_manifest, write_manifest
from support import run_python

SYMBOL, DAYS = "SIMUSDT", ("20260105", "20260106")
MODEL = """
from mm import Quotes

class Join:
    def __init__(self, most_clips):
        self.most_clips = most_clips

    def quote(self, view):
        held = view.inventory_lots
        bid = view.bid_ticks if held < self.most_clips * view.quote_lots else None
        return Quotes(bid, view.ask_ticks, ask_lots=held)
"""
KNOBS = {"SYMBOL": SYMBOL, "LOG_LEVEL": "ERROR", "INITIAL_INVENTORY": "5"}
TRUST = ("--trust", "my_models.py")
LATENCIES = {"LATENCY_FILE": "latencies.csv"}
WINDOWS = {"WF_TRAIN_WINDOW_MIN": "1", "WF_STEP_MIN": "1", "DAY": DAYS[0]}
RUNS: dict[str, tuple[list[str], dict[str, str]]] = {
    "mine": (
        ["backtest", "--quote-model", "my_models:Join", "--day", f"{DAYS[0]}:{DAYS[1]}"],
        {"QUOTE_PARAMS_JSON": '{"most_clips": 3}', "SEED": "9"} | LATENCIES,
    ),
    "measured": (["calibrate", "--method", "ladder", "--dwell-ms", "2000"], {"DAY": DAYS[0]} | LATENCIES),
    "unusable": (["calibrate", "--min-exposure-s", "1e6"], {"DAY": DAYS[0]}),
    "planned": (["schedule"], WINDOWS | LATENCIES),
    "walked": (["walkforward", "--initial-cash=2000.5"], WINDOWS | LATENCIES),
    "swept": (["sweep", "--grid", "GAMMA=0.1,1", "--grid", "FILL_MODEL=trade_cross,price_cross"], {"DAY": DAYS[0]}),
    "fitted": (
        ["backtest", "--fill-model", "poisson", "--fill-params-file", "fit.json", "--out-dir", "own/place"],
        {"DAY": DAYS[1]},
    ),
}


def command(folder: Path, *args: str, **variables: str):
    return run_python("-m", "mm", *args, cwd=folder, TMPDIR=str(folder / "scratch"), **variables)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder with two days, a user's model, latencies, and a run of that model."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "scratch").mkdir()
    (folder / "my_models.py").write_text(MODEL)
    (folder / "latencies.csv").write_text("order_ms,cancel_ms\n10,5\n90,40\n")
    for day, seed in zip(DAYS, "78", strict=True):
        made = command(folder, "sim", "day", "--symbol", SYMBOL, "--day", day, "--hours", "0.05", "--seed", seed)
        assert made.returncode == 0, made.stderr
    play(folder, "mine")
    return folder


@pytest.fixture(scope="module")
def desk(own, tmp_path_factory) -> Path:
    """The same folder with a fit, and a run of each kind."""
    folder = shutil.copytree(own, tmp_path_factory.mktemp("desk") / "desk")
    for name in RUNS:
        if name != "mine":
            play(folder, name)
    return folder


def play(folder: Path, name: str) -> None:
    """Make a run, and keep the fit of a calibration."""
    words, variables = RUNS[name]
    made = command(folder, *words, "--run-id", name, **KNOBS, **variables)
    assert made.returncode == (4 if name == "unusable" else 0), made.stderr
    if name == "measured":
        shutil.copy(next(folder.rglob("poisson_fit.json")), folder / "fit.json")


def folder_of(desk: Path, name: str) -> Path:
    return next(path.parent for path in desk.rglob(MANIFEST) if read_manifest(path.parent)["run_id"] == name)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_run_of_any_kind_is_reproduced(desk, name):
    """Knobs, files and models are those of the run, not of the current environment; no file is left over."""
    before = sorted(path for path in desk.rglob("*") if "__pycache__" not in path.parts)
    others = {"SYMBOL": "OTHERUSDT", "SEED": "4", "QUOTE_QTY": "7", "DAY": "20200101"}
    words = ["own/place" if name == "fitted" else name, "--json", *(TRUST if name == "mine" else ())]
    done = command(desk, "runs", "reproduce", *words, **others)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["equal"]
    assert report["digests"][0] == report["digests"][1]
    assert {entry["path"].rpartition("/")[2] for entry in report["outputs"]} <= {"report.html"}
    assert sorted(path for path in desk.rglob("*") if "__pycache__" not in path.parts) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "measured", "planned", "walked"])
def test_latency_file_is_an_input_of_the_run(desk, name):
    """So the digest covers its content, even under the same name."""
    assert "../latencies.csv" in {entry["path"] for entry in read_manifest(folder_of(desk, name))["inputs"]}


@pytest.mark.slow
def test_moved_fit_is_found_by_its_content(desk, tmp_path):
    """It is searched among the outputs of known runs, such as the calibration that wrote it."""
    place = shutil.copytree(desk, tmp_path / "desk")
    (place / "fit.json").unlink()
    done = command(place, "runs", "reproduce", "own/place")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "inputs   7 files, unchanged"
    assert "fill_model=poisson (flag)" in lines[2]
    assert lines[3] == "equal    4 outputs, byte-identical; 1 page not compared"
    assert lines[4].startswith("digest   ")


@pytest.mark.slow
def test_reproduce_names_the_first_different_cell(desk, tmp_path):
    """The manifest claims another model parameter and another version."""
    place = shutil.copytree(desk, tmp_path / "desk")
    folder = folder_of(place, "mine")
    claimed = read_manifest(folder)
    claimed["knobs"]["quote_params_json"]["value"] = '{"most_clips": 1}'
    claimed |= {"version": "0.0.9", "commit": "c0ffee"}
    write_manifest(folder, claimed)
    done = command(place, "runs", "reproduce", "mine", *TRUST, "--keep")
    assert done.returncode == 3
    assert "version  0.0.9 | " in done.stdout
    assert f"orders_{SYMBOL}.csv: first at row " in done.stdout
    (line,) = done.stderr.splitlines()
    assert "mine was not reproduced: fills_SIMUSDT.csv: first at row" in line
    assert "and 3 more; it was made by version 0.0.9 c0ffee, this is version" in line
    assert (Path(done.stdout.splitlines()[-1]) / "summary.json").exists()


@pytest.mark.slow
def test_reproduce_detects_an_edited_run_folder(desk, tmp_path):
    """The second run agrees with the manifest, but the folder does not."""
    place = shutil.copytree(desk, tmp_path / "desk")
    (folder_of(place, "fitted") / "summary.json").write_text("{}")
    done = command(place, "runs", "reproduce", "own/place")
    assert done.returncode == 3
    assert "summary.json: in a: changed since the run" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "code"), [(1 + 4e-13, 0), (1 + 1e-6, 3)])
def test_differences_in_last_digits_pass_within_the_tolerance(desk, tmp_path, factor, code):
    """Like those of a fit on another processor: the run claims a slightly larger k."""
    place = shutil.copytree(desk, tmp_path / "desk")
    folder = folder_of(place, "measured")
    path = folder / "poisson_fit.json"
    fit = json.loads(path.read_text())
    fit["k"] *= factor
    path.write_text(json.dumps(fit))
    claimed = read_manifest(folder)
    (entry,) = (output for output in claimed["outputs"] if output["path"] == path.name)
    entry |= {"sha256": hash_file(path), "bytes": path.stat().st_size}
    write_manifest(folder, claimed)
    done = command(place, "runs", "reproduce", "measured", "--tolerance", "1e-8")
    assert done.returncode == code, done.stderr
    if code:
        assert "poisson_fit.json" in done.stderr
        return
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("near ")]
    assert line.endswith("e-13, at k")
    path.write_text(json.dumps(fit | {"A": fit["A"] * (1 + 1e-14)}))
    assert "changed since the run" in command(place, "runs", "reproduce", "measured", "--tolerance", "1e-8").stderr


@pytest.mark.slow
def test_reproduce_detects_an_edited_knob_though_all_bytes_match(desk, tmp_path):
    """The taker fee changes no file of a run without taker fills, but the digest is of another fee."""
    place = shutil.copytree(desk, tmp_path / "desk")
    folder = folder_of(place, "mine")
    claimed = read_manifest(folder)
    claimed["knobs"]["taker_fee_rate"]["value"] = 0.005
    write_manifest(folder, claimed)
    done = command(place, "runs", "reproduce", "mine", *TRUST)
    assert done.returncode == 3
    assert "mine was not reproduced: all files are identical, but the digest is of other knobs" in done.stderr


def spoil_trade(place: Path) -> str:
    path = next((place / "data" / SYMBOL / DAYS[1]).glob("trades_ws_*"))
    path.write_bytes(path.read_bytes().replace(b"true", b"false", 1))
    return f"data/{SYMBOL}/{DAYS[1]}/{path.name} changed since the run"


def remove_file(name: str):
    def remove(place: Path) -> str:
        (place / name).unlink()
        return f"{name} is missing"

    return remove


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [spoil_trade, remove_file(f"data/{SYMBOL}/{DAYS[0]}/instrument.json"), remove_file("latencies.csv")],
    ids=["a day changed", "a file of a day gone", "latencies gone"],
)
def test_changed_or_missing_inputs_are_named_before_playing(desk, tmp_path, spoil):
    """Exit 3."""
    place = shutil.copytree(desk, tmp_path / "desk")
    message = spoil(place)
    done = command(place, "runs", "reproduce", "mine", *TRUST)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert message in line
    assert "1 of its 14 inputs" in line


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "swept_mine"])
def test_model_is_played_as_the_run_kept_it(desk, tmp_path, name):
    """Whatever became of the file in the current folder, which is not trusted in its place."""
    place = shutil.copytree(desk, tmp_path / "desk")
    if name == "swept_mine":
        axes = ("--grid", "MOST_CLIPS=1,2", "--grid", "SEED=1,2")
        words = ["sweep", "--quote-model", "my_models:Join", *axes, "--jobs", "2", "--run-id", name]
        made = command(place, *words, **KNOBS, DAY=DAYS[0])
        assert made.returncode == 0, made.stderr
    (place / "my_models.py").write_text(MODEL.replace("view.bid_ticks if", "view.bid_ticks - 1 if"))
    refused = command(place, "runs", "reproduce", name, *TRUST)
    kept = folder_of(place, name) / "source" / "my_models.py"
    assert (refused.returncode, str(kept.relative_to(place)) in refused.stderr) == (5, True)
    done = command(place, "runs", "reproduce", name, "--trust", str(kept))
    assert (done.returncode, done.stderr) == (0, "")
    (place / "my_models.py").unlink()
    assert command(place, "runs", "reproduce", name, "--trust", str(kept)).returncode == 0


def other_kind(manifest: dict) -> tuple[int, str]:
    manifest["kind"] = "dream"
    return 3, "a run of the kind 'dream'; known are backtest"


def other_knob(manifest: dict) -> tuple[int, str]:
    manifest["knobs"]["moonphase"] = {"value": 3, "source": "flag"}
    return 3, "knobs that this version does not have (moonphase)"


def bad_value(manifest: dict) -> tuple[int, str]:
    manifest["knobs"]["seed"]["value"] = -1
    return 2, "--seed (SEED) was '-1'"


@pytest.mark.slow
@pytest.mark.parametrize("change", [other_kind, other_knob, bad_value])
def test_run_that_this_version_cannot_play_is_rejected(desk, tmp_path, change):
    """The line has the reason; the exit code is that of the called command."""
    place = shutil.copytree(desk, tmp_path / "desk")
    folder = folder_of(place, "mine")
    manifest = read_manifest(folder)
    code, message = change(manifest)
    write_manifest(folder, manifest)
    done = command(place, "runs", "reproduce", str(folder), *TRUST)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert message in line
    assert list((place / "scratch").iterdir()) == []


EVIL = "os:system"
ATTACKS = {
    "a quote model": {"quote_model": EVIL},
    "a fill model": {"fill_model": EVIL},
    "inside a hybrid": {
        "fill_model": "hybrid",
        "fill_params_json": json.dumps({"models": [["trade_cross", {}], [EVIL, {"command": "touch pwned"}]]}),
    },
    "inside a mixture": {
        "quote_model": "mixed",
        "quote_params_json": json.dumps({"models": [[EVIL, {"command": "touch pwned"}, 1.0]]}),
    },
    "as a step": {
        "quote_model": "steps",
        "quote_params_json": json.dumps({"model": ["my_models:Join", {"most_clips": 3}], "steps": [[EVIL, {}]]}),
    },
    "a class of Python's own": {"quote_model": "subprocess:Popen", "quote_params_json": '{"args": ["touch", "pwned"]}'},
    "a module that acts when it is imported": {"quote_model": "acts:Join"},
    "a package that acts when it is imported": {"quote_model": "acting.deep:Join"},
}


def claim(folder: Path, knobs: dict[str, str]) -> None:
    """Write other knobs into the manifest of *folder*."""
    manifest = read_manifest(folder)
    for name, value in knobs.items():
        manifest["knobs"][name]["value"] = value
    write_manifest(folder, manifest)


@pytest.mark.slow
@pytest.mark.parametrize(
    "knobs", [*ATTACKS.values(), {"quote_params_json": '{"command": "touch pwned"}', "quote_model": EVIL}]
)
def test_code_named_by_manifest_but_not_read_by_run_is_not_called(desk, tmp_path, knobs):
    """A manifest may come from anywhere: the code is neither imported nor called, and the line names the remedy."""
    place = shutil.copytree(desk, tmp_path / "desk")
    acts = "open('pwned', 'w')\n" + MODEL
    (place / "acts.py").write_text(acts)
    (place / "acting").mkdir()
    (place / "acting" / "__init__.py").write_text(acts)
    (place / "acting" / "deep.py").write_text(MODEL + "\n")
    claim(folder_of(place, "mine"), knobs)
    done = command(place, "runs", "reproduce", "mine", *TRUST)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert "its manifest names code that was not trusted: " in line
    assert "--trust FILE" in line
    assert not (place / "pwned").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [(subprocess, "Popen"), (click.testing, "CliRunner")])
def test_installed_package_needs_trust_even_if_listed_as_input(desk, tmp_path, module, name):
    """Anyone can put the hash of its source into a manifest."""
    place = shutil.copytree(desk, tmp_path / "desk")
    claim(folder_of(place, "mine"), {"quote_model": f"{module.__name__}:{name}"})
    folder, source = folder_of(place, "mine"), Path(module.__file__)
    shutil.copy(source, place / "data")
    manifest = read_manifest(folder)
    listed = {"path": source.name, "bytes": source.stat().st_size}
    manifest["inputs"].append({**listed, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()})
    write_manifest(folder, manifest)
    done = command(place, "runs", "reproduce", "mine", *TRUST)
    assert done.returncode == 5
    assert str(source) in done.stderr


@pytest.mark.slow
def test_file_that_lists_its_own_hash_is_not_trusted(own):
    """A manifest that is written by hand can list any file as an input."""
    done = command(own, "runs", "reproduce", "mine")
    assert done.returncode == 5
    assert "my_models.py" in done.stderr


@pytest.mark.slow
def test_path_that_is_no_input_of_the_run_is_not_opened(desk, tmp_path):
    place = shutil.copytree(desk, tmp_path / "desk")
    claim(folder_of(place, "measured"), {"latency_file": "/etc/passwd"})
    manifest = read_manifest(folder_of(place, "measured"))
    manifest["inputs"] = [one for one in manifest["inputs"] if "latencies" not in one["path"]]
    write_manifest(folder_of(place, "measured"), manifest)
    done = command(place, "runs", "reproduce", "measured")
    assert done.returncode == 5
    assert "/etc/passwd" in done.stderr


@pytest.mark.slow
def test_models_in_a_sweep_grid_need_trust_too(desk, tmp_path):
    """An axis can name models."""
    place = shutil.copytree(desk, tmp_path / "desk")
    claim(folder_of(place, "swept"), {"grid": f'GAMMA=0.1,1;QUOTE_MODEL="{EVIL}",fixed_spread'})
    done = command(place, "runs", "reproduce", "swept")
    assert done.returncode == 5
    assert EVIL in done.stderr


def test_trusted_code_must_still_be_a_model(own, tmp_path):
    """--trust calls models whose source is not an input; a function is not a model."""
    place = shutil.copytree(own, tmp_path / "desk")
    claim(folder_of(place, "mine"), {"quote_model": EVIL, "quote_params_json": '{"command": "touch pwned"}'})
    done = command(place, "runs", "reproduce", "mine", "--trust", os.__file__)
    assert done.returncode == 2
    assert "'os:system' is not a quote model: it is a builtin_function_or_method" in done.stderr
    assert not (place / "pwned").exists()


@pytest.mark.slow
def test_model_under_another_module_name_needs_trust(desk, tmp_path):
    """The input has the same bytes, but another file would be imported; with --trust it is called, and differs."""
    place = shutil.copytree(desk, tmp_path / "desk")
    (place / "other_models.py").write_text(MODEL + "# changed\n")
    claim(folder_of(place, "mine"), {"quote_model": "other_models:Join"})
    assert command(place, "runs", "reproduce", "mine", *TRUST).returncode == 5
    done = command(place, "runs", "reproduce", "mine", "--trust", "other_models.py")
    assert done.returncode == 3
    assert "was not reproduced: " in done.stderr
