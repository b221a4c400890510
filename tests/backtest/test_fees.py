"""Implausible fee rates: a percentage in place of a fraction gives a warning in the log and in every summary."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import mm
from mm import Rules, Tape, backtest
from mm.__main__ import main
from mm.instrument import E8, Instrument
from mm.markets.binance import USDM
from named import model_of
from simulation import simulate_day

GRID = Instrument("SIMUSDT", E8 // 10, E8 // 10)  # ticks and lots of 0.1
KEY = "implausible_fee"
WAY_OUT = "rates are fractions of the notional (0.001 is 0.1 %): set MAKER_FEE_RATE=0.001 for 0.1 %"


class NoQuotes:
    name = "never"

    def quote(self, _view):
        return None


def fee_warnings(**fees_e8):
    """Return the fee warnings of a backtest of one book with these fees."""
    moves = [(at * 1_000_000, "depth", [(999, 50 + at)], []) for at in range(1, 4)]
    tape = Tape.of(GRID, [(0, "snapshot", [(999, 50)], [(1001, 50)]), *moves])
    summary = backtest(tape, NoQuotes(), model_of("trade_cross"), Rules(GRID.tick_e8, GRID.lot_e8, **fees_e8)).summary
    return [line for line in summary["warnings"] if line.startswith(KEY)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    simulate_day(root, hours=0.3, seed=1, A_per_s=1.0, k_per_tick=0.4)
    return root


def run(data, out, command, *flags):
    day = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(data), "--out-root", str(out)]
    return CliRunner().invoke(main, [command, *day, *flags, "--json"])


@pytest.mark.parametrize(
    ("role", "rate_e8", "message"),
    [
        ("maker", 10_000_000, "MAKER_FEE_RATE is 0.1, 10 % of the notional"),
        ("taker", 2_000_000, "TAKER_FEE_RATE is 0.02, 2 % of the notional"),
        ("maker", -500_000, "MAKER_FEE_RATE is -0.005, a rebate of 0.5 % of the notional"),
    ],
)
def test_percentage_in_place_of_a_fraction_gives_a_warning(role, rate_e8, message):
    (line,) = fee_warnings(**{f"{role}_fee_e8": rate_e8})
    assert line.startswith(f"{KEY}: {message}; rates are fractions of the notional (0.001 is 0.1 %)")


@pytest.mark.parametrize("rate_e8", [0, 100_000, 1_200_000, -25_000])
def test_rates_of_real_exchanges_give_no_warning(rate_e8):
    """None, that of Spot, a retail taker's 1.2 %, a rebate of 0.025 %."""
    assert fee_warnings(maker_fee_e8=rate_e8, taker_fee_e8=rate_e8) == []


@pytest.mark.parametrize("command", ["backtest", "walkforward", "sweep"])
def test_commands_log_fee_warning_once_and_return_it_in_json(data, tmp_path, command):
    flags = ["--grid", "GAMMA=0.1,1", "--jobs", "1"] if command == "sweep" else ["--sensitivity", "0"]
    flags += ["--wf-train-window-min", "5", "--wf-step-min", "5"] if command == "walkforward" else []
    result = run(data, tmp_path, command, "--maker-fee-rate", "0.1", *flags)
    logged = [line for line in result.stderr.splitlines() if f"warning {KEY}" in line]
    assert len(logged) == 1, result.output
    assert "MAKER_FEE_RATE" in logged[0]
    assert WAY_OUT in logged[0]
    assert sum(KEY in line for line in json.loads(result.stdout.splitlines()[-1])["warnings"]) == 1


def test_sweep_over_fees_logs_each_implausible_rate_once(data, tmp_path):
    axes = ["--grid", "MAKER_FEE_RATE=0.001,0.1,0.075", "--grid", "GAMMA=0.1,1"]
    result = run(data, tmp_path, "sweep", *axes, "--jobs", "1")
    logged = [line for line in result.stderr.splitlines() if f"warning {KEY}" in line]
    assert [rate in line for rate, line in zip(("rate=0.1 ", "rate=0.075 "), logged, strict=True)] == [True, True]


def test_sweep_of_a_perpetual_logs_spot_fees_once(data, monkeypatch, tmp_path):
    from mm.play import market

    opened = market.open_days

    def perpetual(*args):
        return [replace(tape, meta=replace(tape.meta, venue=USDM.venue)) for tape in opened(*args)]

    monkeypatch.setattr(market, "open_days", perpetual)
    result = run(data, tmp_path, "sweep", "--grid", "GAMMA=0.1,1", "--jobs", "1")
    assert result.stderr.count("warning spot_fees day=20260105 rate=0.001 way_out=") == 1, result.output


def test_implausible_rate_in_python_is_in_summary_warnings(data):
    tape = mm.load_day(data / "SIMUSDT" / "20260105")
    warnings = mm.backtest(tape, maker_fee_rate="0.1", sensitivity=False).summary["warnings"]
    assert sum(line.startswith(KEY) for line in warnings) == 1
