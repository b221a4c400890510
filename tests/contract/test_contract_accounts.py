"""Cash and inventory are exact at every row, for runs with different fees, quantities and balances."""

import json
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise

import pytest
from contract_runs import RUNS, every_run, handmade, knob, market_of, run_of, sign
from lab import Lab
from outside import E8, Market, json_of, rows_of


@pytest.mark.slow
@every_run
def test_fees_are_rounded_half_even_to_eight_decimals(lab: Lab, name: str) -> None:
    """A fee that is off by 1e-8 makes cash drift away from the fills."""
    rate = knob(name, "MAKER_FEE_RATE", "0.001")
    fills = rows_of(run_of(lab, name).file("fills_*.csv"))
    assert fills, "a run without fills proves nothing"
    for row in fills:
        exact = Decimal(row["price"]) * Decimal(row["qty"]) * rate
        assert Decimal(row["fee"]) == exact.quantize(E8, ROUND_HALF_EVEN), row


@every_run
def test_inventory_and_cash_follow_from_fills_at_every_row(lab: Lab, name: str) -> None:
    """Contract §4: inventory = initial + Σ signed fills, cash = initial − Σ signed notional − Σ fees."""
    run = run_of(lab, name)
    inventory = knob(name, "INITIAL_INVENTORY", "0")
    cash = knob(name, "INITIAL_CASH", "1000")
    states = rows_of(run.file("state_*.csv"))
    expected = [(inventory, cash)]
    for row in rows_of(run.file("fills_*.csv")):
        signed = sign(row) * Decimal(row["qty"])
        inventory += signed
        cash -= signed * Decimal(row["price"]) + Decimal(row["fee"])
        assert Decimal(row["inventory_after"]) == inventory, row
        expected.append((inventory, cash))
    at = 0
    for row in states:
        here = (Decimal(row["inventory"]), Decimal(row["cash"]))
        at += here != expected[at]
        assert here == expected[at], row
    assert at == len(expected) - 1


@every_run
def test_equity_is_cash_plus_inventory_at_mid(lab: Lab, name: str) -> None:
    """Both columns are derived from cash, inventory and mid."""
    for row in rows_of(run_of(lab, name).file("state_*.csv")):
        assert Decimal(row["mtm_value"]) == Decimal(row["inventory"]) * Decimal(row["mid"]), row
        assert Decimal(row["equity"]) == Decimal(row["cash"]) + Decimal(row["mtm_value"]), row


