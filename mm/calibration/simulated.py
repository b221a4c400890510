"""The simulated orders of ``ladder`` and ``fixed``: one-lot orders played through the engine, free of balances."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mm.backtest.rules import Rules
from mm.calibration.exposure import Anchors

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.result import Result
    from mm.calibration.quotes import FixedDelta
    from mm.calibration.recipe import Recipe
    from mm.tape.tape import Tape

    Taken = list[tuple[int, float, float]]


@dataclass(frozen=True)
class Played:
    """One run of simulated orders.

    Attributes:
        journal: What happened to them.
        anchors: The references that their quotes were put around: instant, of buys, of sells in ticks.
        result: The run as a backtest, for its files; None where it was kept from an earlier try.
    """

    journal: "Journal"
    anchors: "Taken"
    result: "Result | None" = None

    def counted_from(self, recipe: "Recipe") -> Anchors | None:
        """Return the anchors where the recipe counts distances from them; None for the current reference."""
        return Anchors.of(self.anchors, recipe.reference) if recipe.distance == "anchor" else None


def runs(
    tapes: "Sequence[Tape]", recipe: "Recipe", rules: Rules | None
) -> "Iterator[tuple[str, Callable[[], Played]]]":
    """Yield name (``ladder``, ``ladder_<n>``, ``delta_<d>``) and player of each run that *recipe* needs."""
    for name, quotes in _quotes(tapes[0], recipe):
        yield name, lambda quotes=quotes: _play(tapes, quotes, recipe, rules)  # type: ignore[misc]


def _quotes(first: "Tape", recipe: "Recipe") -> "Iterator[tuple[str, FixedDelta]]":
    from mm.calibration.quotes import CalibrationLadder, FixedDelta

    threshold, reference = recipe.mid_move_threshold_ticks, recipe.reference
    if recipe.method == "ladder":
        for number in range(recipe.permutations):
            seed = recipe.seed + number
            yield (
                f"ladder_{number}" if number else "ladder",
                CalibrationLadder(
                    recipe.deltas, recipe.dwell_ms, threshold, seed, start_us=first.start_us, reference=reference
                ),
            )
        return
    for delta in recipe.deltas:
        yield f"delta_{delta:g}", FixedDelta(delta, threshold, reference)


def _play(tapes: "Sequence[Tape]", quotes: "FixedDelta", recipe: "Recipe", rules: Rules | None) -> Played:
    from mm.backtest.fills.trade_cross import TradeCross
    from mm.backtest.replay import backtest
    from mm.calibration.probe_fills import SweptQuantity

    grid = tapes[0].instrument
    given = rules or Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8)
    probes = replace(given, enforce_balances=False, min_notional_e8=0, quote_lots=1, step_lots=1)
    rule = recipe.rule
    fills = TradeCross(strict=rule.hit == "strict") if rule.plain else SweptQuantity(tapes, rule)
    result = backtest(tapes, quotes, fills, probes)
    return Played(result.journal, quotes.anchors, result)
