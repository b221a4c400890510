import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm import run_manifest
from mm.cli.console import Console
from mm.config import Day, Output
from mm.run_folder import Plan
from mm.run_manifest import SetKnob
from mm.runner_diff import main
from mm.runs import PAGE, working

KNOBS = {
    "seed": SetKnob(3, "flag", matters=True),
    "fill_params_file": SetKnob("a.json", "flag", matters=False),
    "run_id": SetKnob("x", "flag", matters=False),
}
FILES = {"fills_BTCUSDT.csv": "price,qty\n1,2\n3,4\n", "summary.json": '{"pnl_total": 1.5}'}


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_run(
    run_id: str, kind: str = "backtest", files=FILES, inputs=(("BTCUSDT/20251216/t.csv", "aa"),), **knobs
) -> Path:
    """Leave a run, and return its folder."""
    plan = Plan(kind, None, Day(symbol="BTCUSDT", day="20251216"), Output(run_id=run_id), KNOBS | knobs)
    with working(plan, Console(as_json=True, level="ERROR")) as run:
        for name, text in files.items():
            run.path(name).write_text(text)
        run.write_page(f"<p>{run_id}</p>")
        for path, sha256 in inputs:
            run.input(path, 10, sha256)
        run.summary = {"pnl_total": 1.5 if files is FILES else 1.0, "n_fills": 2, "sharpe": None}
    return run.folder


def call(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def answer(*args: str) -> dict:
    result = call(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def why(found: dict, path: str) -> list[str]:
    """Return what is told of an output."""
    return [one["why"] for one in found["outputs"] if one["path"] == path]


def test_equal_work_is_equal_whoever_did_it_and_where():
    """Another name, another place of an input, another source of a knob and another page do not matter."""
    make_run("a")
    make_run(
        "b",
        inputs=[("elsewhere/t.csv", "aa")],
        seed=SetKnob(3, "environment", matters=True),
        fill_params_file=SetKnob("b.json", "flag", matters=False),
    )
    found = answer("a", "b")
    assert found["equal"]
    assert found["digests"][0] == found["digests"][1]
    assert found["inputs"] == []
    assert found["knobs"]["seed"] == {"values": [3, 3], "sources": ["flag", "environment"], "matters": True}
    assert found["knobs"]["fill_params_file"]["matters"] is False
    assert {one["path"]: one["counts"] for one in found["outputs"]} == {PAGE: False}
    text = call("a", "b").stdout
    assert f"equal: digest {found['digests'][0]}" in text
    assert "knobs that change no result\n  fill_params_file: a.json (flag) | b.json (flag)" in text
    assert "knobs of one value, set otherwise\n  seed: 3 (flag) | 3 (environment)" in text
    assert "  pnl_total: 1.5\n" in text


def test_what_differs_is_named_to_the_cell():
    """Knobs with value and source, inputs, the first row and column, JSON keys, and the numbers beside each other."""
    make_run("a", more=SetKnob(1, "flag", matters=True))
    files = {"fills_BTCUSDT.csv": "price,qty\n1,2\n3,5\n", "summary.json": '{"pnl_total": 1.0}', "more.csv": "x\n"}
    inputs = [("BTCUSDT/20251216/t.csv", "bb"), ("BTCUSDT/20251216/u.csv", "cc")]
    make_run("b", files=files, inputs=inputs, seed=SetKnob(None, "default", matters=True))
    assert not answer("a", "b")["equal"]
    lines = [line.strip() for line in call("a", "b").stdout.splitlines()]
    for told in (
        "they differ (a | b)",
        "seed: 3 (flag) | none (default)",
        "more: 1 (flag) | no such knob",
        "BTCUSDT/20251216/t.csv: another content (sha256 aa… | bb…)",
        "BTCUSDT/20251216/u.csv: only b read it",
        "fills_BTCUSDT.csv: first at row 2 qty: 4 | 5  (1 rows differ of 2 rows)",
        "more.csv: only in b",
        "summary.json: 1 values differ",
        "pnl_total: 1.5 | 1.0",
        "pnl_total: 1.5 | 1  (-0.5)",
        "n_fills: 2",
        "sharpe: null",
    ):
        assert told in lines, told


def test_runs_of_two_kinds_are_compared_as_far_as_they_go():
    """What is only in one is said to be."""
    make_run("a")
    make_run("b", "calibration", {"poisson_fit.json": "{}"})
    found = answer("a", "b")
    assert (found["equal"], found["entries"]["kind"]) == (False, ["backtest", "calibration"])
    assert why(found, "poisson_fit.json") == ["only in b"]


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_file_that_was_changed_since_is_not_believed(which):
    """The manifests agree, the folders no longer do; a page may be drawn anew."""
    folders = {name: make_run(name) for name in "ab"}
    (folders[which] / "summary.json").write_text("{}")
    found = answer("a", "b")
    assert not found["equal"]
    assert why(found, "summary.json")[0].startswith(f"in {which} not what the run wrote")
    (folders[which] / "summary.json").unlink()
    assert why(answer("a", "b"), "summary.json") == [f"in {which} it is gone"]
    assert folders["a"].joinpath(PAGE).exists()


@pytest.mark.parametrize("edit", ["knob", "input"])
def test_a_manifest_that_was_edited_is_told(edit):
    """One digest cannot stand for two works, so runs that claim both are not called equal."""
    make_run("a")
    folder = make_run("b")
    manifest = run_manifest.read(folder)
    if edit == "knob":
        manifest["knobs"]["seed"]["value"] = 4
    else:
        manifest["inputs"][0]["sha256"] = "bb"
    run_manifest.write(folder, manifest)
    assert "a manifest was edited since: one digest, but other knobs or inputs" in call("a", "b").stdout.splitlines()
    found = answer("a", "b")
    assert (found["equal"], found["edited"]) == (False, True)


def test_an_output_that_is_gone_is_still_known_by_its_hash():
    """It differs, though nobody can say where."""
    make_run("a")
    folder = make_run("b", files={**FILES, "summary.json": "{}"})
    (folder / "summary.json").unlink()
    assert why(answer("a", "b"), "summary.json") == ["in b it is gone", "another content, by its sha256"]


def test_a_run_that_is_not_there_is_refused():
    """Exit 3, as everywhere."""
    make_run("a")
    assert call("a", "nobody").exit_code == 3
