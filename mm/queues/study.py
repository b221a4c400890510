"""Truth and models on one market, on one clock."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.queues.order_rows import read_rows
from mm.queues.phantoms import Fates, Phantoms, Plan, phantoms
from mm.queues.play import on_exchange_time, play
from mm.queues.truth import Truth

if TYPE_CHECKING:
    from mm.tape.tape import Tape


def study(
    tape: "Tape",
    log: Path,
    plan: Plan,
    models: Mapping[str, Callable[[], object]],
    step: Callable[[int], None] = lambda _count: None,
) -> tuple[Phantoms, Fates, dict[str, Fates]]:
    """Return imagined orders, what would have become of them, and what each model makes of them.

    Args:
        tape: The day as it was recorded.
        log: Its order log.
        plan: Which orders.
        models: What makes each model, by its name.
        step: Told 1 after each model.

    Raises:
        UsageError: If the day is too short for a single order.
        BrokenFile: If the log is none.
    """
    orders = phantoms(on_exchange_time(tape, {}), plan)
    if not len(orders):
        raise UsageError(
            f"{log}: no order of {plan.life_us / US_PER_S:g} s finds a place on this day; "
            f"give a shorter --life-s (QUEUE_LIFE_S)"
        )
    truth = Truth(orders)
    truth.play(read_rows(log))
    moved = on_exchange_time(tape, truth.trade_us)
    played = {}
    for name, fills in models.items():
        played[name] = play(moved, orders, fills)
        step(1)
    return orders, truth.fates(), played
