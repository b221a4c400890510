"""Bad input of a backtest, one case per line: models, latencies, days and rules, through the real command."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from lab import Done, Lab
from outside import json_of, rows_of
from test_contract_bad_days import DAY, QUOTES, SYMBOL, leftover_runs, tiny

pytestmark = pytest.mark.slow  # a process for each case

SOURCE = """
from mm import Quotes


class Asks:
    def __init__(self, bid, ask=None, lots=2000):
        self.bid, self.ask, self.lots = bid, ask, lots

    def quote(self, view):
        return Quotes(self.bid, self.ask, self.lots, self.lots)


class Keeps:
    def __init__(self):
        self.before = None

    def quote(self, view):
        before, self.before = self.before, view
        up = before is not None and before.bid_ticks < view.bid_ticks
        return Quotes(view.bid_ticks + up, view.ask_ticks)


class Fills:
    def __init__(self, answer):
        self.answer = answer

    def on_trade(self, order, trade):
        return self.answer


class FillsByTheLast:
    def __init__(self):
        self.last = None

    def on_trade(self, order, trade):
        last, self.last = self.last, trade
        return min(last.lots, trade.lots) if last else 0
"""

LATENCIES = {
    "empty.csv": "",
    "head.csv": "order_ms\n",
    "negative.csv": "order_ms\n5\n-1\n",
    "words.csv": "order_ms,cancel_ms\n5,2\n5,soon\n",
    "nan.csv": "order_ms\nnan\n",
    "other.csv": "latency\n5\n",
}

FILLS = {"FILL_MODEL": "bad_models:Fills"}
ASKS = {"QUOTE_MODEL": "bad_models:Asks"}

#: Name -> variables, exit code, and what the only line must contain.
REJECTED: dict[str, tuple[dict[str, str], int, tuple[str, ...]]] = {
    "lots no number": ({**FILLS, "FILL_PARAMS_JSON": '{"answer": "7"}'}, 1, ("Fills.on_trade", "'7'")),
    "no lots": ({**FILLS, "FILL_PARAMS_JSON": '{"answer": null}'}, 1, ("Fills.on_trade", "None")),
    "negative lots": ({**FILLS, "FILL_PARAMS_JSON": '{"answer": -1}'}, 1, ("Fills.on_trade", "-1", "0 or more")),
    "a trade kept": ({"FILL_MODEL": "bad_models:FillsByTheLast"}, 1, ("trade view", "used after its call")),
    "a view kept": (
        {"QUOTE_MODEL": "bad_models:Keeps", "QUOTE_PARAMS_JSON": "{}"},
        1,
        ("quote view", "after its call"),
    ),
    "a price in words": ({**ASKS, "QUOTE_PARAMS_JSON": '{"bid": "99"}'}, 1, ("Asks.quote", "bid_ticks='99'")),
    "negative quoted lots": (
        {**ASKS, "QUOTE_PARAMS_JSON": '{"bid": 9998, "lots": -2}'},
        1,
        ("Asks.quote", "bid_lots=-2"),
    ),
    "latencies gone": ({"LATENCY_FILE": "gone.csv"}, 3, ("gone.csv",)),
    "latencies a folder": ({"LATENCY_FILE": "."}, 3, ("directory",)),
    "latencies empty": ({"LATENCY_FILE": "empty.csv"}, 3, ("empty.csv", "order_ms")),
    "latencies without a row": ({"LATENCY_FILE": "head.csv"}, 3, ("head.csv", "no rows")),
    "latencies negative": ({"LATENCY_FILE": "negative.csv"}, 3, ("negative.csv:3:", "'-1'")),
    "latencies in words": ({"LATENCY_FILE": "words.csv"}, 3, ("words.csv:3:", "cancel_ms", "'soon'")),
    "latencies not a number": ({"LATENCY_FILE": "nan.csv"}, 3, ("nan.csv:2:", "'nan'")),
    "latencies of another kind": ({"LATENCY_FILE": "other.csv"}, 3, ("other.csv", "order_ms")),
    "a tick larger than the price": ({"TICK_SIZE": "1000"}, 3, ("99.99", "1000", "--tick-size")),
}

#: Name -> variables, and the rule that the note must contain: the run completes and is kept.
IMPOSSIBLE: dict[str, tuple[dict[str, str], str]] = {
    "a notional that no purse has": ({"MIN_NOTIONAL": "100000"}, "insufficient_cash"),
    "a notional over the quote's": ({"MIN_NOTIONAL": "500", "QUOTE_QTY": "1"}, "min_notional"),
    "an empty purse": ({"INITIAL_CASH": "0"}, "insufficient_cash"),
    "a step over all quantities": ({"QTY_STEP": "1000000000"}, "quantity_out_of_range"),
    "a price of zero": ({**ASKS, "QUOTE_PARAMS_JSON": '{"bid": 0}'}, "price_not_positive"),
    "a price below zero": ({**ASKS, "QUOTE_PARAMS_JSON": '{"bid": -3}'}, "price_not_positive"),
    "a greatest quantity under the step": ({"DATA_ROOT": "tight"}, "quantity_out_of_range"),
}


def backtest(lab: Lab, name: str, **variables: str) -> Done:
    """Run a backtest of the tiny day in a folder that contains models and latencies."""
    folder = lab.root / f"bad input/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bad_models.py").write_text(SOURCE)
    for file, text in LATENCIES.items():
        (folder / file).write_text(text)
    good = {"SYMBOL": SYMBOL, "DAY": DAY, "DATA_ROOT": str(tiny(lab)), **QUOTES, "LOG_LEVEL": "ERROR"}
    return lab.command(f"bad input/{name}", "backtest", **{**good, **variables})


@pytest.mark.parametrize("name", REJECTED)
def test_bad_input_is_rejected_with_its_place(lab: Lab, name: str) -> None:
    """The line contains model and hook, or file and row, and the value; no run folder is left; the log is kept."""
    variables, code, needles = REJECTED[name]
    done = backtest(lab, name, **variables)
    assert done.code == code, done
    line, *rest = done.err.splitlines()
    assert all(needle in line for needle in needles), line
    assert not rest, "the traceback is in the log"
    assert leftover_runs(done.cwd) == []
    assert len(list(done.cwd.rglob("run.log"))) == 1


def tight(lab: Lab, folder: Path) -> None:
    """Copy the day into *folder* with an exchange rule that allows no quantity of a whole step."""
    source, copy = tiny(lab) / SYMBOL / DAY, folder / "tight" / SYMBOL / DAY
    for path in source.rglob("*"):
        if path.is_file() and not path.name.startswith("manifest"):
            (copy / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(source)).write_bytes(path.read_bytes())
    rules = json_of(copy / "instrument.json")
    lot_size = next(rule for rule in rules["filters"] if rule["filterType"] == "LOT_SIZE")
    lot_size["maxQty"] = str(Decimal(lot_size["stepSize"]) / 10)
    (copy / "instrument.json").write_text(json.dumps(rules))


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_rule_that_blocks_all_orders_is_reported(lab: Lab, name: str) -> None:
    """The run completes with exit 0; terminal and summary contain the rule."""
    variables, rule = IMPOSSIBLE[name]
    folder = lab.root / f"bad input/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    if "DATA_ROOT" in variables:
        tight(lab, folder)
    done = backtest(lab, name, **variables)
    assert done.code == 0, done.err
    (note,) = [line for line in done.out.splitlines() if "no order reached the book" in line]
    assert rule in note
    summary = json_of(next(done.cwd.rglob("summary.json")))
    assert summary["n_orders"] == 0
    assert note.removeprefix("note: ") in summary["warnings"]
    (orders,) = done.cwd.rglob("orders_*.csv")
    assert {row["action"] for row in rows_of(orders)} == {"SKIP"}
    assert rule in {row["reject_reason"] for row in rows_of(orders)}


def test_price_off_grid_is_rounded_to_it(lab: Lab) -> None:
    """Contract §11: fractional ticks are allowed; a bid is floored and an ask is ceiled to the grid."""
    params = '{"bid": 9998.6, "ask": 10001.2, "lots": 2000}'
    done = backtest(lab, "off the grid", **ASKS, QUOTE_PARAMS_JSON=params, INITIAL_INVENTORY="10")
    assert done.code == 0, done.err
    placed = [row for row in rows_of(next(done.cwd.rglob("orders_*.csv"))) if row["action"] == "PLACE"]
    assert {(row["side"], Decimal(row["price"])) for row in placed} == {
        ("BUY", Decimal("99.98")),
        ("SELL", Decimal("100.02")),
    }


def test_failed_run_keeps_finished_runs(lab: Lab) -> None:
    """A failing run removes neither earlier runs nor the finished symbols of the same command."""
    out = lab.root / "bad input/out"
    first = backtest(lab, "kept", RUN_ID="good", OUT_ROOT=str(out))
    assert first.code == 0, first.err
    before = {path: path.read_bytes() for path in out.rglob("*good/*")}
    assert before
    bad = backtest(lab, "kept beside", **FILLS, FILL_PARAMS_JSON='{"answer": -1}', RUN_ID="bad", OUT_ROOT=str(out))
    assert bad.code == 1
    both = backtest(lab, "kept of two", SYMBOL=f"{SYMBOL},GONEUSDT", RUN_ID="both", OUT_ROOT=str(out))
    assert both.code == 3
    assert f"{SYMBOL} succeeded" in both.err
    assert sorted(path.name for path in out.glob(f"backtest/{SYMBOL}/*")) == [f"{DAY}_both", f"{DAY}_good"]
    assert {path: path.read_bytes() for path in before} == before
