import json

import pytest
from click.testing import CliRunner, Result

from mm.commands.fit import fit as main
from support import run_python

POINTS = "delta_ticks,exposure_s,fills\n" + "".join(
    f"{delta},{seconds},{fills}\n" for delta, seconds, fills in [(1, 900, 400), (2, 900, 220), (3, 900, 120), (5, 4, 1)]
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text(POINTS)


def call(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(main, args, env=variables)


def test_fit_of_a_table_returns_a_and_k(tmp_path):
    """Printed as a table, or as JSON like poisson_fit.json."""
    assert "A /s" in call("points.csv").stdout
    fit = json.loads(call("points.csv", "--json").stdout)
    assert (fit["status"], fit["usable"], fit["n_fills"]) == ("ok", True, 741)
    assert 0.5 < fit["k"] < 0.7
    assert fit["path"] == str((tmp_path / "points.csv").resolve())


def test_exposure_and_distance_limits_apply_only_if_given():
    """The author of the table has chosen its rows; the defaults of a calibration would drop the last row."""
    flag_sets = [(), ("--min-exposure-s", "5"), ("--max-delta-ticks", "2.5", "--min-usable-deltas", "2")]
    assert [json.loads(call("points.csv", "--json", *args).stdout)["n_fills"] for args in flag_sets] == [741, 740, 620]
    assert json.loads(call("points.csv", "--json", MIN_EXPOSURE_S="5").stdout)["n_fills"] == 740


def test_unusable_fit_exits_with_4(tmp_path):
    """The numbers are printed all the same."""
    (tmp_path / "few.csv").write_text("delta_ticks,exposure_s,fills\n1,10,0\n2,10,0\n3,10,0\n")
    result = call("few.csv", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (4, "no_fills")
    assert result.stderr.startswith("error: few.csv: the fit is not usable (no_fills: ")


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", "delta_ticks,exposure_s,fills\n1,10,x\n"])
def test_malformed_table_exits_with_3(tmp_path, text):
    """One line names the file."""
    if text is not None:
        (tmp_path / "bad.csv").write_text(text)
    result = call("bad.csv")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert result.stderr.startswith("error: bad.csv")


def test_points_of_several_ladders_give_a_warning(tmp_path):
    """The points are sums over permutations on one tape; a fit without the key is of a single ladder."""
    (tmp_path / "poisson_fit.json").write_text('{"method": "ladder", "permutations": {"count": 8}}')
    warnings = json.loads(call("points.csv", "--json").stdout)["warnings"]
    assert any("sum several ladders" in text for text in warnings)


def test_module_of_the_fit_runs_the_same_command(tmp_path):
    """``python -m mm.calibration.poisson_fit POINTS.csv`` is part of the contract."""
    done = run_python("-m", "mm.calibration.poisson_fit", "points.csv", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(call("points.csv", "--json").stdout)


@pytest.mark.parametrize(
    ("beside", "warned"), [('{"method": "marks"}', True), ('{"method": "ladder"}', False), ("[]", False), ("{", False)]
)
def test_cumulative_points_of_marks_give_a_warning(tmp_path, beside, warned):
    """The rows share orders; only the fit beside them in the run folder shows that."""
    (tmp_path / "poisson_fit.json").write_text(beside)
    warnings = json.loads(call("points.csv", "--json").stdout)["warnings"]
    assert any("count an order at every distance" in text for text in warnings) == warned
