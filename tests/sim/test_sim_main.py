"""``mm sim`` at the command line: days, the exchange server, the tables of the paper."""

import json
import signal
import socket

import httpx
import pytest
from websockets.sync.client import connect

from mm.sim.__main__ import STRATEGIES as LISTED
from mm.sim.as2008.model import STRATEGIES
from serving import serving
from support import run_mm

SIM = ("sim", "day", "--hours", "0.02")


def test_json_output_contains_truth_and_its_path(tmp_path):
    """The last line of stdout is the artefact, the same as in the file."""
    result = run_mm(*SIM, "--symbol", "simusdt", "--day", "20260105", "--seed", "7", "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    truth = json.loads(result.stdout.splitlines()[-1])
    path = truth.pop("path")
    assert path == "data/SIMUSDT/20260105/truth.json"
    assert json.loads((tmp_path / path).read_text()) == truth
    assert (truth["scenario"], truth["seed"]) == ("poisson", 7)


def test_flags_override_environment_variables(tmp_path):
    """SYMBOL, DAY, DATA_ROOT and SEED are read as in every command; a flag takes precedence."""
    result = run_mm(
        *SIM, "--seed", "9", "--A", "3", "--json",
        cwd=tmp_path, SYMBOL="ABCUSDT", DAY="20260106", DATA_ROOT="elsewhere", SEED="8", K_PER_TICK="0.5",
    )  # fmt: skip
    truth = json.loads(result.stdout)
    assert (truth["symbol"], truth["day"], truth["seed"], truth["A"], truth["k"]) == (
        "ABCUSDT",
        "20260106",
        9,
        3.0,
        0.5,
    )
    assert (tmp_path / truth["path"]).is_file()


def test_day_range_makes_same_days_as_single_runs(tmp_path):
    """Days are independent: random draws are keyed by seed and day."""
    result = run_mm(*SIM, "--day", "20260105:20260107", "--json", cwd=tmp_path)
    days = json.loads(result.stdout)["days"]
    assert [truth["day"] for truth in days] == ["20260105", "20260106", "20260107"]
    single = run_mm(*SIM, "--day", "20260106", "--data-root", "alone", "--json", cwd=tmp_path)
    assert json.loads(single.stdout) | {"path": ""} == days[1] | {"path": ""}


def test_invalid_k_prints_one_line_with_flag_and_value(tmp_path):
    """Exit code 2, and nothing is written."""
    result = run_mm(*SIM, "--day", "20260105", "--k", "-1", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "--k (K_PER_TICK)" in line
    assert "-1" in line
    assert not (tmp_path / "data").exists()


def test_flag_of_other_scenario_is_rejected_but_its_variable_is_ignored(tmp_path):
    """A flag is intended; a variable may be set in the shell for other commands."""
    result = run_mm(*SIM, "--day", "20260105", "--scenario", "large_tick", "--A", "1", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "--A (A_PER_S): scenario large_tick has no such parameter" in line
    result = run_mm(
        *SIM, "--day", "20260105", "--json", cwd=tmp_path, SCENARIO="large_tick", A_PER_S="1", MARKET_PER_S="2"
    )
    assert json.loads(result.stdout)["rates_of_a_side"]["market_per_s"] == 2.0


def test_day_of_empty_scenario_is_rejected(tmp_path):
    """An empty recording would break every reader; the empty market is for the server."""
    result = run_mm(*SIM, "--day", "20260105", "--scenario", "empty", cwd=tmp_path)
    assert result.returncode == 2
    assert "has no depth message" in result.stderr
    assert not list(tmp_path.glob("data/*/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_server_cleanly_with_open_connections(number):
    """Exit code 0, one line on stdout, nothing on stderr; clients are notified."""
    with serving("--scenario", "poisson", "--seed", "3", "--port", "0") as (process, ready):
        assert ready["ready"] is True
        with (
            connect(ready["ws_url"] + "/ws/simusdt@depth@100ms", proxy=None) as stream,
            socket.create_connection(("127.0.0.1", int(ready["ws_url"].rpartition(":")[2]))) as half,
            httpx.Client() as client,
        ):
            half.sendall(b"GET /api/v3/ping HTTP/1.1\r\n")
            assert client.get(ready["rest_url"] + "/api/v3/ping").json() == {}
            first = json.loads(stream.recv(timeout=120))
            assert first["e"] == "depthUpdate"
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out, err) == (0, "", "")
            *_, last = stream
            assert json.loads(last)["e"] == "serverShutdown"
            assert stream.close_code == 1001


def test_json_ready_line_is_printed_when_server_is_ready():
    """A script that always requests JSON does not wait for the end."""
    with serving("--scenario", "empty", "--speed", "0", "--start-ms", "1767600000123", "--json") as (_, ready):
        stamp = httpx.get(ready["rest_url"] + "/api/v3/time").json()["serverTime"]
        assert stamp == 1_767_600_000_100
        assert ready["symbol"] == "SIMUSDT"


@pytest.mark.slow
def test_limits_speed_symbol_and_seed_are_configurable():
    """By flag and variable; without limits, connection attempts are not counted."""
    flags = ("--scenario", "empty", "--limits", "off", "--speed", "60", "--symbol", "btcusdt")
    with serving(*flags, SEED="5") as (_, ready):
        assert ready["symbol"] == "BTCUSDT"
        for _ in range(310):
            with connect(ready["ws_url"] + "/ws", proxy=None):
                pass


def test_market_of_contracts_has_its_terms(tmp_path):
    """Funding and insurance are flags; the same flags on Spot are an error, variables are not."""
    flags = ("--market", "usdm", "--scenario", "empty", "--funding-rate", "-0.002", "--insurance-fund", "12.5")
    with serving(*flags, "--funding-interval-s", "3600") as (_, ready), httpx.Client(trust_env=False) as client:
        (told,) = client.get(f"{ready['rest_url']}/fapi/v1/premiumIndex").json()
        assert told["lastFundingRate"] == "-0.00200000"
        assert told["nextFundingTime"] - told["time"] <= 3_600_000
        truth = client.get(f"{ready['rest_url']}/sim/account?user=bob").json()
        assert truth["exchange"]["insurance"] == "12.50000000"
        assert client.get(f"{ready['rest_url']}/api/v3/time").status_code == 404
    refused = run_mm("sim", "serve", "--funding-rate", "0.001", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--funding-rate" in refused.stderr
    with serving("--scenario", "empty", FUNDING_RATE="0.001") as (_, ready), httpx.Client(trust_env=False) as client:
        assert client.get(f"{ready['rest_url']}/api/v3/time").status_code == 200


def test_port_in_use_exits_with_code_2(tmp_path):
    """One line that contains the flag, before the ready line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_mm("sim", "serve", "--port", port, cwd=tmp_path, LOG_LEVEL="ERROR")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert f"--port (SERVE_PORT) {port}" in result.stderr


AS2008 = ("sim", "as2008")
NUMBERS = {"profit_mean", "profit_std", "final_q_mean", "final_q_std"}


def test_default_output_is_the_papers_table(tmp_path):
    """Six rows in the order of the paper's tables; 24 published numbers beside exact and simulated ones."""
    result = run_mm(*AS2008, "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    content = json.loads(line)
    assert set(content) == {"rows"}
    assert [(row["gamma"], row["strategy"]) for row in content["rows"]] == [
        (gamma, strategy) for gamma in (0.1, 0.01, 1.0) for strategy in ("inventory", "symmetric")
    ]
    for row in content["rows"]:
        assert set(row) == {"gamma", "strategy", "published", "exact", "simulated"}
        for part in ("published", "exact", "simulated"):
            assert set(row[part]) >= NUMBERS
        assert row["simulated"]["n_paths"] == row["published"]["n_paths"] == 1000
    assert content["rows"][0]["published"]["profit_mean"] == 65.0
    assert content["rows"][0]["exact"]["profit_mean"] == pytest.approx(64.892543085619, abs=1e-9)
    assert not list(tmp_path.iterdir())


def test_terminal_output_is_a_table(tmp_path):
    """A line for each number; unpublished numbers are shown as a dash."""
    result = run_mm(*AS2008, "--gamma", "0.1,0.5", "--strategy", "inventory", "--paths", "200", cwd=tmp_path)
    head, *lines, foot = result.stdout.splitlines()
    assert head.split() == ["gamma", "strategy", "published", "z", "exact", "simulated", "±", "z"]
    assert len(lines) == 2 * 5
    assert lines[0].split()[:7] == ["0.1", "inventory", "profit", "mean", "65", "+0.5", "64.8925"]
    assert lines[4].split()[:4] == ["certainty", "–", "–", "62.7873"]
    assert lines[5].split()[:7] == ["0.5", "inventory", "profit", "mean", "–", "–", "48.5681"]
    assert foot == "z: deviation from the exact value in standard errors; paths: published 1,000, simulated 200"


@pytest.mark.slow
def test_equal_settings_print_equal_output_by_flag_or_variable(tmp_path):
    """SEED, PATHS and GAMMA are read as in every command; a flag takes precedence."""
    args = (*AS2008, "--strategy", "symmetric", "--json", "--paths", "300")
    first = run_mm(*args, "--gamma", "0.1", "--seed", "4", cwd=tmp_path)
    again = run_mm(*args, cwd=tmp_path, GAMMA="0.1", SEED="4", PATHS="7")
    other = run_mm(*args, "--gamma", "0.1", "--seed", "5", cwd=tmp_path)
    read = json.loads(again.stdout)
    assert read.pop("settings_from") == {"GAMMA": "environment", "SEED": "environment"}
    assert read == json.loads(first.stdout) != json.loads(other.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--gamma", "-1"), "--gamma (GAMMA) was '-1': it must be a list such as"),
        (("--gamma", "0.1,0.1"), "a list without repeats"),
        (("--dt", "2"), "a step must not be longer than the session"),
        (("--dt", "0.003"), "that is 333.333 steps"),
        (("--dt", "1e-8"), "the maximum is 100,000"),
        (("--paths", "0"), "--paths (PATHS) was '0'"),
        (("--sigma", "nan"), "--sigma (SIGMA_PRICE_PER_SQRT_S) was 'nan'"),
        (("--strategy", "symetric"), "did you mean symmetric?"),
        (("--strategy", "symmetric,symmetric"), "a list without repeats"),
        (("--A", "0"), "--A (A_PER_S) was '0'"),
        (("--gamma", "1000", "--strategy", "glft_exact"), "choose a smaller --dt (STEP_S)"),
    ],
)
def test_invalid_as2008_parameter_prints_one_line(tmp_path, flags, message):
    """Exit code 2; the line contains flag, variable and value."""
    result = run_mm(*AS2008, *flags, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert message in line


def test_help_lists_every_strategy():
    """The command lists the strategies without importing numpy; the registry holds them."""
    assert tuple(STRATEGIES) == LISTED
