"""``mm trade`` of a strategy with a leg in the other market: Spot and USD-M, an exchange in a box each."""

import json
import re
import time
from decimal import Decimal

import pytest
from pair_box import BASIS, SPOT, USDM, pair_of
from trading_box import ended, page
from trading_truth import log_rows

from state_servers import free_port

MARKETS = (SPOT, USDM)


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_both_markets_have_the_exchanges_books_over_a_kill(tmp_path, own):
    """The same symbol in both: two accounts, two ledgers, two folders; the first trader is killed with orders open."""
    with pair_of(tmp_path, own) as pair:
        with pair.trader() as process:
            pair.traded(process, 4)
            pair.boxes[own].until(lambda: all(pair.open().values()), "orders in both", process=process)
            process.kill()
            process.wait()
        port = free_port()
        with pair.trader(METRICS_PORT=str(port)) as process:
            pair.traded(process, 3)
            shown = page(port)
            code, output, _ = ended(process)
        assert code == 0, output
        pair.check_books()
        leg = f"SIMUSDT.{pair.leg}"
        assert any(line.startswith(f'mm_position{{symbol="{leg}"}}') for line in shown)
        assert any(line.startswith('mm_position{symbol="SIMUSDT"}') for line in shown)
        assert abs(pair.held(SPOT) + pair.held(USDM)) < Decimal("0.6")
        summary, of_leg = (
            json.loads((pair.of(market).folders()[-1] / "summary.json").read_text()) for market in (own, pair.leg)
        )
        told = summary["legs"]["other"]
        assert (told["n_fills"], told["pnl_total"]) == (of_leg["n_fills"], of_leg["pnl_total"])
        assert summary["pnl_total"] == pytest.approx(summary["own_market"]["pnl_total"] + of_leg["pnl_total"], abs=1e-9)
        prices = {market: Decimal(pair.of(market).table("fills")[-1]["price"]) for market in MARKETS}
        assert abs(prices[USDM] - prices[SPOT] - BASIS) < BASIS / 2


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_recorded_pair_replays_to_the_same_quotes(tmp_path, own):
    """From both recorded days, each without the orders of ours that its own audit log has."""
    with pair_of(tmp_path, own) as pair:
        with pair.trader(RUN_ID="T1") as process:
            pair.traded(process, 8)
            code, output, _ = ended(process)
        assert code == 0, output
        (day,) = (path.name for path in (tmp_path / "data" / "SIMUSDT").iterdir())
        trade = pair.of(own).folders()[-1]
        latencies = {"ORDER_LATENCY_MS": "5", "CANCEL_LATENCY_MS": "5"}
        done = pair.run("backtest", DAY=day, RUN_ID="B1", **latencies)
        assert done.returncode == 0, done.stderr
        for market in MARKETS:
            fills = [row for row in log_rows(pair.of(market)) if row["type"] == "fill"]
            assert fills
            name = "" if market == own else "other: "
            assert f"note: {name}SIMUSDT {day}: " in done.stdout
            assert f" and {len(fills)} trades of ours are taken off" in done.stdout
        leg = json.loads((tmp_path / "out/backtest/SIMUSDT" / f"{day}_B1" / "summary.json").read_text())["legs"][
            "other"
        ]
        assert (leg["symbol"], leg["market"]) == ("SIMUSDT", pair.leg)
        compared = pair.run("compare", str(trade), "B1", "--json")
        assert compared.returncode == 0, compared.stderr
        (agreed,) = json.loads(compared.stdout)["agreement"]
        assert agreed["equal_quotes"] > 0.8
        assert agreed["unmatched_fills"] <= len(fills)  # a busy machine needs more than 5 ms


@pytest.mark.slow
def test_kill_of_one_kills_both_and_flatten_closes_both(tmp_path):
    with pair_of(tmp_path) as pair:
        with pair.trader() as process:
            pair.traded(process, 3)
            there = str(tmp_path / "out" / USDM)
            assert pair.run("risk", "kill", "--symbol", "SIMUSDT", "--out-root", there).returncode == 0
            code, output, _ = ended(process, number=None)
        assert code == 5, output
        assert "mm risk rearm --symbol SIMUSDT --out-root out/usdm allows it" in output
        for market in MARKETS:
            rows = log_rows(pair.of(market))
            kill = next(at for at, row in enumerate(rows) if row["type"] == "kill")
            assert not [row for row in rows[kill:] if row["type"] == "intent" and row["action"] != "cancel"]
        pair.check_books()
        done = pair.run("trade", "flatten", "--json", MAX_COST="50")
        assert done.returncode in (0, 75), done.stderr  # 75: the book moved away
        closed = json.loads(done.stdout)["symbols"]
        assert closed.keys() == {"SIMUSDT", "SIMUSDT.usdm"}
        for key, market in (("SIMUSDT", SPOT), ("SIMUSDT.usdm", USDM)):
            assert Decimal(closed[key]["position_after"]) == pair.held(market)
        pair.check_books()


