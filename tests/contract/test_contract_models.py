"""User models: the views they receive, the values they may return, and how errors are reported."""

import json
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from lab import Done, Lab
from outside import rows_of
from test_contract_bad_days import DAY, QUOTES, SYMBOL, leftover_runs, tiny

pytestmark = pytest.mark.slow  # a process for each case

SOURCE = """
import json
from pathlib import Path

from mm import Quotes


def select(thing, names):
    return {name: getattr(thing, name) for name in names.split()}


BOOK = "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks"
ORDER = "id side ticks lots live_us queue_lots"


class Recorder:
    def __init__(self, path):
        self.path, self.lines = Path(path), []

    def quote(self, view):
        record = select(view, BOOK + " inventory_lots cash sigma_ticks")
        record["here"] = view.lots_at(1, view.bid_ticks)
        record["trade"] = view.last_trade and select(view.last_trade, "us side ticks lots id")
        self.lines.append(record)
        self.path.write_text(json.dumps(self.lines, default=str))
        if len(self.lines) == 3:
            return None
        if len(self.lines) == 5:
            return Quotes(view.bid_ticks + 0.75, None, 2000, 2000)
        return Quotes(view.bid_ticks + 0.75, view.ask_ticks - 0.75, 2000, 2000)


class Hooks:
    def __init__(self, path):
        self.path, self.calls = Path(path), {}

    def note(self, name, order, rest):
        select(order, ORDER)
        self.calls[name] = self.calls.get(name, 0) + 1
        self.path.write_text(json.dumps(self.calls))

    def on_rest(self, order, book):
        self.note("on_rest", order, select(book, BOOK))

    def on_trade(self, order, trade):
        self.note("on_trade", order, select(trade, "us side ticks lots id"))
        return 7

    def on_book(self, order, book, elapsed_us):
        self.note("on_book", order, select(book, BOOK))
        assert elapsed_us >= 0
        return 0

    def on_level(self, order, before_lots, after_lots):
        self.note("on_level", order, before_lots + after_lots)


class OneTickThrough:
    def __init__(self, share):
        self.share = share

    def on_trade(self, order, trade):
        through = order.side * (order.ticks - trade.ticks) > 0
        return int(self.share * trade.lots) if through and trade.side != order.side else 0


class Raises:
    def quote(self, view):
        raise ValueError("boom")


class Exits:
    def quote(self, view):
        raise SystemExit(7)


class Words:
    def quote(self, view):
        return "x"


class NotANumber:
    def quote(self, view):
        return Quotes(float("nan"), None, 1, 1)


class FailsToBegin:
    def __init__(self):
        raise KeyError("begin")

    def quote(self, view):
        return None


class FillRaises:
    def on_trade(self, order, trade):
        raise RuntimeError("boom")


class FillNegative:
    def on_trade(self, order, trade):
        return -5


class WrongQuote:
    def quote(self):
        return None


class WrongFill:
    def on_trade(self, order):
        return 0


class Nothing:
    pass
"""


def put_models(folder: Path) -> None:
    (folder / "my_models.py").write_text(SOURCE)
    (folder / "bad_syntax.py").write_text("def x(:\n")


def backtest(lab: Lab, name: str, **variables: str) -> Done:
    """Run a backtest of the tiny day in a folder that contains the models."""
    folder = lab.root / f"models/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    put_models(folder)
    good = {"SYMBOL": SYMBOL, "DAY": DAY, "DATA_ROOT": str(tiny(lab)), **QUOTES, "QUOTE_QTY": "2"}
    return lab.command(f"models/{name}", "backtest", **{**good, **variables})


def test_quote_model_receives_contract_view(lab: Lab) -> None:
    """All fields are in the units of §11; fractional ticks are floored for bids and ceiled for asks."""
    model = {"QUOTE_MODEL": "my_models:Recorder", "QUOTE_PARAMS_JSON": '{"path": "seen.json"}'}
    done = backtest(lab, "recorder", **model, INITIAL_INVENTORY="10", REQUOTE_ON_FILL="0")
    assert done.code == 0, done.err
    records = json.loads((done.cwd / "seen.json").read_text())
    first = records[0]
    assert (first["bid_ticks"], first["ask_ticks"], first["mid2_ticks"]) == (9999, 10001, 20000)
    assert (first["bid_lots"], first["here"], first["inventory_lots"]) == (5000, 5000, 10000)
    assert Decimal(str(first["cash"])) == 1000
    assert first["trade"] is None
    assert records[10]["trade"]["lots"] == 500
    instants = [record["us"] for record in records]
    assert {after - before for before, after in pairwise(instants)} == {250_000}
    orders = rows_of(next(done.cwd.rglob("orders_*.csv")))
    placed = [(row["side"], row["price"]) for row in orders if row["action"] == "PLACE"]
    assert placed[:2] == [("BUY", "99.99000000"), ("SELL", "100.01000000")]
    withdrawn = [row for row in orders if row["cancel_reason"] == "quote_withdrawn"]
    assert withdrawn


