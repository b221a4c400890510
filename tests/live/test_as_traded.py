"""A trade against the replay of what it did: equal rows of one symbol, of two on one account, and of contracts."""

import json

import pytest
from test_trade_legs import HEDGED
from test_trade_legs import TERMS as HEDGING
from test_trade_one_account import LIMIT, REPLAY, TERMS, rows
from test_trade_symbols import SYMBOLS, account, traded
from trading_box import ended
from usdm_box import contract_box

UNKNOWN = ("active", "cancel_effective", "expire")  # instants to come, which a trade learns later
ROUNDED = 0.02  # quote asset: the engine has commissions in the base asset in whole lots
MOVING = {**TERMS, "QUOTE_MODEL": "avellaneda_stoikov", "QUOTE_PARAMS_JSON": "", "REQUOTE_INTERVAL_MS": "100"}
AGAIN = {"AS_TRADED": "T1", "SENSITIVITY": "0"}
SEEN = """
class Seen:
    signals = ("lead.imbalance_1", "own.imbalance_1")

    def quote(self, view):
        import mm
        lead = view.other("lead")
        theirs, own = (view.signal(name) for name in self.signals)
        if not lead.bid_ticks or theirs is None or own is None:
            return None
        shift = lead.bid_ticks % 3 + (theirs > 0.2) + (own > 0)
        return mm.Quotes(view.bid_ticks - shift, view.ask_ticks + shift)
"""
GAPS = ("do drop n=3", "on all do close code=1001", "on all do reset", "do crossed", "do burst n=60 for_s=2")
REPORTS = ("do drop n=3 of=user", "do ack_lost n=2", "do duplicate n=2 of=user", "do fill_on_cancel n=2")
FAULTS = {"epoch_break": GAPS, "quote_moved": REPORTS, "pulled": ("do halt status=BREAK for_s=4",)}
CONTRACTS = {"LATENCY_THRESHOLD_MS": "60000", "MAX_POSITION": "100", "QUOTE_QTY": "2"}


def of_orders(folder, symbol):
    """Return the rows of a table of orders, without instants that only a replay knows when they are written."""
    found = rows(folder, "orders", symbol)
    return [{name: cell for name, cell in row.items() if not name.startswith(UNKNOWN)} for row in found]


def of_fills(folder, symbol):
    return [
        (row["recv_us"], row["side"], row["price"], row["qty"], row["inventory_after"])
        for row in rows(folder, "fills", symbol)
    ]


def assert_equal(box, replay, symbol, run="T1"):
    """Assert that orders and fills of a trade and of its replay are equal."""
    (trade,) = box.folder.glob(f"out/trade/{symbol}/*_{run}")
    told, played = (of_orders(folder, symbol) for folder in (trade, replay))
    assert len(told) > 20
    assert told == played
    assert of_fills(trade, symbol) == of_fills(replay, symbol)


def assert_replays(box, run, terms):
    """Assert that each symbol of a trade is equal row by row in the replay of the account."""
    replay = replayed(box, f"B{run}", **{**terms, "DAY": day_of(box), **AGAIN, "AS_TRADED": run, "ONE_ACCOUNT": "1"})
    for symbol in SYMBOLS:
        assert_equal(box, replay, symbol, run)


def compared(box, *runs):
    done = box.run("compare", *runs, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def replayed(box, name, *, fails=0, **terms):
    """Return the folder of a backtest, or of one that *fails* with that code what it says."""
    done = box.run("backtest", RUN_ID=name, **terms)
    if fails:
        assert done.returncode == fails, done.stderr
        return done.stderr
    assert done.returncode == 0, done.stderr
    (folder,) = box.folder.glob(f"out/backtest/*/*_{name}")
    return folder


def day_of(box, symbol=SYMBOLS[0]):
    (day,) = (path.name for path in (box.folder / "data" / symbol).iterdir())
    return day


def trades_of(box, symbol):
    return box.get(f"/sim/account?user={box.user}&symbol={symbol}&timeUnit=MICROSECOND&since_us=0")["trades"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{}, {LIMIT: "3"}])