@pytest.mark.slow
def test_loss_over_both_kills_both(tmp_path):
    """Fees alone are more than the limit, after some fills in both."""
    with pair_of(tmp_path) as pair:
        with pair.trader(ACCOUNT_MAX_DAILY_LOSS="0.15") as process:
            code, output, _ = ended(process, number=None, seconds=90)
        assert code == 5, output
        kills = {market: [row for row in log_rows(pair.of(market)) if row["type"] == "kill"] for market in MARKETS}
        assert all(len(rows) == 1 for rows in kills.values())
        assert any(row["reason"] == "ACCOUNT_MAX_DAILY_LOSS" for rows in kills.values() for row in rows)
        pair.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("dead", MARKETS)
def test_exchange_that_dies_ends_the_quotes_of_the_other(tmp_path, dead):
    """Nothing rests in the market that is left, and nothing is sent there: it could not be hedged.

    SIGTERM ends it then, and the orders that may rest are named by the symbol's key, which is of one market.
    """
    left = USDM if dead == SPOT else SPOT
    with pair_of(tmp_path) as pair, pair.trader() as process:
        pair.traded(process, 2)
        pair.boxes[left].until(lambda: pair.boxes[left].account()["openOrders"], "orders", process=process)
        pair.processes[dead].kill()
        pair.boxes[left].until(lambda: not pair.boxes[left].account()["openOrders"], "no orders", 20, process)
        sent, until_s = len(pair.boxes[left].account()["orders"]), time.monotonic() + 2
        assert process.poll() is None
        pair.boxes[left].until(lambda: time.monotonic() > until_s, "a while", process=process)
        assert len(pair.boxes[left].account()["orders"]) == sent
        code, output, _ = ended(process, seconds=150)
        assert code == 75, output
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        key = "SIMUSDT" if dead == SPOT else "SIMUSDT.usdm"
        assert re.search(rf"may still be open: ({key} mm-\S+ \w+ [\d.]+ at [\d.]+(, |;))+", line), line


