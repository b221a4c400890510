"""The terminal's table of a backtest: plain numbers, no sign before zero, a dash for undefined values."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import run_terms, seeded
from mm import Result
from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import (
    LAST_IN_QUEUE,
    assumed,
    by_distance,
    curve,
    outside,
    sensitivity,
    text_of,
    tree,
    worst,
)
from mm.base.numbers import signed


def test_headlines_equal_the_numbers_of_the_summary():
    """PnL, orders and fills as in summary.json."""
    summary = Result(seeded(300).journal(), run_terms()).summary
    lines = {line[:18].strip(): line[18:] for line in text_of(summary).splitlines()}
    assert lines["PnL of quoting"] == f"{summary['pnl_quoting']:,.4f}"
    assert lines["orders"] == f"{summary['n_orders']:,}"
    assert lines["fills"].startswith(f"{summary['n_fills']:,}")


def test_small_quantities_have_no_exponent_and_zero_has_no_sign():
    """Neither 1e-06 BTC nor -0.0000."""
    odd = {"quote_qty": 1e-6, "base_asset": "BTC", "fees": 0.0, "sharpe": None}
    text = text_of(Result(seeded(300).journal(), run_terms()).summary | odd)
    assert "quote             0.000001 BTC" in text
    assert not re.search(r"-\d", text)
    assert "−0.0000 " not in text
    assert "├── Sharpe ratio:     –" in text
    assert "null: " not in text


def test_tree_contains_eight_numbers_of_the_summary():
    """PnL, Sharpe, drawdown, trades, win rate, average trade, fill latency and fill rate, each from summary.json."""
    summary = Result(seeded(1_500, orders_a_second=2, fee_rate=0.0001).journal(), run_terms()).summary
    head, *lines = tree(Summary.read(summary))
    printed = {line[4:22].strip(" :"): line[22:] for line in lines}
    trips, verdict = summary["round_trips"], summary["verdict"]
    sign = "above 0" if verdict["lower95"] > 0 else "below 0" if verdict["upper95"] < 0 else "undecided"
    ends = " to ".join(signed(verdict[name]).replace("−", "-") for name in ("lower95", "upper95"))
    assert head == "performance"
    assert [line[:4] for line in lines] == ["├── "] * 7 + ["└── "]
    assert {name: text.replace("−", "-") for name, text in printed.items()} == {
        "PnL of quoting": f"{summary['pnl_quoting']:,.4f} USDT",
        "Sharpe ratio": f"–, 1 of 20 days; PnL {sign} (95 %: {ends}, of this day)",
        "Max drawdown": f"{summary['max_drawdown']:.4f} USDT",
        "Total trades": f"{trips['n']:,} round trips",
        "Win rate": f"{100 * trips['win_rate']:.1f} %",
        "Avg trade": f"{trips['mean']:.6f} USDT",
        "Avg fill latency": f"{summary['order_to_fill_s']['mean']:.3f} s from sending, "
        f"median {summary['order_to_fill_s']['p50']:.3f} s",
        "Fill rate": f"{100 * summary['fill_ratio']:.1f} % of the quantity, "
        f"{100 * summary['hit_rate']:.1f} % of orders",
    }


def test_sharpe_ratio_requires_twenty_days():
    """With nineteen days the tree contains a dash."""
    summary = Result(seeded(1_500, orders_a_second=2, fee_rate=0.0001).journal(), run_terms()).summary
    low, high = (f"{end:,.1f}" for end in summary["sharpe_ci95"])
    printed = {days: tree(Summary.read(summary | {"daily": [{}] * days}))[2].replace("−", "-") for days in (19, 20)}
    assert printed[20] == f"├── Sharpe ratio:     {summary['sharpe']:,.2f} annualised, 95 % from {low} to {high}"
    assert printed[19].startswith("├── Sharpe ratio:     –, 19 of 20 days; PnL ")


def test_tree_of_a_run_without_trades_contains_dashes():
    """Undefined values are not replaced by numbers."""
    lines = tree(Summary.read(Result(seeded(60, fill_chance=0.0, breaks=0).journal(), run_terms()).summary))
    assert lines[5:7] == ["├── Win rate:         –", "├── Avg trade:        –"]
    assert lines[7] == "├── Avg fill latency: – from sending, median –"


FIT = {"path": "poisson_fit.json", "status": "poor_fit", "reason": "deviance", "warnings": ["sides differ"]}
FIT |= {"A": 0.5, "k": 0.25, "min_delta_ticks": 1.0, "max_delta_ticks": 8.0, "lacks": ["sigma_ticks"]}


def test_assumptions_are_listed_in_order_of_importance():
    """Reference, curve, fill model with its bias, share outside the fit, observed and expected fills by distance."""
    terms = {
        "fit": FIT,
        "fill_bias": "an optimistic bound",
        "gammas": np.array([[0.25, 1.0]]),
        "intensity": Intensity.constant(0.5, 0.25),
    }
    summary = Result(seeded(300).journal(), run_terms(**terms)).summary
    head, *lines = assumed(Summary.read(summary))
    printed = {line[:18].strip(): line[18:] for line in lines}
    names = ["reference", "curve", "gamma", "fill model", "outside the fit", "quoted distance", "fills observed"]
    assert (head, list(printed)) == ("assumptions", names)
    assert printed["curve"].startswith(
        "λ = 0.5/s · exp(−0.25 per tick · δ), poor_fit (poisson_fit.json); 1 w"  # a note has the reason
    )
    assert printed["fill model"] == f"{summary['models']['fill']}: an optimistic bound"
    row = max(summary["fills_by_distance"], key=lambda row: row["predicted"])
    observed = printed["fills observed"]
    assert re.search(rf"\b{row['fills']:,} (at|up to|from) [\d.,− to]+( ticks from the mid)? \(", observed)
    assert observed.count(" expected)") == observed.count(" · ") + 1
    assert [line for line in summary["warnings"] if "poor_fit: deviance" in line]
    assert [line for line in summary["warnings"] if "lacks sigma_ticks" in line]


def test_usable_fit_is_printed_without_an_empty_reason():
    """Regression: "ok (poisson_fit.json): " was printed with nothing after the colon."""
    summary = {"fit": FIT | {"status": "ok", "reason": "", "warnings": []}}
    assert curve(Summary.read(summary)) == "λ = 0.5/s · exp(−0.25 per tick · δ), ok (poisson_fit.json)"
    assert curve(Summary.read({"fit": summary["fit"] | {"warnings": ["a"]}})).endswith(
        "; 1 warning of the fit in summary.json"
    )


def test_curve_and_adverse_move_of_optimal_curve_are_listed():
    """`optimal_curve` quotes by the curve of the fit and its adverse move, not by A and k."""
    fit = FIT | {"status": "ok", "reason": "", "warnings": [], "shape": "monotone", "adverse_ticks": 0.697}
    assert curve(Summary.read({"fit": fit})).startswith(
        "monotone (lambda_curve, used by optimal_curve); its exponential λ = 0.5"
    )
    assert curve(Summary.read({"fit": fit | {"shape": "exponential"}})).startswith("λ = 0.5")
    summary = Result(seeded(60).journal(), run_terms(fit=fit)).summary
    assert any(
        line.startswith("  adverse_ticks   0.697 ticks, adverse move") for line in assumed(Summary.read(summary))
    )


def test_row_names_are_separated_from_their_numbers():
    """Regression: ``with funding of0.0427`` was printed."""
    lines = text_of(Result(seeded(60).journal(), run_terms()).summary | {"funding": 0.0427}).splitlines()
    assert "    with funding  −0.0427" in lines


def test_assumptions_without_a_fit_omit_fit_rows():
    lines = assumed(Summary.read(Result(seeded(60, fill_chance=0.0, breaks=0).journal(), run_terms()).summary))
    names = {line[:18].strip() for line in lines}
    assert "no fit was given" in "".join(lines)
    assert not names & {"outside the fit", "fills observed"}


def test_fills_by_distance_list_observed_and_expected_fills():
    """Nearest first; the outermost rows include all nearer or farther fills; a row of one distance shows it once."""
    rows = [(0.0, 0.5, 97, 134.6), (1.0, 1.0, 1_106, 294.3), (1.5, 3.5, 0, 5.406), (4.0, 4.5, 4, 1.2)]
    names = ("from_ticks", "to_ticks", "fills", "predicted")
    assert by_distance(Summary.read({"fills_by_distance": [dict(zip(names, row, strict=True)) for row in rows]})) == [
        "97 up to 0.5 ticks from the mid (135 expected)",
        "1,106 at 1 (294 expected)",
        "0 at 1.5 to 3.5 (5.41 expected)",
        "4 from 4 (1.2 expected)",
    ]
    assert by_distance(Summary.read({"fills_by_distance": [{"from_ticks": 0, "to_ticks": 1, "fills": 3}]})) == []


def test_fit_from_another_reference_is_not_compared():
    """The null is explained for a run without the path of the reference price."""
    intensity = Intensity(Intensity.constant(0.5, 0.25).rows(), "best")
    summary = Result(seeded(300).journal(), run_terms(fit=FIT, intensity=intensity)).summary
    assert summary["share_outside_fit"] is None
    assert outside(Summary.read(summary)).startswith("unknown: the fit measures distances from 'best', whose path")
    assert any("from 'best'" in line and "share_outside_fit is null" in line for line in summary["warnings"])


def test_sensitivity_line_is_the_range_of_the_pnl():
    """By fill model at the run's own latency, and by latency with its own fills."""
    rows = [
        ("optimistic", 1, 5.8),
        ("headline", 1, 1.0),
        ("pessimistic", 1, -0.4),
        ("other", 2, 0.5),
        ("other", 2, None),
    ]
    line = sensitivity([{"role": role, "latency": factor, "pnl_quoting": pnl} for role, factor, pnl in rows])
    assert line == "PnL −0.4 … +5.8 by fill assumption, +0.5 … +1 by latency"


