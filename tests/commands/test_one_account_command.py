"""``--one-account``: what a run of several symbols on one account writes, and what is refused."""

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mm as mm_package
from mm import DayFolder
from mm.clock import iso
from mm.errors import UsageError
from mm.runs import mlflow_export
from simulation import simulate_day
from support import run_mm

DAY = "20260105"
SYMBOLS = ("AAAUSDT", "BBBUSDT")
SUMS = ("pnl_total", "pnl_quoting", "pnl_spread_capture", "pnl_inventory", "fees", "n_fills", "n_orders", "n_rejects")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a day of two symbols, and a further day of the first alone."""
    root = tmp_path_factory.mktemp("account")
    for seed, symbol in enumerate(SYMBOLS):
        simulate_day(root / "data", hours=0.1, seed=seed, symbol=symbol)
    simulate_day(root / "data", hours=0.05, seed=9, symbol=SYMBOLS[0], day="20260106")
    return root


def mm(place, *words, code=0, **variables):
    done = run_mm(*words, cwd=place, **variables)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def played(place, run_id, *words, day=DAY):
    mm(place, "backtest", "--symbol", ",".join(SYMBOLS), "--day", day, "--one-account", "1", "--run-id", run_id, *words)
    [folder] = (place / "out" / "backtest" / "+".join(SYMBOLS)).glob(f"*_{run_id}")
    return folder, json.loads((folder / "summary.json").read_text())


def rows(folder, name):
    return pl.read_csv(folder / f"{name}_{'+'.join(SYMBOLS)}.csv", infer_schema=False)


def test_the_account_is_the_exact_sum_of_its_symbols(place):
    folder, summary = played(
        place, "SUM", "--initial-cash", "12.5", "--per-symbol", '{"AAAUSDT": {"QUOTE_QTY": "0.06"}}'
    )
    each = summary["symbols"]
    assert list(each) == list(SYMBOLS)
    for name in SUMS:
        assert Decimal(str(summary[name])) == sum(Decimal(str(one[name])) for one in each.values()), name
    assert each["AAAUSDT"]["quote_qty"] == 0.06 != each["BBBUSDT"]["quote_qty"]
    fills, cash = rows(folder, "fills"), Decimal("12.5")
    assert set(fills["symbol"]) == set(SYMBOLS)
    assert fills["recv_us"].cast(int).is_sorted()
    for side, price, qty, fee in fills.select("side", "price", "qty", "fee").iter_rows():
        cash += (1 if side == "SELL" else -1) * Decimal(price) * Decimal(qty) - Decimal(fee)
        assert cash >= -Decimal("1e-6")
    assert Decimal(summary["balances"]["USDT"]["end"]) == cash
    skips = rows(folder, "orders").filter(pl.col("reject_reason") == "insufficient_cash")
    assert len(skips)  # the purse is too small for both
    last = [rows(folder, "state").filter(pl.col("symbol") == symbol)[-1] for symbol in SYMBOLS]
    assert summary["account"]["equity_end"] == float(sum(Decimal(one["equity"].item()) for one in last))
    assert summary["diversification"]["std_60s"]["sum"] <= sum(
        summary["diversification"]["std_60s"][symbol] for symbol in SYMBOLS
    )


def test_the_order_of_symbols_is_no_other_account(place):
    """Nor of its folder, its rows and its digest; and no sensitivity may be asked for, since it has none."""
    folder, _ = played(place, "ORDER", "--sensitivity", "0")
    words = ("--symbol", ",".join(reversed(SYMBOLS)), "--day", DAY, "--one-account", "1", "--sensitivity", "0")
    mm(place, "backtest", *words, "--run-id", "REVERSED")
    [other] = folder.parent.glob("*_REVERSED")
    digests = [json.loads((one / "run_manifest.json").read_text())["digest"] for one in (folder, other)]
    assert digests[0] == digests[1]


def test_a_run_of_an_account_is_reproduced_and_drawn_again(place):
    folder, summary = played(place, "AGAIN")
    assert "byte-identical" in mm(place, "runs", "reproduce", str(folder))
    mm(place, "report", str(folder))
    page = (folder / "report.html").read_text()
    assert all(f'href="{symbol}/report.html"' in page for symbol in SYMBOLS)
    assert f"{summary['n_fills']:,}" in page
    assert "too few for a Sharpe ratio" in page
    assert "+".join(SYMBOLS) in mm(place, "runs", "list")


def test_a_symbol_without_a_day_is_named_and_the_other_plays(place):
    folder, summary = played(place, "ABSENT", day=f"{DAY},20260106")
    assert summary["absent"] == {"BBBUSDT": ["20260106"]}
    assert summary["days"] == [DAY, "20260106"]
    assert any("BBBUSDT has no data on 20260106" in line for line in summary["warnings"])
    assert any("BBBUSDT ends at" in line and "last mid" in line for line in summary["warnings"])
    later = rows(folder, "fills").filter(pl.col("recv_us").cast(int) > 1767657600 * 10**6)
    assert set(later["symbol"]) == {"AAAUSDT"}


def test_a_loss_of_the_account_ends_all_trading(place):
    folder, summary = played(place, "LOSS", "--account-max-daily-loss", "0.5")
    killed = summary["risk"]["killed"]
    assert killed["reason"] == "ACCOUNT_MAX_DAILY_LOSS"
    assert rows(folder, "orders").filter(pl.col("action") == "PLACE")["recv_us"].cast(int).max() <= killed["us"]
    lost = sum(
        Decimal(part["equity"][0]) - Decimal(part["equity"][-1])
        for symbol in SYMBOLS
        for part in [
            rows(folder, "state").filter((pl.col("symbol") == symbol) & (pl.col("recv_us").cast(int) <= killed["us"]))
        ]
    )
    assert lost > Decimal("0.5")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("backtest", "--symbol", "AAAUSDT"), "give a list"),
        (("backtest", "--symbol", "AAAUSDT,AAAUSDT"), "different symbols"),
        (("backtest", "--symbol", "AAAUSDT,NONEUSDT"), "there is no day of NONEUSDT"),
        (("backtest", "--symbol", "AAAUSDT,BBBUSDT", "--sensitivity", "1"), "of one symbol"),
    ],
)
def test_what_no_account_plays_is_refused_by_name(place, words, why):
    done = run_mm(*words, "--day", DAY, "--one-account", "1", cwd=place)
    assert done.returncode in (2, 3)
    assert why in done.stderr


def test_knobs_of_an_account_need_one(place):
    day = ("backtest", "--symbol", "AAAUSDT,BBBUSDT", "--day", DAY)
    assert "ONE_ACCOUNT is not set" in mm(place, *day, "--account-max-notional", "9", code=2)
    one = ("--one-account", "1", "--per-symbol")
    assert "one account has one" in mm(place, *day, *one, '{"AAAUSDT": {"INITIAL_CASH": "9"}}', code=2)
    assert "not in --symbol" in mm(place, *day, *one, '{"CUSDT": {"QUOTE_QTY": "9"}}', code=2)


class Shares:
    """Quotes at the best prices; tells the others of its account what it has seen."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def quote(self, view):
        self.seen.append((view.us, self.name))
        return mm_package.Quotes(view.bid_ticks, view.ask_ticks)