@pytest.mark.slow
@pytest.mark.parametrize("stale", MARKETS)
def test_market_that_falls_silent_pulls_the_quotes_of_both(tmp_path, stale):
    """FEED_STALE_S is broken in one: what the other would fill could not be hedged, until ten seconds have passed."""
    with pair_of(tmp_path) as pair, pair.trader() as process:
        own, there = pair.boxes[SPOT], pair.boxes[stale]
        pair.traded(process, 2)
        there.post("/sim/faults", "at time 0 do stall of=any for_s=6")
        limited = lambda: [row for row in log_rows(pair.of(stale)) if row["type"] == "breach"]  # noqa: E731
        own.until(limited, "a breach", process=process)
        own.until(lambda: not any(pair.open().values()), "no orders", 5, process)
        sent, until_s = {market: box.sent() for market, box in pair.boxes.items()}, time.monotonic() + 7
        own.until(lambda: time.monotonic() > until_s, "a while", process=process)
        assert {market: box.sent() for market, box in pair.boxes.items()} == sent
        pair.traded(process, 2)
        code, output, _ = ended(process)
        assert code == 0, output
        assert [row["limit"] for row in limited()] == ["FEED_STALE_S"]
        pair.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_margin_ratio_of_the_contract_kills_both(tmp_path, own):
    """The mark price alone turns against the position; quotes rest in both, and none is left."""
    with pair_of(tmp_path, own) as pair:
        there = pair.boxes[USDM]
        there.post("/sim/transfer", json.dumps({"user": "alice", "asset": "USDT", "amount": "-999940"}))
        wide = {"MAX_DAILY_LOSS": "1000", "MAX_DRAWDOWN": "1", "MAX_LEVERAGE": "100", "ACCOUNT_MAX_DAILY_LOSS": "9999"}
        with pair.trader(MAX_MARGIN_RATIO="0.05", QUOTE_QTY="1", MAX_POSITION="1.3", **wide) as process:

            def squeezed():
                if abs(held := there.position) > Decimal("0.7"):
                    entry = Decimal(there.account()["positions"][0]["entryPrice"])
                    # At .4 % of maintenance, 12 % of the equity: wallet + held · (mark - entry) = |held| · mark / 30.
                    price = f"{(held * entry - there.wallet) / (held - abs(held) / 30):.2f}"
                else:
                    price = None  # the quotes are within the band around the mark price again
                there.post("/sim/mark", json.dumps({"price": price}))
                return process.poll() is not None

            there.until(squeezed, "the kill")
            text = process.communicate(timeout=90)[1]
        assert process.returncode == 5, text
        assert text.splitlines()[-1].count("MAX_MARGIN_RATIO") == 2
        for market in MARKETS:
            rows = log_rows(pair.of(market))
            kill = next(at for at, row in enumerate(rows) if row["type"] == "kill")
            assert not [row for row in rows[kill:] if row["type"] == "intent" and row["action"] != "cancel"]
        assert there.account()["liquidations"] == []
        pair.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_cancel_empties_both_and_does_not_wait_for_a_dead_one(tmp_path, own):
    """The orders of the market that answers end at once, whichever the strategy is in."""
    with pair_of(tmp_path, own) as pair:
        for number, market in enumerate(MARKETS):
            pair.place(market, number)
        done = pair.run("trade", "cancel", "--json")
        assert done.returncode == 0, done.stderr
        assert {one["client_id"][-2:] for one in json.loads(done.stdout)["ended"]} == {"0b", "1b"}
        assert pair.open() == {SPOT: 0, USDM: 0}
        pair.place(pair.leg, 2)
        pair.processes[own].kill()
        left = pair.boxes[pair.leg]
        with pair.command("trade", "cancel", GIVE_UP_S="5") as process:
            left.until(lambda: not left.account()["openOrders"], "no orders", 20, process)
            code, output, _ = ended(process, None, 40)
        assert code == 75, output
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert f"{own} ({pair.boxes[own].url}): no answer for 5 s" in line


@pytest.mark.slow
@pytest.mark.parametrize("down", MARKETS)
def test_exchange_that_is_away_at_the_start_is_waited_for(tmp_path, down):
    """Nothing is sent in the other market meanwhile, and a signal ends the start."""
    with pair_of(tmp_path) as pair:
        other = pair.boxes[USDM if down == SPOT else SPOT]
        pair.processes[down].kill()
        with pair.trader() as process:
            while "exchange_silent" not in (line := process.stderr.readline()):
                assert line
            until_s = time.monotonic() + 3
            other.until(lambda: time.monotonic() > until_s, "a while", process=process)
            code, output, _ = ended(process)
        assert code == 75, output
        assert "nothing was sent" in output
        assert other.account()["orders"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("by_hand", "words"), [(False, "hedge mode"), (True, "the account differs")])
def test_leg_whose_account_is_not_ours_ends_the_start_of_both(tmp_path, by_hand, words):
    """A position that no log has, or an account in hedge mode: nothing is sent in either market."""
    with pair_of(tmp_path) as pair:
        there = pair.boxes[USDM]
        if by_hand:
            there.order("BUY", "1", user="alice")
        else:
            there.signed("POST", "v1/positionSide/dual", "alice", dualSidePosition="true")
        with pair.trader() as process:
            code, output, _ = ended(process, number=None)
        assert code == 3, output
        assert words in output
        assert pair.boxes[SPOT].account()["orders"] == []
        assert len(there.account()["orders"]) == by_hand


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_revoked_key_of_the_leg_is_named_by_its_variable(tmp_path, own):
    """The orders at the other exchange are cancelled; the start after it ends with 2 as well."""
    with pair_of(tmp_path, own) as pair:
        with pair.trader() as process:
            pair.boxes[own].until(lambda: all(pair.open().values()), "orders in both", process=process)
            pair.boxes[pair.leg].post("/sim/faults", "at time 0 do revoke")
            _, first = process.communicate(timeout=120)
        assert pair.open()[own] == 0
        with pair.trader() as process:
            _, second = process.communicate(timeout=120)
        assert process.returncode == 2, second
        for said in (first, second):
            (line,) = [text for text in said.splitlines() if text.startswith("error:")]
            assert f"BINANCE_{pair.leg.upper()}_API_KEY" in line
