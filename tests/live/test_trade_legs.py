"""``mm trade`` of a strategy with orders in a second symbol of its account, at the exchange in a box."""

import json
from decimal import Decimal
from urllib.request import urlopen

import pytest
from test_trade_symbols import CALM, FIRST, SECOND, SYMBOLS, account, assert_books, both
from trading_box import ended, page
from trading_truth import log_rows

from state_servers import free_port
from support import in_time, run_python

HEDGED = '''
class Hedge:
    """Quote at the best prices; in the second symbol rest one order, and close there what the first one fills."""

    def on_event(self, market, orders):
        leg, second = orders.at("second"), market.other("second")
        for side, ticks in ((1, market.bid_ticks), (-1, market.ask_ticks)):
            mine = [order for order in orders if order.side == side]
            if not mine:
                orders.submit(side, ticks)
            elif mine[0].ticks != ticks:
                mine[0].cancel()
        if second.bid_ticks is None or second.ask_ticks is None:
            return
        if "far" not in leg:
            leg.submit(1, second.bid_ticks - 30, client_id="far", until_us=market.us + 3_000_000)
        open_lots = orders.inventory_lots + leg.inventory_lots
        taking = any(order.kind == "IOC" for order in leg)
        if abs(open_lots) >= market.quote_lots and not taking:
            side = -1 if open_lots > 0 else 1
            leg.submit(side, second.ask_ticks + 5 if side > 0 else second.bid_ticks - 5, abs(open_lots), "IOC")


class Large:
    """Send orders in the second symbol that the limit of the account forbids beside the quotes in the first."""

    def on_event(self, market, orders):
        second = market.other("second")
        if not len(orders):
            orders.submit(1, market.bid_ticks - 50)
        elif second.bid_ticks:
            order = orders.at("second").submit(1, second.bid_ticks - 50, 2 * market.quote_lots)
            if order.status != "REFUSED":
                raise AssertionError(order)
            open("refused.txt", "w").write(order.reason)


class Both:
    """Send one order in each symbol in a single call; the limit of the account has room for one."""

    def __init__(self, leg_first: bool):
        self.leg_first = leg_first

    def on_event(self, market, orders):
        second = market.other("second")
        if not self.sent and second.bid_ticks:
            sends = [
                lambda: orders.submit(1, market.bid_ticks - 50),
                lambda: orders.at("second").submit(1, second.bid_ticks - 50),
            ]
            self.sent = [send() for send in (reversed(sends) if self.leg_first else sends)]
            open("sent.txt", "w").write(" ".join(f"{order.status}:{order.reason}" for order in self.sent))

    sent = None
'''
LEG = {"taker_fee_rate": "0.001", "quote_qty": "0.2"}
TERMS = {
    **CALM,
    "SYMBOL": FIRST,
    "QUOTE_MODEL": "hedged:Hedge",
    "QUOTE_QTY": "0.2",
    "REQUOTE_INTERVAL_MS": "50",
    "MAX_ORDERS_PER_S": "50",
    "OTHERS": json.dumps({"second": {"symbol": SECOND, "orders": LEG}}),
}


def net(trades):
    """Return the position that trades of the exchange have made, after the commissions in the base asset."""
    held = sum((1 if one["isBuyer"] else -1) * Decimal(one["qty"]) for one in trades)
    return held - sum((Decimal(one["commission"]) for one in trades if one["commissionAsset"] != "USDT"), Decimal(0))


def traded(box, process, fills):
    for symbol in SYMBOLS:
        had = len(box.account(symbol=symbol)["trades"])
        enough = lambda symbol=symbol, had=had: len(box.account(symbol=symbol)["trades"]) >= had + fills  # noqa: E731
        box.until(enough, f"{fills} fills of {symbol}", process=process)


@pytest.fixture(scope="module")
def hedged(tmp_path_factory):
    """Yield the exchange after two trades, the first killed with orders open in both, and the second's pages."""
    folder = tmp_path_factory.mktemp("legs")
    (folder / "hedged.py").write_text(HEDGED)
    with account(folder) as box:
        port = free_port()
        terms = {**TERMS, "METRICS_PORT": str(port)}
        with box.trader(**terms) as process:
            traded(box, process, 4)
            resting = lambda: all(box.account(symbol=symbol)["openOrders"] for symbol in SYMBOLS)  # noqa: E731
            box.until(resting, "open orders of both symbols", process=process)
            process.kill()
            process.wait()
        left = {symbol: box.account(symbol=symbol) for symbol in SYMBOLS}
        with box.trader(**terms) as process:
            traded(box, process, 3)
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
                shown = json.load(answer), page(port)
            end = ended(process)
        yield box, left, shown, end


