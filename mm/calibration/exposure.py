"""Runs of simulated orders of ``ladder`` and ``fixed``: their quotes, and their exposure and fills at each distance.

docs/calibration.md has the rules. An order's distance is from the current reference, so it changes as the market moves;
or, for comparison, from its quote's anchor. Time and fills while it is nearer than its own side's best price, or the
book is invalid, are left out: prints cannot show whether it would have filled. If a backtest's fill model determined
the fills (``by_model``), all resting time on a valid book counts. A fill counts at the distance before it, even if the
book moved onto the order at the same instant.

Distances from the mid are odd numbers of half ticks under an odd spread and whole ticks under an even one, and fills
are more frequent while the spread is unusual. So the two kinds are pooled and interpolated separately.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.backtest.fills.base import TradeCross
from mm.backtest.journal import NEVER, LifeLog
from mm.backtest.models import FILL_MODELS
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.base.arrays import Floats, Ints, Mask, Rows
from mm.calibration._exposure import keys_of, resting_time
from mm.calibration.fit_result import Line
from mm.calibration.points import Points, group, sum_by
from mm.calibration.quotes.calibration_ladder import CalibrationLadder, FixedDelta
from mm.calibration.reference import CLOSED, PER_TICK, ReferencePath
from mm.calibration.sweeps import SweptQuantity
from mm.errors import UsageError
from mm.instrument import short_text
from mm.tape.columns import trim_heap

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.result import Result
    from mm.calibration.config import CalibrationConfig
    from mm.tape.tape import Tape


FOREVER = 1 << 62
POOL_FILLS = 20  # neighbouring distances are pooled to this number of fills
NODE_SHARE = 0.3  # of the most order time at a nearby distance; distances with less are left out
NEARBY, NEARBY_SHARE = 2, 0.2  # half ticks, and share of the distance, that are nearby
FILLED_TICKS = 20.0  # up to here rates are interpolated at every half tick


@dataclass(frozen=True)
class Anchors:
    us: Ints
    steps: dict[int, Ints]
    per_tick: int

    @classmethod
    def of(cls, taken: Floats, reference: str) -> Self:
        us, buy, sell = taken.T
        per_tick = PER_TICK[reference]
        steps = {side: np.rint(per_tick * ticks).astype(np.int64) for side, ticks in ((1, buy), (-1, sell))}
        return cls(us.astype(np.int64), steps, per_tick)

    def distances(self, us: Ints, side: Ints, ticks: Ints) -> Ints:
        at = np.searchsorted(self.us, us, side="right") - 1
        anchor = np.where(side == 1, self.steps[1][at], self.steps[-1][at])
        distance: Ints = np.maximum(side * (anchor - self.per_tick * ticks), 0)
        return distance


@dataclass(frozen=True)
class _Places:
    """Where fills happened; *distance* in steps, ``CLOSED`` for orders that are not exposed."""

    us: Ints
    side: Ints
    block: Ints
    distance: Ints

    @property
    def keys(self) -> Ints:
        counted = self.distance != CLOSED
        return keys_of(self.side[counted], self.block[counted], self.distance[counted])


@dataclass(frozen=True)
class RestingOrders:
    """A run's resting orders, one per row, for the exposure of any window.

    Attributes:
        end_us: End of exposure; far in the future while open.
        filled: Whether a fill ended it; empty if all fills count.
        distance: From the anchor, in steps; None: from the current reference.
    """

    side: Ints
    ticks: Ints
    start_us: Ints
    end_us: Ints
    filled: Mask
    mid2: Ints
    distance: Ints | None
    fills: Ints | None

    @classmethod
    def of(cls, journal: "Journal", anchors: Anchors | None = None, *, by_model: bool = False) -> Self:
        sent = journal.order_lives
        side, ticks, active_us = sent.side, sent.ticks, sent.active_us
        fills = journal.fills
        row = fills.order_id - sent.first_id
        known = (row >= 0) & (row < len(side))
        row, us, mid2 = (column[known][::-1] for column in (row, fills.us, fills.mid2))
        first_us, first_mid2 = np.full(len(side), FOREVER), np.zeros(len(side), np.int64)
        first_us[row], first_mid2[row] = us, mid2  # reversed, so that the first fill of an order comes last
        end_us = np.where(sent.end_us == NEVER, FOREVER, sent.end_us)
        if not by_model:
            end_us = np.minimum(end_us, first_us)
        # with first fills, orders that never rested are dropped; copies free the table
        rests = slice(None) if by_model else active_us < end_us
        first = slice(0) if by_model else rests
        distance = None if anchors is None else anchors.distances(sent.sent_us, side, ticks)
        return cls(
            side=side[rests].copy(),
            ticks=ticks[rests].copy(),
            start_us=active_us[rests].copy(),
            end_us=end_us[rests],
            filled=((first_us == end_us) & (end_us < FOREVER))[first].copy(),
            mid2=first_mid2[first].copy(),
            distance=None if distance is None else distance[rests],
            fills=np.stack((row[::-1], us[::-1], mid2[::-1])) if by_model else None,
        )

    def between(self, path: ReferencePath, start_us: int, end_us: int, block_us: int) -> "RestingTime":
        """Return time at rest and fills by side, block (counted from *start_us*) and distance."""
        window = start_us, end_us, block_us
        own = np.empty(0, np.int64) if self.distance is None else self.distance
        buy, sell = ((path.reference[side], path.touch[side]) for side in (1, -1))
        keys, spent_us = resting_time(
            (self.side, self.ticks, self.start_us, self.end_us),
            own,
            (path.us, sell[0], buy[0], sell[1], buy[1]),
            path.per_tick,
            window,
            anywhere=self.fills is not None,
        )
        hits = self._first_fills(path, window) if self.fills is None else self._every_fill(self.fills, path, window)
        # a fill at the instant at which its order reached a place without time there is left out
        at = np.searchsorted(keys, hits.keys)
        kept = np.append(keys, -1)[at] == hits.keys
        at, us = at[kept], hits.us[hits.distance != CLOSED][kept]
        return RestingTime(keys, spent_us, np.bincount(at, minlength=keys.size), us, at)

    @cached_property
    def _ended_by_fills(self) -> Rows:
        return np.flatnonzero(self.filled)

    def _distances(self, orders: Ints, path: ReferencePath, rows: Ints) -> Ints:
        side, ticks = self.side[orders], self.ticks[orders]
        reference = np.where(side == 1, path.reference[1][rows], path.reference[-1][rows])
        touch = np.where(side == 1, path.touch[1][rows], path.touch[-1][rows])
        current = side * (reference - path.per_tick * ticks)
        counted = current if self.distance is None else self.distance[orders]
        least = touch if self.fills is None else np.zeros_like(touch)
        return np.where((touch != CLOSED) & (current >= least), counted, CLOSED)

    def _first_fills(self, path: ReferencePath, window: tuple[int, int, int]) -> "_Places":
        start_us, end_us, block_us = window
        us = self.end_us[self._ended_by_fills]
        begun = np.maximum(self.start_us[self._ended_by_fills], start_us) < us
        hit = self._ended_by_fills[begun & (us < end_us)]
        us = self.end_us[hit]
        distance = self._distances(hit, path, path.row_at(us, self.mid2[hit]))
        return _Places(us, self.side[hit], (us - 1 - start_us) // block_us, distance)

    def _every_fill(self, fills: Ints, path: ReferencePath, window: tuple[int, int, int]) -> "_Places":
        start_us, end_us, block_us = window
        order, us, mid2 = fills[:, slice(*np.searchsorted(fills[1], (start_us + 1, end_us)))]
        begun = np.maximum(self.start_us[order], start_us)
        counted = (begun < us) & (begun < self.end_us[order])
        order, us, mid2 = order[counted], us[counted], mid2[counted]
        rows = path.row_at(us, mid2)
        return _Places(us, self.side[order], (us - 1 - start_us) // block_us, self._distances(order, path, rows))


class RestingTime(NamedTuple):
    keys: Ints
    us: Ints
    fills: Ints
    fill_us: Ints
    fill_row: Rows


def pooled_rates(points: Points) -> Line:
    """Distance and fills per second of orders, neighbouring distances pooled to 20 fills; empty below two pools.

    A pool spans at most a fifth of its distance and a quarter of a tick; without fills it is left out. So are distances
    with far less exposure than their neighbours: orders in transition, or an unusual spread.
    """
    first, groups = group(points.delta_ticks)
    delta = points.delta_ticks[first]
    seconds, fills = (sum_by(groups, column, len(first)) for column in (points.exposure_s, points.fills))
    half_ticks = np.rint(2 * delta)
    if np.abs(2 * delta - half_ticks).max(initial=0.0) > 1e-6:
        return _empty_below_two(_pooled(delta, seconds, fills))
    kept = _often_sent(half_ticks, seconds)
    delta, seconds, fills, parities = (column[kept] for column in (delta, seconds, fills, half_ticks % 2))
    parts = [_pooled(*(column[parities == parity] for column in (delta, seconds, fills))) for parity in (0, 1)]
    return _empty_below_two(_filled(*parts))


def _often_sent(distance: Floats, seconds: Floats) -> Mask:
    often = np.empty(len(distance), np.bool_)
    for parity in (0, 1):  # prices are whole ticks: neighbours are an even number of half ticks apart
        own = np.flatnonzero(distance % 2 == parity)
        if own.size:
            at, reach = distance[own], np.floor(NEARBY + NEARBY_SHARE * np.abs(distance[own]))
            nearby = np.searchsorted(at, at - reach), np.searchsorted(at, at + reach, side="right")
            most = np.maximum.reduceat(np.append(seconds[own], 0.0), np.stack(nearby, axis=1).ravel())[::2]
            often[own] = seconds[own] >= NODE_SHARE * most
    return often


def _empty_below_two(line: Line) -> Line:
    return line if len(line) > 1 else ()


def _pooled(delta: Floats, seconds: Floats, fills: Floats) -> Line:
    pools: list[list[float]] = []  # of each: order-seconds times distance, order-seconds, fills
    last = -math.inf
    for at, waited, count in zip(delta.tolist(), seconds.tolist(), fills.tolist(), strict=True):
        if at > last or pools[-1][2] >= POOL_FILLS:
            pools.append([0.0, 0.0, 0.0])
            last = 1.2 * at + 0.25
        pools[-1] = [total + more for total, more in zip(pools[-1], (at * waited, waited, count), strict=True)]
    return tuple((round(moment / waited, 12), count / waited) for moment, waited, count in pools if count)


def _filled(whole: Line, half: Line) -> Line:
    line = dict(sorted((*whole, *half)))
    for own, other in ((whole, half), (half, whole)):
        beside = np.array([at for at, _ in other])
        for (near, rate), (far, lower) in pairwise(own):
            missing = np.arange(math.floor(near) + 1, min(far, FILLED_TICKS), 1.0) + (0.5 if own is half else 0.0)
            for at in missing[(missing > near + 1e-6) & (missing < far - 1e-6)].tolist():
                if ((beside > near) & (beside < far)).any():  # else the line between the two is the same
                    share = (at - near) / (far - near)
                    line[at] = rate ** (1 - share) * lower**share
    return tuple(sorted(line.items()))


@dataclass(frozen=True)
class Played:
    resting: RestingOrders
    result: "Result | None" = None


def is_repetition(name: str) -> bool:
    """``ladder_<n>`` is ``ladder`` with SEED + n."""
    return name.startswith("ladder_")


def runs_of(first: "Tape", config: "CalibrationConfig") -> "Iterator[tuple[str, object]]":
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
    *,
    all_rows: bool = False,
) -> Played:
    """*all_rows* only for the run's files: over weeks, order and state rows are most of the memory."""
    result = _backtested(tapes, quotes, config, rules, all_rows=all_rows)
    resting = RestingOrders.of(result.journal, _anchors(quotes, config), by_model=config.fills is not None)
    return Played(resting, result)