@pytest.mark.slow
@every_run
def test_state_rows_are_on_grid_and_after_each_fill_only(lab: Lab, name: str) -> None:
    """The grid begins at the first valid book; at the same instant, fills precede the grid row."""
    run, market = run_of(lab, name), market_of(lab, name)
    step = int(RUNS[name].get("STATE_INTERVAL_MS", "1000")) * 1000
    fills = [(int(row["recv_us"]), 0) for row in rows_of(run.file("fills_*.csv"))]
    grid = [(us, 1) for us in range(market.first_us, market.end_us + 1, step)]
    states = rows_of(run.file("state_*.csv"))
    assert [int(row["recv_us"]) for row in states] == [us for us, _ in sorted(fills + grid)]
    assert all(int(row["recv_ms"]) == int(row["recv_us"]) // 1000 for row in states)


@pytest.mark.slow
@every_run
def test_mids_match_recorded_book(lab: Lab, name: str) -> None:
    """State rows and fills are marked at the mid of their own time, not at a later one."""
    run, market = run_of(lab, name), market_of(lab, name)
    seqs: dict[int, list[int]] = {}
    for trade in market.prints:
        seqs.setdefault(trade.us, []).append(trade.seq)
    for row in rows_of(run.file("state_*.csv")) + rows_of(run.file("fills_*.csv")):
        us = int(row["recv_us"])
        # A fill is marked at the book after its own print; where messages share an instant, there are several.
        assert Decimal(row["mid"]) in {market.mark(us, seq) for seq in [*seqs.get(us, []), 2**62]}, row


@every_run
def test_open_orders_are_counted_from_place_to_end(lab: Lab, name: str) -> None:
    """`open_orders` counts SENT, LIVE and CANCELLING orders; at one instant, messages precede the state row."""
    run = run_of(lab, name)
    changes = {"PLACE": 1, "CANCEL_ACK": -1, "CLOSE_FILLED": -1, "EXPIRE": -1, "REJECT": -1}
    # A requote is processed last within an instant: its PLACE rows follow the state row of that instant.
    rows = [row for row in rows_of(run.file("orders_*.csv")) if row["action"] in changes]
    counts = [(int(row["recv_us"]), 2 * (row["action"] == "PLACE"), changes[row["action"]]) for row in rows]
    fills = {int(row["recv_us"]) for row in rows_of(run.file("fills_*.csv"))}
    reported = [
        (int(row["recv_us"]), 1, int(row["open_orders"]))
        for row in rows_of(run.file("state_*.csv"))
        if int(row["recv_us"]) not in fills
    ]
    open_count = 0
    for us, is_state, number in sorted(counts + reported, key=lambda entry: entry[:2]):
        if is_state == 1:
            assert number == open_count, us
        else:
            open_count += number


@every_run
def test_pnl_equals_sum_of_its_parts(lab: Lab, name: str) -> None:
    """Contract §7: the quoting and the hold of the target add up, and so do the parts of the quoting, exactly."""
    run, market = run_of(lab, name), market_of(lab, name)
    target = knob(name, "INITIAL_INVENTORY", "0")
    summary = json_of(run.file("summary.json"))
    states, fills = rows_of(run.file("state_*.csv")), rows_of(run.file("fills_*.csv"))
    assert summary["target_inventory"] == target
    assert summary["pnl_total"] == summary["pnl_quoting"] + summary["pnl_hold"]
    assert summary["pnl_hold"] == target * (Decimal(states[-1]["mid"]) - Decimal(states[0]["mid"]))
    assert summary["pnl_quoting"] == summary["pnl_spread_capture"] + summary["pnl_inventory"] - summary["fees"]
    assert summary["pnl_total"] == Decimal(states[-1]["equity"]) - Decimal(states[0]["equity"])
    assert summary["fees"] == sum(Decimal(row["fee"]) for row in fills)
    spread = sum(sign(row) * (Decimal(row["mid"]) - Decimal(row["price"])) * Decimal(row["qty"]) for row in fills)
    assert summary["pnl_spread_capture"] == spread
    if not handmade(name):  # in handmade captures, prints share an instant with moves of the mid
        assert summary["pnl_inventory"] == drift(market, states, fills, target)


def drift(market: Market, states: list[dict[str, str]], fills: list[dict[str, str]], target: Decimal) -> Decimal:
    """Return Σ (inventory − target) × change of the mid over all changes of the book."""
    end = int(states[-1]["recv_us"])
    moves = [
        (after.us, Decimal(0), after.mid - before.mid)
        for before, after in pairwise(market.tops)
        if after.us <= end and after.mid is not None and before.mid is not None
    ]
    deals = [(int(row["recv_us"]), sign(row) * Decimal(row["qty"]), Decimal(0)) for row in fills]
    inventory, total = Decimal(states[0]["inventory"]), Decimal(0)
    for _, bought, move in sorted(moves + deals):
        total += (inventory - target) * move
        inventory += bought
    return total


@every_run
def test_balances_stay_non_negative(lab: Lab, name: str) -> None:
    """No quote exceeds the balances; only fees of partial fills may round below zero."""
    states = rows_of(run_of(lab, name).file("state_*.csv"))
    assert min(Decimal(row["inventory"]) for row in states) >= 0
    assert min(Decimal(row["cash"]) for row in states) >= -len(states) * E8 / 2


@every_run
def test_prices_and_quantities_are_on_exchange_grid(lab: Lab, name: str) -> None:
    """An order that the exchange would reject cannot have filled."""
    market = market_of(lab, name)
    least = 1 if handmade(name) else 5
    for row in rows_of(run_of(lab, name).file("orders_*.csv")):
        assert Decimal(row["price"]) % market.tick == 0, row
        assert Decimal(row["qty"]) % market.step == 0, row
        assert Decimal(row["price"]) * Decimal(row["qty"]) >= least or row["action"] == "SKIP", row


def test_runs_cover_rejects_skips_partial_fills_and_expiries(lab: Lab) -> None:
    """The checks above mean little unless the runs have rejects, skips, partial fills and expiries."""
    rows = [row for name in RUNS for row in rows_of(run_of(lab, name).file("orders_*.csv"))]
    outcomes = {(row["action"], row["reject_reason"]) for row in rows}
    assert {
        ("REJECT", "would_cross"),
        ("SKIP", "insufficient_cash"),
        ("SKIP", "insufficient_inventory"),
        ("EXPIRE", ""),
        ("CANCEL_ACK", ""),
    } <= outcomes
    assert json.loads(run_of(lab, "parts").file("summary.json").read_text())["n_partial"] > 0