@pytest.mark.slow
def test_both_legs_end_in_order_with_the_exchanges_books(hedged):
    box, left, _, (code, output, seconds) = hedged
    assert code == 0, output
    assert in_time(seconds, 30)
    assert any(one["openOrders"] for one in left.values())  # of the killed trade
    assert_books(box)


@pytest.mark.slow
def test_positions_of_both_legs_are_exact_over_a_kill(hedged):
    """In the state of the run and the stop of the audit log, from the exchange's trades of both runs."""
    box, left, _, _ = hedged
    for symbol in SYMBOLS:
        trades, of = box.account(symbol=symbol)["trades"], box.of(symbol)
        assert len(trades) > len(left[symbol]["trades"]) > 0
        assert Decimal(of.table("state")[-1]["inventory"]) == net(trades)
        assert Decimal(log_rows(of)[-1]["position"]) == net(trades)
    first, second = (net(box.account(symbol=symbol)["trades"]) for symbol in SYMBOLS)
    assert abs(first + second) < Decimal("0.6")


@pytest.mark.slow
def test_summary_and_files_are_those_of_both_legs(hedged):
    box, *_ = hedged
    first, second = (box.of(symbol).folders()[-1] for symbol in SYMBOLS)
    summary, leg = (json.loads((folder / "summary.json").read_text()) for folder in (first, second))
    found = summary["legs"]["second"]
    assert (found["symbol"], found["n_fills"], found["pnl_total"]) == (SECOND, leg["n_fills"], leg["pnl_total"])
    assert summary["pnl_total"] == pytest.approx(summary["own_market"]["pnl_total"] + leg["pnl_total"], abs=1e-9)
    assert leg["models"]["quote"] == "hedged:Hedge"
    for table in ("fills", "state", "orders"):
        ours = first / "legs" / "second" / f"{table}_{SECOND}.csv"
        assert ours.read_text() == (second / ours.name).read_text()
    knobs = json.loads((second / "run_manifest.json").read_text())["knobs"]
    assert {name: knobs[name]["value"] for name in LEG} == LEG


@pytest.mark.slow
def test_page_shows_both_legs_and_their_pnl(hedged):
    box, _, (health, lines), _ = hedged
    del box
    assert health["symbols"].keys() == set(SYMBOLS)
    assert "pnl_all_legs" in health["symbols"][FIRST]
    assert health["symbols"][SECOND]["ready"]
    shown = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    parts = [Decimal(shown[f'mm_pnl{{symbol="{symbol}",part="total"}}']) for symbol in SYMBOLS]
    assert Decimal(shown[f'mm_pnl_all_legs{{symbol="{FIRST}"}}']) == sum(parts)
    assert f'mm_position{{symbol="{SECOND}"}}' in shown


