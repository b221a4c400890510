"""Models of one's own: what they are given, what they may answer, and what happens when they fail."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from lab import Done, Lab
from outside import rows_of
from test_contract_bad_days import DAY, QUOTES, SYMBOL, remains, tiny

SOURCE = """
import json
from pathlib import Path

from mm import Quotes


def told(thing, names):
    return {name: getattr(thing, name) for name in names.split()}


BOOK = "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks"
ORDER = "id side ticks lots live_us queue_lots"


class Recorder:
    def __init__(self, path):
        self.path, self.lines = Path(path), []

    def quote(self, view):
        seen = told(view, BOOK + " inventory_lots cash sigma_ticks")
        seen["here"] = view.lots_at(1, view.bid_ticks)
        seen["trade"] = view.last_trade and told(view.last_trade, "us side ticks lots id")
        self.lines.append(seen)
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
        told(order, ORDER)
        self.calls[name] = self.calls.get(name, 0) + 1
        self.path.write_text(json.dumps(self.calls))

    def on_rest(self, order, book):
        self.note("on_rest", order, told(book, BOOK))

    def on_trade(self, order, trade):
        self.note("on_trade", order, told(trade, "us side ticks lots id"))
        return 7

    def on_book(self, order, book, elapsed_us):
        self.note("on_book", order, told(book, BOOK))
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


def tried(lab: Lab, name: str, **variables: str) -> Done:
    """Run a backtest of the tiny day in a folder that holds the models."""
    folder = lab.root / f"models/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    put_models(folder)
    good = {"SYMBOL": SYMBOL, "DAY": DAY, "DATA_ROOT": str(tiny(lab)), **QUOTES, "QUOTE_QTY": "2"}
    return lab.command(f"models/{name}", "backtest", **{**good, **variables})


def test_a_quote_model_sees_the_view_of_the_contract(lab: Lab) -> None:
    """Every field is there, in the units of §11, and fractions of ticks are floored for bids and ceiled for asks."""
    model = {"QUOTE_MODEL": "my_models:Recorder", "QUOTE_PARAMS_JSON": '{"path": "seen.json"}'}
    done = tried(lab, "recorder", **model, INITIAL_INVENTORY="10", REQUOTE_ON_FILL="0")
    assert done.code == 0, done.err
    seen = json.loads((done.cwd / "seen.json").read_text())
    first = seen[0]
    assert (first["bid_ticks"], first["ask_ticks"], first["mid2_ticks"]) == (9999, 10001, 20000)
    assert (first["bid_lots"], first["here"], first["inventory_lots"]) == (5000, 5000, 10000)
    assert Decimal(str(first["cash"])) == 1000
    assert first["trade"] is None
    assert seen[10]["trade"]["lots"] == 500
    instants = [one["us"] for one in seen]
    assert {after - before for before, after in pairwise(instants)} == {250_000}
    orders = rows_of(next(done.cwd.rglob("orders_*.csv")))
    placed = [(row["side"], row["price"]) for row in orders if row["action"] == "PLACE"]
    assert placed[:2] == [("BUY", "99.99000000"), ("SELL", "100.01000000")]
    withdrawn = [row for row in orders if row["cancel_reason"] == "quote_withdrawn"]
    assert withdrawn


def test_a_fill_model_may_have_all_four_hooks(lab: Lab) -> None:
    """Contract §11: on_rest, on_trade, on_book and on_level are called with an order and what they are about."""
    hooks = {"FILL_MODEL": "my_models:Hooks", "FILL_PARAMS_JSON": '{"path": "calls.json"}'}
    done = tried(lab, "hooks", **hooks, INITIAL_INVENTORY="10")
    assert done.code == 0, done.err
    calls = json.loads((done.cwd / "calls.json").read_text())
    assert {"on_rest", "on_trade", "on_book", "on_level"} == set(calls)
    fills = rows_of(next(done.cwd.rglob("fills_*.csv")))
    assert {row["qty"] for row in fills} <= {"0.00700000", "0.00500000"}
    assert all(row["reason"].endswith(":trade") for row in fills)


def test_the_model_of_the_style_guide_works(lab: Lab) -> None:
    """The example that users will copy: it is found in the current folder and its parameters are its constructor's."""
    done = tried(lab, "through", FILL_MODEL="my_models:OneTickThrough", FILL_PARAMS_JSON='{"share": 0.5}')
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
def test_a_model_that_raises_ends_with_one_and_its_traceback(lab: Lab, name: str) -> None:
    """Exit 1; one line that names the class, then the traceback; no run folder."""
    variable, needle = RAISING[name]
    params = {"QUOTE_PARAMS_JSON": "{}"} if variable == "QUOTE_MODEL" else {}
    done = tried(lab, name, **params, **{variable: f"my_models:{name}"})
    assert done.code == 1, done
    first, second, *_ = done.err.splitlines()
    assert name in first
    assert needle in first
    assert second.startswith("Traceback")
    assert remains(done.cwd) == []
    (log,) = done.cwd.rglob("run.log")
    assert "Traceback" in log.read_text()


WRONG = {
    "WrongQuote": ("QUOTE_MODEL", ("WrongQuote", "quote")),
    "WrongFill": ("FILL_MODEL", ("WrongFill", "on_trade")),
    "Nothing": ("QUOTE_MODEL", ("Nothing", "quote")),
    "Absent": ("QUOTE_MODEL", ("my_models", "Absent")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_model_of_the_wrong_form_is_a_wrong_knob(lab: Lab, name: str) -> None:
    """Exit 2 before anything is played; the line names class and method."""
    variable, needles = WRONG[name]
    params = {"QUOTE_PARAMS_JSON": "{}"} if variable == "QUOTE_MODEL" else {}
    done = tried(lab, name, **params, **{variable: f"my_models:{name}"})
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert all(needle in line for needle in needles), line
    assert remains(done.cwd) == []


def test_a_module_that_is_not_there_is_named(lab: Lab) -> None:
    """Exit 2, the module and where it was looked for."""
    done = tried(lab, "no module", QUOTE_MODEL="no_such_module:Thing", QUOTE_PARAMS_JSON="{}")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "no_such_module" in line


@pytest.mark.parametrize(
    ("variables", "told"),
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
def test_a_wrong_model_is_named_before_the_day_is_looked_for(lab: Lab, variables: dict[str, str], told: str) -> None:
    """One wrong name among several is as wrong as one alone, and no day is needed to say so."""
    done = tried(lab, f"wrong {told[-12:-1]}", **variables, DATA_ROOT="nowhere")
    assert done.code == 2
    assert told in done.err
    assert "no day folder" not in done.err


def test_a_side_s_own_fit_is_refused_without_a_fit(lab: Lab) -> None:
    """An option that would do nothing is named."""
    done = tried(lab, "per side", FILL_MODEL="trade_cross", FILL_PER_SIDE="1")
    assert done.code == 2
    assert "--fill-per-side (FILL_PER_SIDE) is 1, but there is no fit" in done.err