def test_two_symbols_of_one_account_replay_row_by_row(tmp_path, limit):
    """With the trade's instants and reports the engine of a replay decides the same; so does each symbol alone."""
    with account(tmp_path) as box:
        with box.trader(**MOVING, **limit, RUN_ID="T1") as process:
            traded(box, process, 20)
            code, output, _ = ended(process)
        assert code == 0, output
        day = {"DAY": day_of(box)}
        replay = replayed(box, "B1", **MOVING, **limit, **day, **AGAIN, ONE_ACCOUNT="1")
        for symbol in SYMBOLS:
            assert_equal(box, replay, symbol)
            (agreed,) = compared(box, str(box.of(symbol).folders()[-1]), f"B1/{symbol}")["agreement"]
            assert (agreed["equal_rows"], agreed["first_difference"]) == (1, None)
            assert agreed["pnl_difference"] == pytest.approx(0, abs=ROUNDED)
        if limit:
            return
        wider = replayed(box, "D1", **{**MOVING, "QUOTE_MODEL": "symmetric"}, **day, **AGAIN, ONE_ACCOUNT="1", fails=3)
        assert "order 1 of the trade is" in wider, wider
        first = {**MOVING, "SYMBOL": SYMBOLS[0], **day}
        assert_equal(box, replayed(box, "A1", **first, **AGAIN), SYMBOLS[0])
        replayed(box, "A0", **first, **AGAIN, TRADED_FILLS="0", FILL_MODEL="queue_prob_power")
        replayed(box, "C0", **{**first, **REPLAY}, FILL_MODEL="queue_prob_power")
        found = compared(box, str(box.folders()[-1]), "A1", "A0", "C0")
        total = found["agreement"][-1]["pnl_difference"]
        assert found["explained"]["market"] == pytest.approx(0, abs=ROUNDED)
        assert sum(found["explained"].values()) == pytest.approx(total)
        assert found["agreement"][1]["first_difference"].split(", ")[1].startswith(("fills", "report"))


@pytest.mark.slow
@pytest.mark.parametrize("cancelled_for", FAULTS)
def test_a_disturbed_trade_replays_row_by_row(tmp_path, cancelled_for):
    """Gaps and reconnects of the market, lost, late and repeated reports, a halt."""
    with account(tmp_path) as box:
        with box.trader(**MOVING, RUN_ID="T1") as process:
            traded(box, process, 3)
            for fault in FAULTS[cancelled_for]:
                box.post("/sim/faults", f"at time 0 {fault}")
                traded(box, process, 3)
            code, output, _ = ended(process)
        assert code == 0, output
        found = rows(box.of(SYMBOLS[0]).folders()[-1], "orders", SYMBOLS[0])
        assert cancelled_for in {row["cancel_reason"] for row in found} | {row["reject_reason"] for row in found}
        assert_replays(box, "T1", MOVING)


@pytest.mark.slow
def test_a_trade_after_one_that_was_killed_replays_row_by_row(tmp_path):
    """A SIGKILL, a second start on the same day with the first one's position, and a kill switch at its end."""
    with account(tmp_path) as box:
        with box.trader(**MOVING, RUN_ID="T1") as process:
            traded(box, process, 8)
            process.kill()
        with box.trader(**MOVING, RUN_ID="T2") as process:
            traded(box, process, 8)
            assert box.run("risk", "kill", SYMBOL=SYMBOLS[1]).returncode == 0
            code, output, _ = ended(process, number=None)
        assert code == 5, output
        assert_replays(box, "T2", MOVING)


@pytest.mark.slow
def test_a_strategy_with_orders_in_a_second_symbol_replays_row_by_row(tmp_path):
    """The tables of both symbols; with other OTHERS, or a PRESET, it is refused."""
    (tmp_path / "hedged.py").write_text(HEDGED)
    with account(tmp_path) as box:
        with box.trader(**HEDGING, RUN_ID="T1") as process:
            traded(box, process, 5)
            code, output, _ = ended(process)
        assert code == 0, output
        terms = {**HEDGING, **AGAIN, "DAY": day_of(box)}
        replay = replayed(box, "B1", **terms)
        assert_equal(box, replay, SYMBOLS[0])
        (trade,) = tmp_path.glob(f"out/trade/{SYMBOLS[0]}/*_T1")
        told, played = (folder / "legs" / "second" for folder in (trade, replay))
        assert of_orders(told, SYMBOLS[1]) == of_orders(played, SYMBOLS[1])
        assert of_fills(told, SYMBOLS[1]) == of_fills(played, SYMBOLS[1])
        assert "OTHERS" in replayed(box, "B2", fails=2, **{**terms, "OTHERS": ""})
        assert "PRESET" in replayed(box, "B3", fails=2, **terms, PRESET="crypto")