@pytest.mark.slow
def test_limit_of_the_account_blocks_an_order_of_a_leg_and_says_so(tmp_path):
    (tmp_path / "hedged.py").write_text(HEDGED)
    with account(tmp_path) as box:
        terms = {**TERMS, "QUOTE_MODEL": "hedged:Large", "ACCOUNT_MAX_NOTIONAL": "50"}
        with box.trader(**terms) as process:
            box.until((tmp_path / "refused.txt").exists, "a refused order", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert (tmp_path / "refused.txt").read_text() == "account_max_notional"
        breaches = [row for row in log_rows(box.of(SECOND)) if row["type"] == "breach"]
        assert {row["limit"] for row in breaches} == {"ACCOUNT_MAX_NOTIONAL"}
        assert box.account(symbol=SECOND)["orders"] == []
        assert "risk_breach" in output


@pytest.mark.slow
def test_kill_covers_both_legs_and_flatten_closes_both(tmp_path):
    """The strategy and its OTHERS name the second symbol: it is not listed."""
    (tmp_path / "hedged.py").write_text(HEDGED)
    with account(tmp_path) as box:
        with box.trader(**TERMS) as process:
            traded(box, process, 2)
            assert box.run("risk", "kill", SYMBOL=FIRST).returncode == 0
            code, output, _ = ended(process, number=None)
        assert code == 5, output
        for symbol in SYMBOLS:
            rows = log_rows(box.of(symbol))
            kill = next(at for at, row in enumerate(rows) if row["type"] == "kill")
            assert not [row for row in rows[kill:] if row["type"] == "intent" and row["action"] != "cancel"]
        assert_books(box)
        held = {symbol: net(box.account(symbol=symbol)["trades"]) for symbol in SYMBOLS}
        done = box.run("trade", "flatten", "--json", MAX_COST="5", **TERMS)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["symbols"]
        assert found.keys() == set(SYMBOLS)
        for symbol, one in found.items():
            assert Decimal(one["position_before"]) == held[symbol]
            assert Decimal(one["position_after"]) == net(box.account(symbol=symbol)["trades"])
            assert abs(Decimal(one["position_after"])) <= Decimal(one["plan"]["left"]) + Decimal("0.002")
        assert_books(box)
        assert both(box, "openOrders") == []


URLS = {"WS_URL": "ws://127.0.0.1:1", "REST_URL": "http://127.0.0.1:1", "WS_API_URL": "ws://127.0.0.1:1"}
THERE = {"market": "usdm", "data_root": "there", **{name.lower(): url for name, url in URLS.items()}}


@pytest.mark.parametrize(
    ("changed", "given", "code", "words"),
    [
        ({"market": "options"}, {}, 2, "a market of spot or usdm"),
        ({"data_root": "data"}, {}, 2, "perpetual has orders in another market"),
        ({"ws_api_url": None}, {}, 2, "--venue box needs WS_API_URL"),
        ({"orders": {"initial_inventory": "1"}}, {}, 2, "(INITIAL_INVENTORY) of BOXUSDT.usdm is 1"),
        ({"symbol": FIRST}, {"STATE_URL": "redis://127.0.0.1:1"}, 2, "LEDGER_URL and STATE_URL have one row a symbol"),
        ({}, {"BINANCE_USDM_API_KEY": "key"}, 2, "BINANCE_USDM_API_SECRET"),
        ({"rest_url": "https://fapi.binance.com"}, {}, 5, "is the production exchange, but --venue is box"),
        (
            {"rest_url": None, "ws_url": None, "ws_api_url": None},
            {"VENUE": "production", "TRADE_PRODUCTION": f"{FIRST}:10"} | dict.fromkeys(URLS, ""),
            5,
            "but the symbol is BOXUSDT.usdm",
        ),
    ],
)
def test_leg_in_another_market_that_cannot_be_traded_ends_with_one_line(tmp_path, changed, given, code, words):
    """Before anything is requested: there is no exchange at the addresses."""
    leg = {"symbol": SECOND, "orders": {}, **THERE, **changed}
    others = {"perpetual": {name: value for name, value in leg.items() if value is not None}}
    keys = {"BINANCE_API_KEY": "key", "BINANCE_API_SECRET": "secret"}
    terms = {"SYMBOL": FIRST, "VENUE": "box", "OTHERS": json.dumps(others), "WINDOW_START": "always", **URLS, **keys}
    variables = {name: value for name, value in {**terms, **given}.items() if value != ""}
    done = run_python("-m", "mm", "trade", cwd=tmp_path, **variables)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("leg_first", [False, True])
def test_orders_of_one_call_share_the_limit_of_the_account(tmp_path, leg_first):
    """Two orders of 20 USDT each, of which 30 are allowed: the second one is refused, in either symbol."""
    (tmp_path / "hedged.py").write_text(HEDGED)
    with account(tmp_path) as box:
        params = json.dumps({"leg_first": leg_first})
        terms = {**TERMS, "QUOTE_MODEL": "hedged:Both", "QUOTE_PARAMS_JSON": params, "ACCOUNT_MAX_NOTIONAL": "30"}
        with box.trader(**terms) as process:
            opened = lambda: sum(len(box.account(symbol=symbol)["openOrders"]) for symbol in SYMBOLS)  # noqa: E731
            box.until((tmp_path / "sent.txt").exists, "two orders", process=process)
            box.until(opened, "an open order", process=process)
            first, second = (tmp_path / "sent.txt").read_text().split()
            assert (first, second) == ("SENT:", "REFUSED:account_max_notional")
            assert opened() == 1
            code, output, _ = ended(process)
        assert code == 0, output