def _backtested(
    tapes: "Sequence[Tape]", quotes: object, config: "CalibrationConfig", rules: Rules | None, *, all_rows: bool
) -> "Result":
    grid = tapes[0].instrument
    given = rules or Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8)
    probes = replace(given, enforce_balances=False, own_orders_meet=False, min_notional_e8=0, quote_levels=1, risk=None)
    rule, measured = config.rule, config.fills
    if measured is None:
        probes = replace(probes, quote_lots=1, step_lots=1, step_ticks=1)
        fills: object = TradeCross(strict=rule.hit == "strict") if rule.plain else SweptQuantity(tapes, rule)
    else:
        probes, fills = replace(probes, quote_lots=clip_lots(config, given)), measured.make()
    if all_rows:
        return backtest(tapes, quotes, fills, probes)
    log = LifeLog()
    result = backtest(tapes, quotes, fills, replace(probes, state_us=FOREVER), on_orders=log.add)
    return replace(result, journal=replace(result.journal, lives=log.lives(result.journal.counters["last_us"])))


def _anchors(quotes: object, config: "CalibrationConfig") -> Anchors | None:
    if config.distance != "anchor":
        return None
    taken = quotes.anchors() if isinstance(quotes, FixedDelta | CalibrationLadder) else np.empty((0, 3))
    return Anchors.of(taken, config.reference)