def test_python_plays_the_account_of_the_command(place):
    own = {"AAAUSDT": {"quote_qty": "0.06"}}
    folder, summary = played(
        place, "PY", "--initial-cash", "12.5", "--per-symbol", '{"AAAUSDT": {"QUOTE_QTY": "0.06"}}'
    )
    tapes = [mm_package.load_day(DayFolder(place / "data", symbol, DAY)) for symbol in SYMBOLS]
    result = mm_package.backtest(tapes, one_account=True, per_symbol=own, initial_cash="12.5")
    assert result.fills["recv_us"].to_list() == rows(folder, "fills")["recv_us"].cast(int).to_list()
    assert result.summary["balances"] == summary["balances"]
    assert [one["pnl_total"] for one in result.summary["symbols"].values()] == [
        one["pnl_total"] for one in summary["symbols"].values()
    ]


def test_python_walks_the_account_of_the_command_forward(place):
    """By the same knobs, names and classes, the knobs of one symbol and the limits of the account."""
    windows = ("--day", DAY, "--wf-train-window-min", "2", "--wf-step-min", "1", "--initial-cash", "12.5")
    limited = ("--account-max-open-orders", "3", "--per-symbol", '{"AAAUSDT": {"QUOTE_QTY": "0.06"}}')
    both = ("walkforward", "--symbol", ",".join(SYMBOLS), "--one-account", "1", "--run-id", "PYWF")
    mm(place, *both, *windows, *limited)
    [folder] = (place / "out" / "walkforward" / "+".join(SYMBOLS)).glob("*_PYWF")
    tapes = [mm_package.load_day(DayFolder(place / "data", symbol, DAY)) for symbol in SYMBOLS]
    shared = {"one_account": True, "wf_train_window_min": 2, "wf_step_min": 1, "initial_cash": np.float64(12.5)}
    own = {"AAAUSDT": {"quote_qty": np.float64(0.06)}}
    walked = mm_package.walkforward(tapes, account_max_open_orders=np.int64(3), per_symbol=own, **shared)
    assert walked.result.fills["recv_us"].to_list() == rows(folder, "fills")["recv_us"].cast(int).to_list()
    assert walked.result.summary["balances"] == json.loads((folder / "summary.json").read_text())["balances"]
    for symbol in SYMBOLS:
        kept = json.loads((folder / symbol / "poisson_schedule.json").read_text())
        assert json.loads(json.dumps(walked.schedules[symbol].to_json()["segments"])) == kept["segments"]
    seen = []
    quotes = {symbol: Shares(symbol, seen) for symbol in SYMBOLS}
    played = mm_package.walkforward(tapes, quotes, fills="trade_cross", **shared)
    alone = mm_package.backtest(tapes, quotes, "trade_cross", one_account=True, initial_cash="12.5")
    assert played.result.fills.equals(alone.fills)
    for wrong, said in (
        ({"others": {"BTCUSDT": tapes[0]}}, "does not take others"),
        ({"sensitivity": True}, "does not take sensitivity"),
        ({"per_symbol": {"CUSDT": {}}}, "CUSDT"),
    ):
        with pytest.raises(UsageError, match=said):
            mm_package.walkforward(tapes, **shared, **wrong)
    with pytest.raises(UsageError, match="without one_account=True"):
        mm_package.walkforward(tapes[0], account_max_open_orders=3)


