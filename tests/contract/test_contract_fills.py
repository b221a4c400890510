"""Recomputed fills: `trade_cross` from the raw prints, `poisson` from the draws of docs/engine.md."""

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from contract_runs import every_drawn_run, every_traded_run, knob, market_of, params_of, run_of
from lab import Lab
from outside import Market, Order, read_orders, rows_of

Fill = tuple[int, int, Decimal]


def recorded_fills(lab: Lab, name: str) -> list[Fill]:
    """Return the fills of the file as (time, order, quantity)."""
    rows = rows_of(run_of(lab, name).file("fills_*.csv"))
    return [(int(row["recv_us"]), int(row["order_id"]), Decimal(row["qty"])) for row in rows]


@every_traded_run
def test_trade_cross_fills_follow_from_prints(lab: Lab, name: str) -> None:
    """Allocating each print to the resting orders by price, then age, reproduces the fills file."""
    market = market_of(lab, name)
    orders = list(read_orders(run_of(lab, name).file("orders_*.csv")).values())
    assert recorded_fills(lab, name) == list(crossed(market, orders, params_of(name)))


def crossed(market: Market, orders: list[Order], params: dict[str, Any]) -> Iterator[Fill]:
    """Yield the fills of the contract's rule, print by print."""
    reach = 1 if params.get("strict") else 0
    share = Decimal(str(params.get("share", 1)))
    waiting = sorted((order for order in orders if not order.reject), key=lambda order: order.active_us)
    resting: list[Order] = []
    for trade in market.prints:
        while waiting and waiting[0].active_us <= trade.us:
            resting.append(waiting.pop(0))
        resting = [order for order in resting if order.end_us > trade.us and order.left > 0]
        lots = (
            trade.qty if share == 1 else (trade.qty / market.step * share).to_integral_value(ROUND_FLOOR) * market.step
        )
        hit = [
            order
            for order in resting
            if (order.sign < 0) == trade.buyer and order.sign * (order.price - trade.price) >= reach * market.tick
        ]
        for order in sorted(hit, key=lambda order: (-order.sign * order.price, order.id)):
            steps = lots // market.step * market.step  # an exchange fills whole steps, or the rest of the order
            qty = order.left if order.left <= lots else steps
            if qty > 0:
                order.left -= qty
                lots -= qty
                yield trade.us, order.id, qty


@every_traded_run
def test_fills_do_not_exceed_printed_quantity(lab: Lab, name: str) -> None:
    """Our fills at one instant total at most the printed quantity."""
    printed: defaultdict[int, Decimal] = defaultdict(Decimal)
    filled: defaultdict[int, Decimal] = defaultdict(Decimal)
    for trade in market_of(lab, name).prints:
        printed[trade.us] += trade.qty
    for us, _, qty in recorded_fills(lab, name):
        filled[us] += qty
    assert all(filled[us] <= printed[us] for us in filled)


@every_drawn_run
def test_poisson_fills_are_between_messages_and_fill_whole_order(lab: Lab, name: str) -> None:
    """Contract §11: a fill has its own time, never that of the next message."""
    market = market_of(lab, name)
    orders = read_orders(run_of(lab, name).file("orders_*.csv"))
    messages = {message.us for message in market.messages}
    fills = recorded_fills(lab, name)
    assert len(fills) > 100
    for us, order, qty in fills:
        assert us not in messages
        assert qty == orders[order].qty


@every_drawn_run
def test_poisson_fills_match_keyed_draws(lab: Lab, name: str) -> None:
    """Each interval of constant intensity has one draw, keyed by seed, side, book event and orders accepted."""
    market = market_of(lab, name)
    orders = list(read_orders(run_of(lab, name).file("orders_*.csv")).values())
    expected = sorted(fill for side in (1, -1) for fill in drawn(market, orders, side, name))
    found = sorted((us, order) for us, order, _ in recorded_fills(lab, name))
    assert [order for _, order in found] == [order for _, order in expected]
    assert all(abs(mine - theirs) <= 1 for (mine, _), (theirs, _) in zip(found, expected, strict=True))


def drawn(market: Market, orders: list[Order], side: int, name: str) -> Iterator[tuple[int, int]]:
    """Yield the fills of one side: intervals begin at order arrivals and changes of the mid."""
    params = params_of(name)
    rates = params.get("bid" if side > 0 else "ask", params)
    mine = [order for order in orders if order.sign == side and not order.reject]
    changes: list[tuple[int, int, int, Order | None, Decimal | None]] = []
    mid = None
    for top in market.tops:
        if top.mid != mid:
            mid = top.mid
            changes.append((top.us, 1, top.seq, None, mid))
    changes += [(order.active_us, 0, order.id, order, None) for order in mine if order.active_us <= market.end_us]
    changes.sort(key=lambda change: change[:3])
    resting: list[Order] = []
    key, accepted, reference = (0, 0), 0, None
    for number, (begin, _, seq, order, moved) in enumerate(changes):
        if order is None:
            key, accepted, reference = (begin, seq), 0, moved
        else:
            resting.append(order)
            accepted += 1
        resting = [candidate for candidate in resting if candidate.end_us > begin]
        end = changes[number + 1][0] if number + 1 < len(changes) else market.end_us + 1
        wait = exponential(int(knob(name, "SEED", "0")), *key, 2 * accepted + (side > 0))
        for candidate in list(resting) if reference is not None else ():
            distance = float(side * (reference - candidate.price) / market.tick)
            at = begin + math.floor(wait * 1e6 / (rates["A"] * math.exp(-rates["k"] * max(distance, 0.0))))
            if begin <= at < min(end, candidate.end_us):
                resting.remove(candidate)
                yield at, candidate.id


def exponential(seed: int, *keys: int) -> float:
    """Return the unit exponential draw of a key, by the formula of docs/engine.md."""
    mixed = mix(seed)
    for key in keys:
        mixed = mix(mixed ^ key)
    return -math.log(((mixed >> 11) + 0.5) / 2**53)


def mix(z: int) -> int:
    """Return 64 mixed bits (splitmix64)."""
    mask = 2**64 - 1
    z = (z + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)
