"""``mm sim day`` at the command line."""

import json

from support import run_python

SIM = ("-m", "mm.sim", "day", "--hours", "0.02")


def test_json_is_the_truth_with_its_path(tmp_path):
    """The last line of stdout is the artefact, the same as in the file."""
    done = run_python(*SIM, "--symbol", "simusdt", "--day", "20260105", "--seed", "7", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    truth = json.loads(done.stdout.splitlines()[-1])
    path = truth.pop("path")
    assert path == "data/SIMUSDT/20260105/truth.json"
    assert json.loads((tmp_path / path).read_text()) == truth
    assert (truth["scenario"], truth["seed"]) == ("poisson", 7)


def test_variables_count_and_flags_win(tmp_path):
    """SYMBOL, DAY, DATA_ROOT and SEED as everywhere; a flag is stronger."""
    done = run_python(
        *SIM, "--seed", "9", "--A", "3", "--json",
        cwd=tmp_path, SYMBOL="ABCUSDT", DAY="20260106", DATA_ROOT="elsewhere", SEED="8", K_PER_TICK="0.5",
    )  # fmt: skip
    truth = json.loads(done.stdout)
    assert (truth["symbol"], truth["day"], truth["seed"], truth["A"], truth["k"]) == (
        "ABCUSDT",
        "20260106",
        9,
        3.0,
        0.5,
    )
    assert (tmp_path / truth["path"]).is_file()


def test_a_range_of_days_makes_each_day_as_it_would_be_alone(tmp_path):
    """Days are independent: their luck is keyed by seed and day."""
    done = run_python(*SIM, "--day", "20260105:20260107", "--json", cwd=tmp_path)
    days = json.loads(done.stdout)["days"]
    assert [truth["day"] for truth in days] == ["20260105", "20260106", "20260107"]
    alone = run_python(*SIM, "--day", "20260106", "--data-root", "alone", "--json", cwd=tmp_path)
    assert json.loads(alone.stdout) | {"path": ""} == days[1] | {"path": ""}


def test_a_wrong_parameter_is_one_line_with_flag_and_value(tmp_path):
    """Exit 2, and nothing is written."""
    done = run_python(*SIM, "--day", "20260105", "--k", "-1", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--k (K_PER_TICK)" in line
    assert "-1" in line
    assert not (tmp_path / "data").exists()


def test_a_flag_of_another_scenario_is_one_line_and_its_variable_is_left_alone(tmp_path):
    """A flag is meant; a variable may stand in the shell for other commands."""
    done = run_python(*SIM, "--day", "20260105", "--scenario", "large_tick", "--A", "1", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--A (A_PER_S) is no parameter of scenario large_tick" in line
    done = run_python(
        *SIM, "--day", "20260105", "--json", cwd=tmp_path, SCENARIO="large_tick", A_PER_S="1", MARKET_PER_S="2"
    )
    assert json.loads(done.stdout)["rates_of_a_side"]["market_per_s"] == 2.0


def test_a_market_without_flow_is_no_day(tmp_path):
    """A recording of nothing would break whoever reads it; the empty market is for the server."""
    done = run_python(*SIM, "--day", "20260105", "--scenario", "empty", cwd=tmp_path)
    assert done.returncode == 2
    assert "leaves no depth message" in done.stderr
    assert not list(tmp_path.glob("data/*/*"))