def test_strategies_of_an_account_are_called_in_the_order_of_time(place):
    tapes, seen = [mm_package.load_day(DayFolder(place / "data", symbol, DAY)) for symbol in SYMBOLS], []
    quotes = {symbol: Shares(symbol, seen) for symbol in SYMBOLS}
    mm_package.backtest(tapes, quotes, "trade_cross", one_account=True)
    assert seen == sorted(seen)
    assert {name for _, name in seen} == set(SYMBOLS)
    with pytest.raises(UsageError, match="dict of objects by symbol"):
        mm_package.backtest(tapes, Shares("", []), one_account=True)
    with pytest.raises(UsageError, match="one_account=True"):
        mm_package.backtest(tapes[:1], account_max_open_orders=3)
    with pytest.raises(UsageError, match="does not take"):
        mm_package.backtest(tapes, one_account=True, sensitivity=True)


def test_a_walkforward_trades_all_symbols_on_one_purse(place):
    """Each by the schedule that it has alone; the verdict is of the account's own PnL, which is on record."""
    words = ("--day", f"{DAY},20260106", "--wf-train-window-min", "2", "--wf-step-min", "1", "--initial-cash", "12.5")
    both = ("walkforward", "--symbol", ",".join(SYMBOLS), "--one-account", "1", "--run-id", "WF")
    mm(place, *both, *words)
    [folder] = (place / "out" / "walkforward" / "+".join(SYMBOLS)).glob("*_WF")
    summary = json.loads((folder / "summary.json").read_text())
    for name in SUMS:
        each = [Decimal(str(one[name])) for one in summary["symbols"].values()]
        assert Decimal(str(summary[name])) == sum(each), name
    assert summary["absent"] == {"BBBUSDT": ["20260106"]}
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert manifest["summary"]["walkforward"]["BBBUSDT"]["segments"] > 0
    mm(place, "walkforward", "--symbol", "BBBUSDT", "--run-id", "WF", *words[2:], "--day", DAY, "--sensitivity", "0")
    [alone] = (place / "out" / "walkforward" / "BBBUSDT").glob("*_WF")
    schedule = "poisson_schedule.json"
    assert (folder / "BBBUSDT" / schedule).read_bytes() == (alone / schedule).read_bytes()
    first_us = json.loads((folder / "AAAUSDT" / schedule).read_text())["segments"][0]["start_us"]
    sent = rows(folder, "orders").filter(pl.col("symbol") == "AAAUSDT")["recv_us"].cast(int)
    assert sent.min() >= first_us
    assert "byte-identical" in mm(place, "runs", "reproduce", str(folder))
    mm(place, "report", str(folder))
    mm(place, *both[:-1], "WF2", *words, "--account-max-notional", "6")
    [again] = (place / "out" / "walkforward" / "+".join(SYMBOLS)).glob("*_WF2")
    tried = [one["trials"]["on_these_days"] for one in (summary, json.loads((again / "summary.json").read_text()))]
    assert tried[1] == tried[0] + 1