@pytest.mark.slow
def test_a_strategy_that_sees_other_markets_replays_row_by_row(tmp_path):
    """Signals of a second market take their value at each change of the own book, from what had arrived."""
    (tmp_path / "seen.py").write_text(SEEN)
    others = {"lead": {"symbol": SYMBOLS[1]}, "own": {"symbol": SYMBOLS[0]}}
    terms = {**MOVING, "SYMBOL": SYMBOLS[0], "QUOTE_MODEL": "seen:Seen", "OTHERS": json.dumps(others)}
    with account(tmp_path) as box:
        with box.trader(**terms, RUN_ID="T1") as process:
            box.until(lambda: len(trades_of(box, SYMBOLS[0])) > 9, "trades", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert_equal(box, replayed(box, "B1", **terms, **AGAIN, DAY=day_of(box)), SYMBOLS[0])


def of_contracts(box, terms, meddle):
    """Trade both contracts until each has ten trades, meddle, and end in order."""
    with box.trader(**terms, RUN_ID="T1") as process:
        box.until(lambda: all(len(trades_of(box, symbol)) > 9 for symbol in SYMBOLS), "trades", process=process)
        meddle(process)
        code, output, _ = ended(process)
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("modifies", ["0", "1"])
def test_contracts_of_one_margin_account_replay_row_by_row(tmp_path, modifies):
    """Best prices move the book between depth messages, orders move, funding is paid, the market has gaps."""
    terms = {"SYMBOL": ",".join(SYMBOLS), **CONTRACTS, "ORDER_MODIFY": modifies}
    with contract_box(tmp_path, "--symbol", ",".join(SYMBOLS), "--funding-interval-s", "5") as box:

        def meddle(process):
            box.post("/sim/funding", json.dumps({"rate": "0.003"}))
            for fault in ("do drop n=3", "on all do close code=1001"):
                box.post("/sim/faults", f"at time 0 {fault}")
                box.until(lambda: len(box.rows("payment")) > 1, "payments", process=process)

        of_contracts(box, terms, meddle)
        (trade,) = box.folder.glob(f"out/trade/{SYMBOLS[0]}/*_T1")
        assert any(row["action"] == "AMEND" for row in rows(trade, "orders", SYMBOLS[0])) is (modifies == "1")
        assert_replays(box, "T1", terms)


@pytest.mark.slow
def test_a_liquidation_replays_row_by_row(tmp_path):
    """The exchange closes the position of one contract; the other goes on."""
    limits = {"MAX_DAILY_LOSS": "1000", "MAX_DRAWDOWN": "1", "MAX_LEVERAGE": "100", "PRICE_BAND": "1"}
    terms = {"SYMBOL": ",".join(SYMBOLS), **CONTRACTS, **limits}
    with contract_box(tmp_path, "--symbol", ",".join(SYMBOLS)) as box:
        for symbol in SYMBOLS:
            box.signed("POST", "v1/leverage", "alice", symbol=symbol, leverage=75)
        box.post("/sim/transfer", json.dumps({"user": "alice", "asset": "USDT", "amount": "-999985"}))

        def meddle(process):
            box.taken(3, process)  # a small one would survive: half of its value must be more than the 15 of the wallet
            box.post("/sim/mark", json.dumps({"price": "50"}))
            box.until(lambda: box.account()["liquidations"], "a liquidation", process=process)
            box.post("/sim/mark", json.dumps({"price": None}))
            box.until(lambda: any("#" in row["client_id"] for row in box.rows("fill")), "its fill", process=process)

        of_contracts(box, terms, meddle)
        assert_replays(box, "T1", terms)
