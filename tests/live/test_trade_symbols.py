"""``mm trade`` of two symbols on one account of the exchange in a box: limits, kills, crashes, flatten."""

import json
import time
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from trading_box import Venue, ended, page, venue
from trading_truth import PLACING, SIGNS, log_rows

from state_servers import free_port
from support import in_time

FIRST, SECOND = SYMBOLS = "SIMUSDT", "BOXUSDT"
MARKET = ("--symbol", ",".join(SYMBOLS), "--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
CALM = {"SYMBOL": ",".join(SYMBOLS), "LATENCY_THRESHOLD_MS": "60000"}
MOST_ORDERS, CLIP, MOST_NOTIONAL = 3, Decimal("0.5"), Decimal(130)
FAILS = """
class Fails:
    def __init__(self):
        self.quotes = 0

    def quote(self, view):
        import mm
        self.quotes += 1
        if self.quotes == 12:
            raise ValueError("no more")
        return mm.Quotes(view.bid_ticks, view.ask_ticks)
"""


class Account(Venue):
    """The exchange, and its view of one symbol at a time."""

    def account(self, since_us=0, symbol=FIRST):
        query = f"user={self.user}&symbol={symbol}&timeUnit=MICROSECOND&since_us={since_us}"
        return self.get(f"/sim/account?{query}")

    def of(self, symbol):
        """Return the same exchange, whose logs and folders are those of one symbol."""
        found = Account(self.folder, {**self.ready, "symbol": symbol}, self.user)
        found.account = lambda since_us=0: self.account(since_us, symbol)
        return found


@contextmanager
def account(folder, *flags):
    with venue(folder, *MARKET, *flags) as box:
        yield Account(folder, box.ready)


def both(box, what):
    """Return what the exchange has of both symbols."""
    return [one for symbol in SYMBOLS for one in box.account(symbol=symbol)[what]]


def traded(box, process, fills):
    for symbol in SYMBOLS:
        had = len(box.account(symbol=symbol)["trades"])
        enough = lambda symbol=symbol, had=had: len(box.account(symbol=symbol)["trades"]) >= had + fills  # noqa: E731
        box.until(enough, f"{fills} fills of {symbol}", process=process)


def reports(box):
    """Return the execution reports of both symbols in the order of the exchange."""
    found = []
    for symbol in SYMBOLS:
        events = box.account(symbol=symbol)["events"]
        found += [(one["us"], at, one.get("event", one)) for at, one in enumerate(events)]
    return [one for *_, one in sorted(found, key=lambda row: row[:2]) if one.get("e") == "executionReport"]


def assert_books(box):
    """For each symbol: no order is open, and the logs have its orders and fills, once."""
    for symbol in SYMBOLS:
        theirs, rows = box.account(symbol=symbol), log_rows(box.of(symbol))
        assert theirs["openOrders"] == []
        fills = Counter(row["trade_id"] for row in rows if row["type"] == "fill")
        assert fills == dict.fromkeys((int(one["id"]) for one in theirs["trades"]), 1)
        intended = {row["client_id"] for row in rows if row["type"] == "intent" and row["action"] != "cancel"}
        assert {one["clientOrderId"] for one in theirs["orders"]} <= intended


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """Yield the exchange after two trades with limits of the account, the first killed, and pages of the second."""
    with account(tmp_path_factory.mktemp("symbols")) as box:
        box.post("/sim/faults", "")  # an empty script, which makes it keep what it sends
        port = free_port()
        terms = {
            **CALM,
            "METRICS_PORT": str(port),
            "QUOTE_QTY": str(CLIP),
            "MAX_ORDERS_PER_S": "50",
            "ACCOUNT_MAX_OPEN_ORDERS": str(MOST_ORDERS),
            "ACCOUNT_MAX_NOTIONAL": str(MOST_NOTIONAL),
            "PER_SYMBOL": json.dumps({SECOND: {"REQUOTE_INTERVAL_MS": "130"}}),
        }
        with box.trader(**terms) as process:
            traded(box, process, 8)
            process.kill()
        with box.trader(**terms) as process:
            traded(box, process, 8)
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
                shown = json.load(answer), page(port)
            end = ended(process)
        yield box, shown, end


@pytest.mark.slow
def test_symbols_end_in_order_with_the_exchanges_books(limited):
    box, _, (code, output, seconds) = limited
    assert code == 0, output
    assert in_time(seconds, 30)
    assert_books(box)


@pytest.mark.slow
def test_symbols_of_a_trade_share_one_connection(limited):
    """Two trades of two symbols, one after the other: the exchange knows of two connections."""
    box, _, _ = limited
    assert all(box.get(f"/sim/sent?of=user&conn={number}") for number in (1, 2))
    with pytest.raises(HTTPError):
        box.get("/sim/sent?of=user&conn=3")


@pytest.mark.slow
def test_open_orders_of_all_symbols_keep_to_the_limit_of_the_account(limited):
    """By the exchange's own reports, in its order, over both symbols and a SIGKILL; two quote four orders otherwise."""
    box, _, _ = limited
    open_orders, most = set(), 0
    for one in reports(box):
        key = one["s"], one["i"]
        (open_orders.add if one["X"] in ("NEW", "PARTIALLY_FILLED") else open_orders.discard)(key)
        most = max(most, len(open_orders))
    assert 1 < most <= MOST_ORDERS


@pytest.mark.slow
def test_notional_of_all_symbols_keeps_to_the_limit_of_the_account(limited):
    """At the exchange's prices; the mid moves while orders rest, hence 2 %."""
    box, _, _ = limited
    left, held, price, seen = {}, Counter(), {}, []
    for one in reports(box):
        symbol, sign = one["s"], SIGNS[one["S"]]
        price[symbol] = Decimal(one["p"])
        held[symbol] += sign * Decimal(one["l"]) if one["x"] == "TRADE" else 0
        rests = one["X"] in ("NEW", "PARTIALLY_FILLED")
        left[symbol, one["i"]] = sign, Decimal(one["q"]) - Decimal(one["z"]) if rests else Decimal(0)
        reach = {
            name: max(
                side * held[name] + sum(qty for (of, _), (way, qty) in left.items() if of == name and way == side)
                for side in (1, -1)
            )
            for name in price
        }
        row = (one["E"], symbol, one["x"], one["S"], one["i"], one["l"], one["z"], dict(held), reach)
        seen.append((sum(reach[name] * price[name] for name in price), row))
    most = max(total for total, _ in seen)
    at = [total for total, _ in seen].index(most)
    assert MOST_NOTIONAL / 2 < most <= MOST_NOTIONAL * Decimal("1.02"), seen[max(0, at - 12) : at + 1]


@pytest.mark.slow
def test_page_shows_each_symbol_and_the_account(limited):
    _, (health, lines), _ = limited
    assert health["symbols"].keys() == set(SYMBOLS)
    assert health["account"].keys() == {"ACCOUNT_MAX_NOTIONAL", "ACCOUNT_MAX_DAILY_LOSS", "ACCOUNT_MAX_OPEN_ORDERS"}
    assert health["account"]["ACCOUNT_MAX_NOTIONAL"].endswith(f" of {MOST_NOTIONAL}")
    for symbol in SYMBOLS:
        assert any(line.startswith(f'mm_position{{symbol="{symbol}"}}') for line in lines)
    assert sum(line == "# TYPE mm_position gauge" for line in lines) == 1
    assert any(line.startswith("mm_account_open_orders ") for line in lines)


@pytest.mark.slow
def test_orders_beyond_the_account_are_breaches_in_the_audit_log(limited):
    box, _, _ = limited
    found = {row["limit"] for symbol in SYMBOLS for row in log_rows(box.of(symbol)) if row["type"] == "breach"}
    assert found & {"ACCOUNT_MAX_NOTIONAL", "ACCOUNT_MAX_OPEN_ORDERS"}


@pytest.mark.slow
def test_quote_asset_spent_behind_all_symbols_stops_all(tmp_path):
    """A third symbol was bought by hand: no position of ours differs, but the money that all of ours share does."""
    three = ",".join((*SYMBOLS, "CUPUSDT"))
    with venue(tmp_path, *MARKET[2:], "--symbol", three) as served:
        box = Account(tmp_path, served.ready)
        with box.trader(**CALM, RECONCILE_INTERVAL_S="1") as process:
            traded(box, process, 5)

            def stopped(symbol):
                rows = [row for row in log_rows(box.of(symbol)) if row["type"] == "breach"]
                return [row for row in rows if row["limit"] == "ACCOUNT" and "USDT" in row["message"]]

            assert not any(map(stopped, SYMBOLS))
            box.of("CUPUSDT").order("BUY", "3", user=box.user)
            box.until(lambda: all(map(stopped, SYMBOLS)), "a stop of both", process=process)
            box.until(lambda: not both(box, "openOrders"), "the cancels", process=process)
            assert all("of all symbols" in stopped(symbol)[0]["message"] for symbol in SYMBOLS)
            assert ended(process)[0] == 0


@pytest.mark.slow
def test_kill_of_one_symbol_kills_all_and_flatten_closes_what_is_left(tmp_path):
    with account(tmp_path) as box:
        with box.trader(**CALM) as process:
            traded(box, process, 3)
            assert box.run("risk", "kill", SYMBOL=SECOND).returncode == 0
            code, output, _ = ended(process, number=None)
        assert code == 5, output
        assert output.count("error:") == 1
        assert f"mm risk rearm --symbol {FIRST}" in output
        for symbol in SYMBOLS:
            rows = log_rows(box.of(symbol))
            kill = next(at for at, row in enumerate(rows) if row["type"] == "kill")
            assert not [row for row in rows[kill:] if row["type"] == "intent" and row["action"] != "cancel"]
        assert_books(box)
        before = len(both(box, "requests"))
        started = box.run("trade", **CALM)
        assert (started.returncode, len(both(box, "requests"))) == (5, before)
        _flatten(box)
        rearmed = box.run("risk", "rearm", SYMBOL=",".join(SYMBOLS))
        assert rearmed.returncode == 0
        assert rearmed.stdout.count("was triggered") == 2


def _flatten(box):
    """State the cost, refuse a smaller one, and close the positions at no more than the consent."""
    orders = len(both(box, "orders"))
    stated = box.run("trade", "flatten", "--json", **CALM)
    assert stated.returncode == 0, stated.stderr
    plans = json.loads(stated.stdout)["symbols"]
    most = sum(Decimal(one["plan"]["most"]) for one in plans.values())
    assert most > 0
    refused = box.run("trade", "flatten", MAX_COST="0.00000001", **CALM)
    assert (refused.returncode, refused.stderr.count("error:")) == (5, 1)
    assert len(both(box, "orders")) == orders
    consent = 20 * most
    done = box.run("trade", "flatten", "--json", MAX_COST=f"{consent:.8f}", **CALM)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["symbols"]
    cost = Decimal(0)
    for symbol, one in found.items():
        trades = box.account(symbol=symbol)["trades"]
        net = sum((1 if trade["isBuyer"] else -1) * Decimal(trade["qty"]) for trade in trades)
        fees = sum(Decimal(trade["commission"]) for trade in trades if trade["commissionAsset"] != "USDT")
        assert Decimal(one["position_after"]) == net - fees
        left = Decimal(one["plan"]["left"])  # below a step, or in all below the minimum notional
        assert left * Decimal(one["plan"]["mid"]) < 6
        assert abs(Decimal(one["position_after"])) < left + Decimal("0.002")  # and the commission of the last order
        cost += Decimal(one["cost"])
    assert cost <= consent
    assert_books(box)


@pytest.mark.slow
def test_crash_of_one_symbol_ends_the_other_in_order(tmp_path):
    """The model of one raises: the run folder of the other is whole, no order stays open, the exit code is 1."""
    (tmp_path / "fails.py").write_text(FAILS)
    own = json.dumps({SECOND: {"QUOTE_MODEL": "fails:Fails"}})
    with account(tmp_path) as box:
        with box.trader(PER_SYMBOL=own, **CALM) as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 1, output
        assert output.count("error:") == 1
        assert "no more" in output
        assert_books(box)
        (folder,) = box.of(FIRST).folders()
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["ended"]["reason"].startswith(SECOND)
        assert not box.of(SECOND).folders()


@pytest.mark.slow
def test_loss_of_all_symbols_kills_all(tmp_path):
    with account(tmp_path, "--limits", "off") as box:
        with box.trader(ACCOUNT_MAX_DAILY_LOSS="0.03", MAX_DAILY_LOSS="1000", **CALM) as process:
            code, output, _ = ended(process, number=None, seconds=200)
        assert code == 5, output
        reasons = [row["reason"] for symbol in SYMBOLS for row in log_rows(box.of(symbol)) if row["type"] == "kill"]
        assert len(reasons) == 2
        assert all("ACCOUNT_MAX_DAILY_LOSS" in reason for reason in reasons)
        assert_books(box)


@pytest.mark.slow
def test_wrong_input_ends_with_one_line_and_sends_nothing(tmp_path):
    with account(tmp_path) as box:
        for code, named, terms in (
            (2, "NOPEUSDT", {"SYMBOL": f"{FIRST},NOPEUSDT"}),
            (2, "different symbols", {"SYMBOL": f"{FIRST},{FIRST}"}),
            (2, "ACCOUNT_MAX_NOTIONAL", {"ACCOUNT_MAX_NOTIONAL": "1"}),
            (2, "MAX_POSITION", {"PER_SYMBOL": json.dumps({SECOND: {"MAX_POSITION": "0.0001"}})}),
            (2, "MAX_ORDER_NOTIONAL", {"MAX_ORDER_NOTIONAL": "0.5"}),
            (2, "MAX_POSITION?", {"PER_SYMBOL": json.dumps({SECOND: {"MAX_POSITON": "1"}})}),
            (2, "XUSDT", {"PER_SYMBOL": json.dumps({"XUSDT": {}})}),
        ):
            done = box.run("trade", **{**CALM, "LOG_LEVEL": "CRITICAL", **terms})
            assert done.returncode == code, done.stderr
            (line,) = done.stderr.splitlines()
            assert named in line
        assert both(box, "requests") == []
        with box.trader(**CALM) as process:
            box.until(lambda: both(box, "requests"), "orders", process=process)
            done = box.run("trade", SYMBOL=SECOND)
            assert (done.returncode, done.stderr.count("error:")) == (75, 1)
            assert ended(process)[0] == 0


@pytest.mark.slow
def test_revoked_key_ends_the_trade(tmp_path):
    """Each later request is refused; the trade ends with one line instead of sending on."""
    with account(tmp_path) as box:
        with box.trader(**{**CALM, "SYMBOL": FIRST}) as process:
            box.until(lambda: len(both(box, "requests")) > 3, "orders", process=process)
            box.post("/sim/faults", "at time 0 do error code=-2015 undone=1 n=100000")
            code, output, _ = ended(process, number=None, seconds=60)
        assert code == 2, output
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "-2015" in line
        before = len([one for one in both(box, "requests") if one["method"] in PLACING])
        time.sleep(1)
        assert len([one for one in both(box, "requests") if one["method"] in PLACING]) == before


@pytest.mark.slow
def test_shadows_of_two_symbols_equal_their_replays(tmp_path):
    """One process, two paper accounts, each with a recording and a comparison of its own."""
    with account(tmp_path) as box:
        with box.trader("--run-id", "S1", entry=("-m", "mm", "shadow"), **CALM) as process:
            days = [f"data/{symbol}/*/events*" for symbol in SYMBOLS]
            box.until(lambda: all(any(tmp_path.glob(day)) for day in days), "both recordings", process=process)
            time.sleep(10)
            code, output, _ = ended(process, seconds=120)
        assert code == 0, output
    for symbol in SYMBOLS:
        (folder,) = tmp_path.glob(f"out/shadow/{symbol}/*_S1")
        found = json.loads((folder / "reconcile.json").read_text())
        assert found["same"], (symbol, found["first_difference"])
        assert found["decisions"] > 0
        assert json.loads((folder / "run_manifest.json").read_text())["knobs"]["symbol"]["value"] == symbol