def test_fill_model_hooks_are_all_called(lab: Lab) -> None:
    """Contract §11: on_rest, on_trade, on_book and on_level are called with the order and their arguments."""
    hooks = {"FILL_MODEL": "my_models:Hooks", "FILL_PARAMS_JSON": '{"path": "calls.json"}'}
    done = backtest(lab, "hooks", **hooks, INITIAL_INVENTORY="10")
    assert done.code == 0, done.err
    calls = json.loads((done.cwd / "calls.json").read_text())
    assert {"on_rest", "on_trade", "on_book", "on_level"} == set(calls)
    fills = rows_of(next(done.cwd.rglob("fills_*.csv")))
    assert {row["qty"] for row in fills} <= {"0.00700000", "0.00500000"}
    assert all(row["reason"].endswith(":trade") for row in fills)


def test_style_guide_fill_model_runs(lab: Lab) -> None:
    """The example that users copy is found in the current folder; its parameters are those of its constructor."""
    done = backtest(lab, "through", FILL_MODEL="my_models:OneTickThrough", FILL_PARAMS_JSON='{"share": 0.5}')
    assert done.code == 0, done.err
    assert rows_of(next(done.cwd.rglob("fills_*.csv"))) == []


RAISING = {
    "Raises": ("QUOTE_MODEL", "boom"),
    "Exits": ("QUOTE_MODEL", "SystemExit"),
    "Words": ("QUOTE_MODEL", "Quotes"),
    "NotANumber": ("QUOTE_MODEL", "nan"),
    "FailsToBegin": ("QUOTE_MODEL", "begin"),
    "FillRaises": ("FILL_MODEL", "boom"),
    "FillNegative": ("FILL_MODEL", "-5"),
}


@pytest.mark.parametrize("name", RAISING)
def test_failing_model_exits_1_with_one_line(lab: Lab, name: str) -> None:
    """Exit 1; one line with file, line and class; the traceback is in the log; no run folder."""
    variable, needle = RAISING[name]
    params = {"QUOTE_PARAMS_JSON": "{}"} if variable == "QUOTE_MODEL" else {}
    done = backtest(lab, name, **params, **{variable: f"my_models:{name}"})
    assert done.code == 1, done
    (line,) = done.err.splitlines()
    assert re.match(r"error: my_models\.py:\d+: ", line)
    assert name in line
    assert needle in line
    assert leftover_runs(done.cwd) == []
    (log,) = done.cwd.rglob("run.log")
    assert "Traceback" in log.read_text()


WRONG = {
    "WrongQuote": ("QUOTE_MODEL", ("WrongQuote", "quote")),
    "WrongFill": ("FILL_MODEL", ("WrongFill", "on_trade")),
    "Nothing": ("QUOTE_MODEL", ("Nothing", "quote")),
    "Absent": ("QUOTE_MODEL", ("my_models", "Absent")),
}


@pytest.mark.parametrize("name", WRONG)
def test_malformed_model_exits_2_with_one_line(lab: Lab, name: str) -> None:
    """Exit 2 before the replay; the line contains class and method."""
    variable, needles = WRONG[name]
    params = {"QUOTE_PARAMS_JSON": "{}"} if variable == "QUOTE_MODEL" else {}
    done = backtest(lab, name, **params, **{variable: f"my_models:{name}"})
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert all(needle in line for needle in needles), line
    assert leftover_runs(done.cwd) == []


def test_missing_module_exits_2_with_its_name(lab: Lab) -> None:
    """Exit 2; the line contains the module."""
    done = backtest(lab, "no module", QUOTE_MODEL="no_such_module:Thing", QUOTE_PARAMS_JSON="{}")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "no_such_module" in line


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"FILL_MODEL": "hybrid", "FILL_PARAMS_JSON": '{"models": "trade_cross,price_cross"}'}, "is not a list"),
        (
            {"FILL_MODEL": "hybrid", "FILL_PARAMS_JSON": '{"models": [["trade_cross", {}], ["pirce_cross", {}]]}'},
            "did you mean price_cross?",
        ),
        ({"QUOTE_MODEL": "fixd_spread"}, "did you mean fixed_spread?"),
        ({"QUOTE_MODEL": "os:system"}, "it is a builtin_function_or_method"),
    ],
)
def test_wrong_model_is_rejected_before_day_is_looked_up(lab: Lab, variables: dict[str, str], message: str) -> None:
    """A wrong name is rejected, also within a list, before the day is looked up."""
    done = backtest(lab, f"wrong {message[-12:-1]}", **variables, DATA_ROOT="nowhere")
    assert done.code == 2
    assert message in done.err
    assert "no day folder" not in done.err


def test_fill_per_side_without_fit_is_rejected(lab: Lab) -> None:
    """An option without effect is rejected."""
    done = backtest(lab, "per side", FILL_MODEL="trade_cross", FILL_PER_SIDE="1")
    assert done.code == 2
    assert "--fill-per-side (FILL_PER_SIDE) is 1, but there is no fit" in done.err