def clip_lots(config: "CalibrationConfig", rules: Rules) -> int:
    wanted, step_e8 = config.rule.order_e8, rules.step_lots * rules.lot_e8
    if wanted % step_e8:
        raise UsageError(
            "the quantity of a measured order, {order_e8}, is {}; it must be a multiple of the quantity step {}",
            short_text(wanted),
            short_text(step_e8),
        )
    return wanted // rules.lot_e8 if wanted else rules.quote_lots


Keep = Callable[[str, Callable[..., Played]], Played]
THREADS = 2  # of simulated runs


def played(
    runs: "Iterable[tuple[str, Callable[[], Played]]]", config: "CalibrationConfig", keep: Keep | None
) -> dict[str, Played]:
    def result_of(name: str, play: Callable[[], Played]) -> Played:
        played_run = replace(keep(name, play) if keep else play(), result=None)
        trim_heap()  # the tables of each run are large, and threads do not reuse each other's
        return played_run

    if config.fills is not None and config.fills.name not in FILL_MODELS:
        return {name: result_of(name, play) for name, play in runs}
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            results = {name: pool.submit(result_of, name, play) for name, play in runs}
            return {name: run.result() for name, run in results.items()}
        finally:
            pool.shutdown(cancel_futures=True)  # after an error no further run begins
