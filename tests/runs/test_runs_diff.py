import csv
import json
from itertools import zip_longest
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from begun_runs import begun, knob_of, plan_of
from mm.__main__ import main
from mm.runs.diff import ABSENT, MOST_KEYS, file_difference
from mm.runs.manifest import read_manifest, write_manifest

KNOBS = {
    "seed": knob_of(3),
    "fill_params_file": knob_of("a.json", matters=False),
    "run_id": knob_of("x", matters=False),
}
FILES = {"fills_BTCUSDT.csv": "price,qty\n1,2\n3,4\n", "summary.json": '{"pnl_total": 1.5}'}


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_run(
    run_id: str, kind: str = "backtest", files=FILES, inputs=(("BTCUSDT/20251216/t.csv", "aa"),), **knobs
) -> Path:
    """Make a run, and return its folder."""
    with begun(plan_of(kind, output={"run_id": run_id}, knobs=KNOBS | knobs)) as run:
        for name, text in files.items():
            run.path(name).write_text(text)
        run.write_page(f"<p>{run_id}</p>")
        for path, sha256 in inputs:
            run.input(path, 10, sha256)
        run.summary = {"pnl_total": 1.5 if files is FILES else 1.0, "n_fills": 2, "sharpe": None}
    return run.folder


def call(*args: str) -> Result:
    return CliRunner().invoke(main, ["runs", "diff", *args])


