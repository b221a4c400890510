"""Our place in the queue: plays the run again and stops at chosen instants."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mm.instrument import E8

if TYPE_CHECKING:
    from mm.play.play import Play


class RestingOrder(NamedTuple):
    order_id: int
    side: int
    us: int
    until_us: int


class Place(NamedTuple):
    """An order's quantity ahead, in the base asset, by the fill model's estimate."""

    order_id: int
    side: int
    us: int
    ahead: float


def queue_places(
    play: "Play", at_us: Sequence[int], orders: Sequence[RestingOrder]
) -> tuple[list[Place], list[tuple[int, int]]]:
    """Play a run up to the last of *at_us*."""
    exchange = play.exchange()
    places = list[Place]()
    due = sorted(at_us)
    for tape in play.tapes:
        exchange.begin(tape)
        here = [us for us in due if us < tape.end_us]
        due = due[len(here) :]
        for us in here:
            exchange.play_to(us)
            for order in orders:
                if order.us <= us < order.until_us and (ahead := exchange.ahead_lots(order.order_id)) is not None:
                    step = tape.instrument.lot_e8 * tape.step_lots / E8
                    places.append(Place(order.order_id, order.side, us, ahead * step))
        if not due:
            break
        exchange.play_to(tape.end_us)
    return places, [(us, order_id) for us, order_id, *_ in exchange.fills_from(0)]
