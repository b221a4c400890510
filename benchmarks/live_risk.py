"""The limits on our orders: the cost of a check, called from Python and within a replay.

Each turn runs ``python -m benchmarks.live_risk``, which prints one JSON object.
"""

import json
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.turns import PYTHON, Measured, Row, at_most, run
from mm.backtest._risk import check
from mm.backtest.models import fixed_spread, trade_cross
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.risk import LIVE_DEFAULTS, Risk, RiskLimits, RiskOrder, RiskStanding, limits_of
from mm.backtest.rules import Rules
from mm.clock import US_PER_S
from mm.instrument import E8, Instrument
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS, SECONDS, REPEATS = 20_000, 600, 5
REQUOTES_PER_S = 1_000
GRID = Instrument("BENCHUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
NAMES = {"check_us": "risk check from Python", "requote_us": "a requote: with all limits less without"}
AIM = at_most(5)


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh processes."""
    outputs = [run([*PYTHON, "benchmarks.live_risk"]).output for _ in range(turns)]
    rows = [Row(name, "µs", [output[key] for output in outputs], aim=AIM) for key, name in NAMES.items()]
    return Measured(rows, {"checks": CHECKS, "requotes": SECONDS * REQUOTES_PER_S}, [])


def check_us(checks: int = CHECKS) -> float:
    """Return the µs of a check of an order against every limit, without a breach."""
    limits = _limits()
    order = RiskOrder(1, 10_000, 100)
    standing = RiskStanding(
        us=US_PER_S, mid2_ticks=20_010, low2_ticks=20_000, high2_ticks=20_020, market_us=US_PER_S, equity_e8=10**12
    )
    if check(limits, GRID, standing, order) is not None:
        raise RuntimeError("the order of the measurement breaks a limit; a whole check is to be measured")
    return _median_s(lambda: [check(limits, GRID, standing, order) for _ in range(checks)]) / checks * 1e6


def requote_us(seconds: int = SECONDS) -> float:
    """Return the µs that limits add to a requote of a replay with ten moves of the mid per second."""
    tape = _tape(seconds)
    timers: dict[str, Any] = {"requote_us": US_PER_S // REQUOTES_PER_S, "start_cash_e8": 10**13, "start_lots": 10**6}
    limited, free = (
        Rules(GRID.tick_e8, GRID.lot_e8, **timers, risk=risk, decisions=True) for risk in (_limits(), None)
    )
    with_limits, without = (_median_s(partial(_play, tape, rules)) for rules in (limited, free))
    return (with_limits - without) / (seconds * REQUOTES_PER_S) * 1e6


def _limits() -> RiskLimits:
    wide = {"max_orders_per_s": 100_000, "max_order_notional": "1000000", "max_position": "100"}
    knobs: dict[str, Any] = {**LIVE_DEFAULTS, **wide}
    found = limits_of(Risk(**knobs, widen_bands="[[0.5,2]]"))
    if found is None:
        raise RuntimeError("the measurement has no limits")
    return found


def _tape(seconds: int) -> Tape:
    events: list[Any] = [(US_PER_S, "snapshot", [(10_000, 50)], [(10_010, 50)])]
    for tenth in range(1, 10 * seconds):
        up = tenth % 2
        events.append((US_PER_S + tenth * US_PER_S // 10, "depth", [(10_001, 50 * up)], []))
    return Tape.of(GRID, events)


def _play(tape: Tape, rules: Rules) -> None:
    PaperExchange(fixed_spread(delta_ticks=8), trade_cross(), rules).run(tape)


def _median_s(work: "Callable[[], object]") -> float:
    """Return the median of the seconds that *work* takes."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print the microseconds of each row of `NAMES`, for one turn."""
    print(json.dumps({"check_us": check_us(), "requote_us": requote_us()}))


if __name__ == "__main__":
    main()