def test_an_evaluation_plays_each_day_on_one_purse(place):
    """Each day is the account's backtest of that day; a second call plays nothing again; a lacking symbol is a hole."""
    words = ("--symbol", ",".join(SYMBOLS), "--day", f"{DAY},20260106", "--initial-cash", "12.5")
    own = ("--per-symbol", '{"AAAUSDT": {"QUOTE_QTY": "0.06"}}')
    mm(place, "evaluate", *words, *own, "--one-account", "1", "--jobs", "1", "--run-id", "EV")
    [folder] = (place / "out" / "evaluation" / "+".join(SYMBOLS)).glob("*_EV")
    content = json.loads((folder / "evaluation.json").read_text())
    _, alone = played(place, "EVONE", "--initial-cash", "12.5", *own)
    day = {row["symbol"]: row["pnl_quoting"] for row in content["rows"] if row["day"] == DAY}
    assert day == {symbol: one["pnl_quoting"] for symbol, one in alone["symbols"].items()}
    first, second = content["accounts"]
    assert first["pnl_quoting"] == alone["pnl_quoting"]
    assert first["balances"] == alone["balances"]
    assert first["std_60s_share"] == alone["diversification"]["std_60s_share"]
    assert set(second["balances"]) == {"AAA", "USDT"}
    assert [(hole["symbol"], hole["day"]) for hole in content["holes"]] == [("BBBUSDT", "20260106")]
    assert content["pnl"] == pytest.approx(first["pnl_quoting"] + second["pnl_quoting"], abs=1e-9)
    again = mm_package.evaluate(
        ",".join(SYMBOLS),
        f"{DAY},20260106",
        one_account=True,
        per_symbol={"AAAUSDT": {"QUOTE_QTY": "0.06"}},
        initial_cash="12.5",
        data_root=place / "data",
        out_root=place / "out",
        jobs=1,
    )
    assert again["accounts"] == content["accounts"]
    assert "byte-identical" in mm(place, "runs", "reproduce", str(folder))
    assert_card_of(folder, content)
    assert "give a list" in mm(place, "evaluate", "--symbol", "AAAUSDT", "--day", DAY, "--one-account", "1", code=2)


def assert_card_of(folder, content):
    """The page has what the account of each day earned and ended with."""
    page = (folder / "report.html").read_text().partition("The account by day")[2].partition("</table>")[0]
    for row in content["accounts"]:
        assert row["day"] in page
        assert all(f"{ends['end']} {asset}" in page for asset, ends in row["balances"].items())
        assert f"{100 * row['std_60s_share']:.3g}" in page


