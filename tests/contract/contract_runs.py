"""The backtests that several test files inspect, by name: one table, so that each runs once.

Together they cover both fill models, partial fills, odd fees, short TTLs, refreshes, insufficient funds and rejects.
"""

from decimal import Decimal

import hand
import pytest
from lab import Lab, Run
from outside import Market, read_days

TRADED_RULE = {"FILL_MODEL": "trade_cross"}
FIXED = {**TRADED_RULE, "QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}'}
TOUCH = {**FIXED, "QUOTE_PARAMS_JSON": '{"delta_ticks": 0}'}
RICH = {"INITIAL_CASH": "100000", "INITIAL_INVENTORY": "50"}
RUNS: dict[str, dict[str, str]] = {
    "default": {},
    "parts": {**TOUCH, **RICH, "QUOTE_QTY": "7", "ORDER_LATENCY_MS": "300", "CANCEL_LATENCY_MS": "200"},
    "lives": {**FIXED, **RICH, "QUOTE_QTY": "0.3", "ORDER_TTL_MS": "1500", "ORDER_LATENCY_MS": "50.5"},
    "fees": {**FIXED, **RICH, "QUOTE_QTY": "1.117", "MAKER_FEE_RATE": "0.00012345", "STATE_INTERVAL_MS": "700"},
    "rebate": {**TOUCH, **RICH, "QUOTE_QTY": "2", "MAKER_FEE_RATE": "-0.00007"},
    "poor": {**TOUCH, "QUOTE_QTY": "4", "INITIAL_CASH": "700.5", "INITIAL_INVENTORY": "0.004"},
    "share": {
        **TOUCH,
        **RICH,
        "QUOTE_QTY": "3",
        "FILL_PARAMS_JSON": '{"strict": true, "share": 0.3}',
        "REFRESH_INTERVAL_MS": "900",
    },
    "hazard": {**FIXED, **RICH, "FILL_MODEL": "poisson", "FILL_PARAMS_JSON": '{"A": 0.8, "k": 0.35}'},
    "sides": {
        **FIXED,
        **RICH,
        "FILL_MODEL": "poisson",
        "FILL_PARAMS_JSON": '{"bid": {"A": 1.5, "k": 0.3}, "ask": {"A": 0.5, "k": 0.2}}',
        "ORDER_TTL_MS": "2000",
        "CANCEL_LATENCY_MS": "400",
        "SEED": "12345",
    },
}
#: Run on a wild capture instead of the simulated day: gaps, varying spreads, corrected clocks, midnight.
WILD = {"SYMBOL": hand.SYMBOL, "INITIAL_CASH": "100000", "INITIAL_INVENTORY": "5000"}
RUNS |= {
    "wild-parts": {**WILD, **TOUCH, "QUOTE_QTY": "7", "ORDER_LATENCY_MS": "300", "CANCEL_LATENCY_MS": "200"},
    "wild-lives": {**WILD, **FIXED, "QUOTE_QTY": "2.5", "ORDER_TTL_MS": "1500", "REQUOTE_INTERVAL_MS": "33.3"},
    "wild-hazard": {**RUNS["sides"], **WILD, "QUOTE_QTY": "2"},
}
RUNS |= {
    "night-parts": {**RUNS["wild-parts"], "DAY": "20260105:20260106"},
    "night-hazard": {**RUNS["wild-hazard"], "DAY": "20260105,20260106"},
}
#: The second implementations in these tests cover only fills by trades, requotes on the grid, and one clock.
PLAIN = {"FILL_MODEL": "trade_cross", "REQUOTE_ON_FILL": "0", "FEED_LATENCY": "none"}
RUNS = {name: PLAIN | knobs for name, knobs in RUNS.items()}
#: These differ in all that accounts and numbers depend on; each of the others varies a part of it.
QUICK = ("parts", "poor", "sides", "wild-hazard", "night-parts")
every_run = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in RUNS]
)


def run_of(lab: Lab, name: str) -> Run:
    """Return the run with this name."""
    data = {"wild": lab.wild, "night": lab.night}.get(name.split("-", maxsplit=1)[0])
    return lab.backtest(name, **RUNS[name], **({"DATA_ROOT": str(data())} if data else {}))


def market_of(lab: Lab, name: str) -> Market:
    """Return the market data that the run with this name replays."""
    if name.startswith("night"):
        return read_days(*(lab.night() / hand.SYMBOL / day for day in ("20260105", "20260106")))
    return lab.market(lab.wild(), hand.SYMBOL) if name.startswith("wild") else lab.market(lab.sim("plain"))


def handmade(name: str) -> bool:
    """Whether the run with this name replays a handmade capture."""
    return name.startswith(("wild", "night"))


def knob(name: str, variable: str, default: str) -> Decimal:
    """Return a setting of the run with this name, or the contract's default."""
    return Decimal(RUNS[name].get(variable, default))


def sign(row: dict[str, str]) -> int:
    """Return +1 for a buy row, −1 for a sell row."""
    return {"BUY": 1, "SELL": -1}[row["side"]]