def answer(*args: str) -> dict:
    result = call(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def reasons(comparison: dict, path: str) -> list[str]:
    """Return the reported differences of an output."""
    return [output["why"] for output in comparison["outputs"] if output["path"] == path]


def test_equal_work_is_equal_despite_other_names_and_places():
    """Another name, another place of an input, another source of a knob and another page do not matter."""
    make_run("a")
    make_run(
        "b",
        inputs=[("elsewhere/t.csv", "aa")],
        seed=knob_of(3, "environment"),
        fill_params_file=knob_of("b.json", matters=False),
    )
    comparison = answer("a", "b")
    assert comparison["equal"]
    assert comparison["digests"][0] == comparison["digests"][1]
    assert comparison["inputs"] == []
    assert comparison["knobs"]["seed"] == {"values": [3, 3], "sources": ["flag", "environment"], "matters": True}
    assert comparison["knobs"]["fill_params_file"]["matters"] is False
    assert {output["path"]: output["counts"] for output in comparison["outputs"]} == {"report.html": False}
    text = call("a", "b").stdout
    assert f"equal: digest {comparison['digests'][0]}" in text
    assert "knobs without effect on results\n  fill_params_file: a.json (flag) | b.json (flag)" in text
    assert "knobs with equal values from different sources\n  seed: 3 (flag) | 3 (environment)" in text
    assert "  pnl_total: 1.5\n" in text


def test_differences_are_reported_to_the_cell():
    """Knobs with value and source, inputs, the first row and column, JSON keys, and the numbers side by side."""
    make_run("a", more=knob_of(1))
    files = {"fills_BTCUSDT.csv": "price,qty\n1,2\n3,5\n", "summary.json": '{"pnl_total": 1.0}', "more.csv": "x\n"}
    inputs = [("BTCUSDT/20251216/t.csv", "bb"), ("BTCUSDT/20251216/u.csv", "cc")]
    make_run("b", files=files, inputs=inputs, seed=knob_of(None, "default"))
    assert not answer("a", "b")["equal"]
    lines = [line.strip() for line in call("a", "b").stdout.splitlines()]
    for line in (
        "different (a | b)",
        "seed: 3 (flag) | none (default)",
        "more: 1 (flag) | no such knob",
        "BTCUSDT/20251216/t.csv: different content (sha256 aa… | bb…)",
        "BTCUSDT/20251216/u.csv: only b read it",
        "fills_BTCUSDT.csv: first at row 2 qty: 4 | 5  (1 rows differ of 2 rows)",
        "more.csv: only in b",
        "summary.json: 1 values differ",
        "pnl_total: 1.5 | 1.0",
        "pnl_total: 1.5 | 1  (-0.5)",
        "n_fills: 2",
        "sharpe: null",
    ):
        assert line in lines, line


def test_runs_of_two_kinds_are_compared():
    """Parts that only one of them has are reported."""
    make_run("a")
    make_run("b", "calibration", {"poisson_fit.json": "{}"})
    comparison = answer("a", "b")
    assert (comparison["equal"], comparison["entries"]["kind"]) == (False, ["backtest", "calibration"])
    assert reasons(comparison, "poisson_fit.json") == ["only in b"]


@pytest.mark.parametrize("changed", ["a", "b"])
def test_file_changed_since_the_run_is_reported(changed):
    """The manifests agree, the folders no longer do; a page may be redrawn."""
    folders = {name: make_run(name) for name in "ab"}
    (folders[changed] / "summary.json").write_text("{}")
    comparison = answer("a", "b")
    assert not comparison["equal"]
    assert reasons(comparison, "summary.json")[0].startswith(f"in {changed}: changed since the run")
    (folders[changed] / "summary.json").unlink()
    assert reasons(answer("a", "b"), "summary.json") == [f"in {changed}: missing"]
    assert folders["a"].joinpath("report.html").exists()


@pytest.mark.parametrize("edit", ["knob", "input"])
def test_edited_manifest_is_reported(edit):
    """One digest cannot belong to two results, so the runs are not reported as equal."""
    make_run("a")
    folder = make_run("b")
    manifest = read_manifest(folder)
    if edit == "knob":
        manifest["knobs"]["seed"]["value"] = 4
    else:
        manifest["inputs"][0]["sha256"] = "bb"
    write_manifest(folder, manifest)
    assert "a manifest was edited: equal digests, but different knobs or inputs" in call("a", "b").stdout.splitlines()
    comparison = answer("a", "b")
    assert (comparison["equal"], comparison["edited"]) == (False, True)


def test_missing_output_is_compared_by_its_hash():
    """It differs, at an unknown place."""
    make_run("a")
    folder = make_run("b", files={**FILES, "summary.json": "{}"})
    (folder / "summary.json").unlink()
    assert reasons(answer("a", "b"), "summary.json") == ["in b: missing", "different content, by its sha256"]


def test_unknown_run_exits_with_3():
    """As everywhere."""
    make_run("a")
    assert call("a", "nobody").exit_code == 3


def files(folder: Path, first: str, second: str, suffix: str) -> tuple[Path, Path]:
    paths = folder / f"a{suffix}", folder / f"b{suffix}"
    for path, text in zip(paths, (first, second), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("second", "place", "line"),
    [
        ("x,y\n1,2\n3,5\n", (2, "y", ("4", "5")), "first at row 2 y: 4 | 5  (1 rows differ of 2 rows)"),
        ("x,y\n1,2\n", (2, "", ("3,4", ABSENT)), "first at row 2: 3,4 | absent  (1 rows differ of 2 rows | 1 rows)"),
        ("x,z\n1,2\n3,4\n", (0, "column 2", ("y", "z")), "first at row 0 column 2: y | z  (1 rows differ of 2 rows)"),
        ("x,y\n,2\n3\n", (1, "x", ("1", "")), "first at row 1 x: 1 | (empty)  (2 rows differ of 2 rows)"),
        ("x,y\n1,2\n3,4,5\n", (2, "column 3", (ABSENT, "5")),
         "first at row 2 column 3: absent | 5  (1 rows differ of 2 rows)"),
        ('x,y\n1,2\n3,"4"\n', (2, "", ("3,4", '3,"4"')), 'first at row 2: 3,4 | 3,"4"  (1 rows differ of 2 rows)'),
    ],
)  # fmt: skip
def test_table_difference_names_first_row_and_column(tmp_path, second, place, line):
    """Rows count from 1, and 0 is the header; a missing cell is absent, and quotes count."""
    difference = file_difference(*files(tmp_path, "x,y\n1,2\n3,4\n", second, ".csv"))
    (part,) = difference.parts
    assert (part.row, part.column, part.values) == place
    assert difference.lines() == [line]


CELLS = st.lists(st.lists(st.sampled_from(["1", "2", "a b", '"', "ü,"]), min_size=2, max_size=2), max_size=6)


@given(CELLS, CELLS)
def test_first_row_and_row_count_match_a_plain_comparison(tmp_path_factory, first, second):
    """Also if cells need quotes."""
    folder = tmp_path_factory.mktemp("tables")
    paths = folder / "a.csv", folder / "b.csv"
    for path, rows in zip(paths, (first, second), strict=True):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([["x", "y"], *rows])
    unequal = [row for row, pair in enumerate(zip_longest(first, second), 1) if pair[0] != pair[1]]
    if unequal:
        difference = file_difference(*paths)
        assert (difference.parts[0].row, difference.differing) == (unequal[0], len(unequal))
        assert difference.rows == (len(first), len(second))


def test_json_difference_names_keys(tmp_path):
    """Each with both values; null, absent, 1, 1.0 and true are all different."""
    first = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": 1, "f": True, "g": {}, "same": 3}
    second = {"a": {"b": 2, "c": [1]}, "e": 1.0, "f": 1, "g": [], "same": 3}
    difference = file_difference(*files(tmp_path, json.dumps(first), json.dumps(second), ".json"))
    assert {part.column: part.values for part in difference.parts} == {
        "a.b": (1, 2),
        "a.c[1]": (2, ABSENT),
        "d": (None, ABSENT),
        "e": (1, 1.0),
        "f": (True, 1),
        "g": ({}, []),
    }
    assert difference.lines()[:2] == ["6 values differ", "  a.b: 1 | 2"]
    many = {f"k{number}": number for number in range(MOST_KEYS + 5)}
    assert file_difference(*files(tmp_path, json.dumps(many), "{}", ".json")).lines()[-1] == "  … and 5 more"


@pytest.mark.parametrize(
    ("suffix", "first", "second", "expected"),
    [
        (".html", "abc", "abcd", "3 bytes | 4 bytes"),
        (".json", "{", "{}", "1 bytes | 2 bytes"),
        (".json", "{}", "{} ", "2 bytes | 3 bytes"),
        (".csv", "a\n\n", "a\n", "first at row 1: (empty) | absent  (1 rows differ of 1 rows | 0 rows)"),
    ],
)
def test_other_files_are_compared_by_length(tmp_path, suffix, first, second, expected):
    """Also invalid JSON, and JSON that has the same values in other bytes; tables by rows."""
    (line,) = file_difference(*files(tmp_path, first, second, suffix)).lines()
    assert line == expected
