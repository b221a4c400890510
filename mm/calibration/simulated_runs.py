"""Runs of simulated orders of the methods ``ladder`` and ``fixed``: their quotes, and their results for windows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.fills.base import TradeCross
from mm.backtest.metrics.fill_states import state_sums
from mm.backtest.models import FILL_MODELS
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.rules import Rules
from mm.calibration.exposure import Anchors, RestingOrders
from mm.calibration.quotes import CalibrationLadder, FixedDelta
from mm.calibration.sweeps import SweptQuantity
from mm.errors import UsageError
from mm.instrument import short_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.metrics.market_paths import MarketPaths
    from mm.backtest.result import Result
    from mm.calibration.config import CalibrationConfig
    from mm.tape.tape import Tape

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Played:
    """One run of simulated orders, with the data that windows need.

    Attributes:
        resting: Its orders that rested.
        states: Order-seconds and fills by order state, as in `state_sums`; empty without a fill model.
        result: Result of the backtest, for its files; None if restored from an earlier attempt, or already written.
    """

    resting: RestingOrders
    states: "Floats"
    result: "Result | None" = None


def is_repetition(name: str) -> bool:
    """Return whether a run repeats the ladder with another seed: ``ladder_<n>`` is ``ladder`` of SEED + n."""
    return name.startswith("ladder_")


def runs_of(first: "Tape", config: "CalibrationConfig") -> "Iterator[tuple[str, object]]":
    """Yield name (``ladder``, ``ladder_<n>``, ``delta_<d>``) and quotes of each run that *config* needs."""

    threshold = config.mid_move_threshold_ticks if config.fills is None else 0.0
    reference = config.reference
    if config.method == "ladder":
        for number in range(config.permutations):
            name, seed = f"ladder_{number}" if number else "ladder", config.seed + number
            yield name, CalibrationLadder(config.distances, config.dwell_ms, threshold, seed, first.start_us, reference)
    elif config.method == "fixed":
        for delta in config.distances:
            plain = config.fills is not None and (reference, config.distance) == ("mid", "current")
            quotes = FixedSpread(delta_ticks=delta) if plain else FixedDelta(delta, threshold, reference)
            yield f"delta_{delta:g}", quotes


def simulated(
    tapes: "Sequence[Tape]",
    quotes: object,
    config: "CalibrationConfig",
    rules: Rules | None,
    states: "tuple[Sequence[int], MarketPaths] | None",
) -> Played:
    """Return a run of simulated orders.

    Under a fill model, *states* are the instants in µs between which order states are summed, and the market paths.
    """
    result = _backtested(tapes, quotes, config, rules)
    resting = RestingOrders.of(result.journal, _anchors(quotes, config), by_model=states is not None)
    if states is None:
        return Played(resting, np.empty((0, 9)), result)
    return Played(resting, state_sums(result.journal, recent_us(rules), *states), result)


def _backtested(tapes: "Sequence[Tape]", quotes: object, config: "CalibrationConfig", rules: Rules | None) -> "Result":
    """Return the backtest of simulated orders."""
    from mm.backtest.replay import backtest

    grid = tapes[0].instrument
    given = rules or Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8)
    probes = replace(given, enforce_balances=False, min_notional_e8=0, quote_levels=1, risk=None)
    rule, measured = config.rule, config.fills
    if measured is None:
        probes = replace(probes, quote_lots=1, step_lots=1, step_ticks=1)
        fills: object = TradeCross(strict=rule.hit == "strict") if rule.plain else SweptQuantity(tapes, rule)
    else:
        probes, fills = replace(probes, quote_lots=clip_lots(config, given)), measured.make()
    return backtest(tapes, quotes, fills, probes)


def _anchors(quotes: object, config: "CalibrationConfig") -> Anchors | None:
    """Return the anchors if the config measures distances from them; None if from the current reference."""

    if config.distance != "anchor":
        return None
    taken = quotes.anchors() if isinstance(quotes, FixedDelta | CalibrationLadder) else np.empty((0, 3))
    return Anchors.of(taken, config.reference)


def recent_us(rules: Rules | None) -> int:
    """Return the time in µs for which a move of the mid is recent: until the orders sent after it have arrived."""
    given = rules or Rules(tick_e8=1, lot_e8=1)
    return given.requote_us + given.order_latency_us


def clip_lots(config: "CalibrationConfig", rules: Rules) -> int:
    """Return the lots of an order that is measured under a fill model: that of the config, or the clip of the rules.

    Raises:
        UsageError: If the quantity is not a multiple of the quantity step.
    """
    wanted, step_e8 = config.rule.order_e8, rules.step_lots * rules.lot_e8
    if wanted % step_e8:
        raise UsageError(
            f"the quantity of a measured order, order_e8, is {short_text(wanted)}; it must be a multiple of the "
            f"quantity step {short_text(step_e8)}"
        )
    return wanted // rules.lot_e8 if wanted else rules.quote_lots


Keep = Callable[[str, Callable[[], Played]], Played]
THREADS = 2  # of simulated runs; each holds the journal of a whole run


def played(
    runs: "Iterable[tuple[str, Callable[[], Played]]]", config: "CalibrationConfig", keep: Keep | None
) -> dict[str, Played]:
    """Return runs of simulated orders by name, without their results.

    A replay holds no interpreter lock, so two threads take half of the time. A user's fill model is called by the
    current thread alone.

    Args:
        runs: Names, and functions that play them.
        config: The config of the runs.
        keep: Returns a run by name, calling the function if it is not cached; called by the thread that plays it.
    """

    def result_of(name: str, play: Callable[[], Played]) -> Played:
        return replace(keep(name, play) if keep else play(), result=None)

    if config.fills is not None and config.fills.name not in FILL_MODELS:
        return {name: result_of(name, play) for name, play in runs}
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            found = {name: pool.submit(result_of, name, play) for name, play in runs}
            return {name: run.result() for name, run in found.items()}
        finally:
            pool.shutdown(cancel_futures=True)  # after an error no further run begins