def test_worst_assumption_stands_beside_the_headline():
    """With its latency, if that is not the run's own; a tie is the headline's, which is then the worst itself."""

    def worst_of(*pnl, role="other"):
        rows = [{"role": "headline", "fills": "own", "latency": 1, "pnl_quoting": 1.0}]
        rows += [{"role": role, "fills": f"f{n}", "latency": n, "pnl_quoting": one} for n, one in enumerate(pnl, 1)]
        return worst(Summary.read({"sensitivity": {"rows": rows}}))

    assert worst_of(-0.5, 3.0, role="pessimistic") == "−0.5 under the worst of 3 assumptions (f1)"
    assert worst_of(2.0, -0.25, None) == "−0.25 under the worst of 3 assumptions (f2 at 2 × latency)"
    assert worst_of(1.0, 3.0) == "the least of 3 assumptions"
    assert worst(Summary.read({})) == ""


@pytest.mark.parametrize(
    ("last", "other", "least", "is_bound"),
    [(0.5, -1.0, -1.0, True), (1.5, -1.0, -1.0, False), (1.5, 2.0, None, False), (None, 2.0, None, True)],
)
def test_worst_assumption_is_no_bound_where_the_last_in_the_queue_earns_more(last, other, least, is_bound):
    """Then place and PnL do not go together, and no place in the queue is the worst: also where the headline is."""
    rows = [
        {"role": role, "fills": fills, "latency": latency, "pnl_quoting": pnl}
        for role, fills, latency, pnl in (
            ("headline", "queue_prob_power", 1, 1.0),
            ("other", LAST_IN_QUEUE, 1, last),
            ("other", LAST_IN_QUEUE, 2, 9.0),  # of another latency: no bound of this one
            ("other", "trade_cross", 1, other),
        )
    ]
    told = worst(Summary.read({"sensitivity": {"rows": rows}}))
    assert ("no bound" not in told) is is_bound
    assert told.startswith("the least" if least is None else "−1")


@given(st.floats(1e-11, 1e9) | st.floats(-1e9, -1e-11))
def test_amounts_of_any_quote_asset_are_within_two_percent(amount):
    """A pair quoted in BTC earns millionths; a loss and a profit must not look the same."""
    summary = Result(seeded(300).journal(), run_terms()).summary | {"fees": amount, "pnl_hold": amount}
    lines = {line[:18].strip(): line[18:].replace(",", "").replace("−", "-") for line in text_of(summary).splitlines()}
    assert float(lines["hold"]) == pytest.approx(amount, rel=0.02)
    assert float(lines["fees"]) == pytest.approx(-amount, rel=0.02)
