"""``mm trade`` of a strategy with a leg in the other market: Spot and USD-M, an exchange in a box each."""

import json
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
        assert agreed["unmatched_fills"] <= 2


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
    """Nothing rests in the market that is left, and nothing is sent there: it could not be hedged."""
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