def test_an_evaluation_says_when_an_account_stopped(place):
    """In the terminal and on the page."""
    words = ("--symbol", ",".join(SYMBOLS), "--day", DAY, "--one-account", "1", "--account-max-daily-loss", "0.5")
    told = mm(place, "evaluate", *words, "--jobs", "1", "--run-id", "STOPPED")
    [folder] = (place / "out" / "evaluation" / "+".join(SYMBOLS)).glob("*_STOPPED")
    [row] = json.loads((folder / "evaluation.json").read_text())["accounts"]
    end = f"ACCOUNT_MAX_DAILY_LOSS at {iso(row['killed'][0])}"
    assert end in told
    assert end in (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def finished(place):
    """Return two runs of an account, its walk-forward, and one symbol with the same cash alone."""
    first, _ = played(place, "ONE")
    played(place, "TWO", "--initial-cash", "12.5")
    mm(place, "backtest", "--symbol", "AAAUSDT", "--day", DAY, "--run-id", "ALONE", "--sensitivity", "0")
    train = ("--wf-train-window-min", "2", "--wf-step-min", "1", "--run-id", "ROLLED")
    mm(place, "walkforward", "--symbol", ",".join(SYMBOLS), "--day", DAY, "--one-account", "1", *train)
    return first


_OF_BOUNDS = "bounds", "open_share"
"""Numbers of further plays, which an account does not have."""


def test_parts_of_an_account_are_compared_with_other_runs(place, finished):
    """With ample cash a symbol plays as alone: its numbers and orders are those of its own backtest, but for bounds."""
    sheet = json.loads(mm(place, "runs", "compare", "ONE/AAAUSDT", "ALONE", "ROLLED/BBBUSDT", "--json"))
    bounds = {name: values for name, values in sheet["numbers"].items() if name.partition(".")[0] in _OF_BOUNDS}
    assert {values[0] for values in bounds.values()} == {None}
    others = [values for name, values in sheet["numbers"].items() if name not in bounds]
    assert all(values[0] == pytest.approx(values[1]) for values in others)
    assert sheet["runs"][1]["difference"]["pnl"] == pytest.approx(0, abs=1e-9)
    orders = json.loads(mm(place, "compare", f"{finished}/AAAUSDT", "ALONE", "--json"))
    [agreement] = orders["agreement"]
    assert agreement["equal_quotes"] == 1
    assert agreement["unmatched_fills"] == agreement["extra_fills"] == 0 < agreement["matched_fills"]


def test_accounts_are_compared_as_a_whole_and_by_symbol(place, finished):
    """The sums are those of the parts, and of the summaries; TWO has less cash, so it earns another PnL."""
    found = json.loads(mm(place, "compare", "ONE", "TWO", "--json"))
    parts = [json.loads(mm(place, "compare", f"ONE/{name}", f"TWO/{name}", "--json")) for name in SYMBOLS]
    assert found["symbols"] == {name: found["symbols"][name] for name in SYMBOLS}
    for at, run in enumerate(found["runs"]):
        each = [part["runs"][at] for part in parts]
        assert run["pnl_quoting"] == pytest.approx(sum(one["pnl_quoting"] for one in each))
        assert run["fills"] == sum(sum(one["fills"].values()) for one in each)
        whole = mm_package.open_run(run["run_id"], place / "out").summary
        assert run["pnl_quoting"] == pytest.approx(
            whole["pnl_quoting"], rel=0.01
        )  # one has a fill after the other's end
    [agreement] = found["agreement"]
    assert agreement["pnl_difference"] == pytest.approx(sum(one["agreement"][0]["pnl_difference"] for one in parts))
    assert agreement["matched_fills"] == sum(one["agreement"][0]["matched_fills"] for one in parts)
    page = Path(found["path"]) if Path(found["path"]).is_absolute() else place / found["path"]
    assert all(f"<h2>{name}</h2>" in page.read_text() for name in SYMBOLS)
    same = json.loads(mm(place, "compare", "ONE", str(finished), "--json"))["agreement"][0]
    assert same["unmatched_fills"] == same["extra_fills"] == same["pnl_difference"] == 0


def test_a_tear_sheet_has_accounts_and_their_symbols(place, finished):
    """Its curve of an account is the sum of the curves of its parts."""
    sheet = json.loads(mm(place, "runs", "compare", "ONE", "TWO", "ALONE", "--json"))
    one, two = (mm_package.open_run(name, place / "out") for name in ("ONE", "TWO"))
    assert sheet["numbers"]["pnl_quoting"][:2] == [one.summary["pnl_quoting"], two.summary["pnl_quoting"]]
    apart = two.summary["pnl_quoting"] - one.summary["pnl_quoting"]
    assert sheet["runs"][1]["difference"]["pnl"] == pytest.approx(apart, rel=0.03)  # over the common time
    assert one.columns.curve.equity[-1] == pytest.approx(one.summary["pnl_quoting"], abs=1e-6)
    assert len(one.columns.fills["recv_us"]) == one.summary["n_fills"]
    page = Path(sheet["path"]).read_text().partition("Accounts by symbol")[2].partition("</table>")[0]
    assert page.count("AAAUSDT") == page.count("BBBUSDT") == 2
    assert any("different symbols" in line for line in sheet["warnings"])


def test_a_table_of_runs_and_a_store_have_names_of_an_account(place, finished):
    """MLflow takes only letters, digits and / _ . - : and blanks in the name of a metric."""
    mm(place, "runs", "export", "--kind", "account", "--out", str(place / "runs.csv"))
    assert "summary.symbols.AAAUSDT.pnl_quoting" in pl.read_csv(place / "runs.csv").columns
    names = [name for name, _ in mlflow_export._numbers(mm_package.open_run(finished))]
    assert "diversification.correlation.AAAUSDT_BBBUSDT" in names
    assert all(re.fullmatch(r"[/\w.\- :]+", name) for name in names)


def test_an_account_beside_a_single_symbol_is_refused_with_its_parts(place, finished):
    assert "ONE/AAAUSDT or ONE/BBBUSDT" in mm(place, "compare", "ALONE", "ONE", code=2)
    assert "it has AAAUSDT, BBBUSDT" in mm(place, "runs", "compare", "ONE/NONEUSDT", "ALONE", code=2)


def test_a_fill_of_an_account_is_explained_by_the_tape_of_its_symbol(place, finished):
    """By its row in the account's fills, or in those of one symbol."""
    fills = rows(finished, "fills")
    number = fills["symbol"].to_list().index("BBBUSDT") + 1
    picture = ("--picture", str(place / "fill.html"))
    by_row = json.loads(mm(place, "runs", "explain", "ONE", "--fill", str(number), *picture, "--json"))
    by_symbol = json.loads(mm(place, "runs", "explain", "ONE/BBBUSDT", "--fill", "1", "--json"))
    assert by_row["fill"]["recv_us"] == by_symbol["fill"]["recv_us"] == fills["recv_us"][number - 1]
    assert {order["order_id"] for order in by_row["orders"]} == {by_row["fill"]["order_id"]}
    assert by_row["orders"] == by_symbol["orders"]
    assert "played on one account" in (place / "fill.html").read_text()
    assert "BBBUSDT" in mm(place, "runs", "explain", "ROLLED/BBBUSDT")


def test_runs_of_an_account_are_listed_by_each_symbol(place, finished):
    for symbol in ("bbbusdt", "+".join(SYMBOLS)):
        listed = json.loads(mm(place, "runs", "list", "--symbol", symbol, "--json"))["runs"]
        assert {"ONE", "TWO", "ROLLED"} <= {run["run_id"] for run in listed}
        assert "ALONE" not in {run["run_id"] for run in listed}


def test_python_reads_an_account_by_symbol(finished):
    whole = mm_package.open_run(finished)
    for symbol in SYMBOLS:
        part = whole.part(symbol)
        assert len(part.fills_frame()) == part.summary["n_fills"]
        assert part.equity_frame()["pnl"][-1] == pytest.approx(part.summary["pnl_quoting"], abs=1e-6)
        assert part.plot()
        assert symbol in part._repr_html_()
    assert "ONE" in whole._repr_html_()
    for read in (whole.fills_frame, whole.orders_frame, whole.equity_frame, whole.markouts_frame, whole.plot):
        with pytest.raises(UsageError, match=r"run\.part\('AAAUSDT'\)"):
            read()


def test_a_named_fit_of_an_account_is_refused_with_the_file_of_each_symbol(place):
    """The printed words are those that play."""
    for symbol in SYMBOLS:
        mm(place, "calibrate", "--symbol", symbol, "--day", DAY, "--run-id", "FIT")
    words = ("backtest", "--symbol", ",".join(SYMBOLS), "--day", DAY, "--one-account", "1")
    said = mm(place, *words, "--fit", "FIT", code=2)
    for many in (("evaluate", "--jobs", "1"), ("walkforward", "--fallback-policy", "global_default")):
        told = mm(place, *many, *words[1:], "--fit", "last", code=2)
        assert said[said.index("'{") :] == told[told.index("'{") :]
    own = said[said.index("'{") + 1 : said.rindex("}'") + 1]
    mm(place, *words, "--per-symbol", own, "--run-id", "FITTED")
    run = mm_package.open_run("FITTED", place / "out")
    assert "FIT" in run.part("AAAUSDT").knob("fill_params_file")
    assert run.summary["symbols"]["BBBUSDT"]["fit"]
    assert "byte-identical" in mm(place, "runs", "reproduce", str(run.folder))
