"""The grids of `benchmarks.grids` in plain Python: twins of ``grid`` and ``glft_grid``, the first also with orders."""

import math
from typing import Any

import mm

NO_PRICE = NO_MOVE = 1 << 60


class Grid:
    """Quote *levels* prices per side, multiples of *step_ticks*, from *delta_ticks* off the mid outwards."""

    depth, timeless = False, True

    def __init__(self, delta_ticks: float, levels: int, step_ticks: int, q_max: float = math.inf) -> None:
        self.delta_ticks, self.levels, self.step_ticks, self.q_max = delta_ticks, levels, step_ticks, q_max

    def quote(self, view: mm.QuoteView) -> mm.Quotes:
        """Return the grid."""
        bids, asks = self.prices(view)
        return mm.Quotes(bids=bids, asks=asks)

    def prices(self, view: mm.QuoteView) -> tuple[range, range]:
        """Return the bids and the asks; a side is empty once the bound, in clips, is reached."""
        best_bid, best_ask, step, span = view.bid_ticks, view.ask_ticks, self.step_ticks, self.step_ticks * self.levels
        mid, held, most = (
            (best_bid + best_ask) / 2,
            view.inventory_lots - view.target_lots,
            self.q_max * view.quote_lots,
        )
        bid = math.floor(min(mid - self.delta_ticks, best_bid) / step) * step
        ask = math.ceil(max(mid + self.delta_ticks, best_ask) / step) * step
        return (
            range(bid, bid - span if held < most else bid, -step),
            range(ask, ask + span if held > -most else ask, step),
        )


class GridOrders:
    """The same grid, which sends and cancels its orders itself, as hftbacktest's example does: one order a price."""

    depth = False

    def __init__(self, **grid: Any) -> None:
        self.grid = Grid(**grid)
        self.last: tuple[range, range] | None = None

    def on_event(self, market: mm.QuoteView, orders: mm.Orders) -> None:
        """Cancel the orders off the grid, and send those that are missing."""
        prices = self.grid.prices(market)
        if prices == self.last and not orders.ended:
            return
        self.last = prices
        wanted = dict.fromkeys(
            (side, ticks) for side, of_side in zip((1, -1), prices, strict=True) for ticks in of_side
        )
        for order in orders:
            key = order.side, order.ticks
            if key in wanted:
                del wanted[key]
            else:
                order.cancel()
        for side, ticks in wanted:
            orders.submit(side, ticks)


class GlftGrid:
    """Quote a grid around optimal quotes, whose A, k and sigma are fitted to the last *window_s* every *refit_s*."""

    depth = False

    def __init__(  # noqa: PLR0913, PLR0917 - what the compiled one takes
        self,
        levels: int,
        gamma: float = 0.05,
        window_s: float = 600,
        refit_s: float = 5,
        sample_s: float = 0.1,
        reach_ticks: float = 35,
        spread_factor: float = 1.0,
        skew_factor: float = 1.0,
        q_max: float = math.inf,
    ) -> None:
        self.levels, self.gamma, self.sample_s, self.q_max = levels, gamma, sample_s, q_max
        self.spread_factor, self.skew_factor = spread_factor, skew_factor
        self.sample_us, self.bins = round(1e6 * sample_s), int(2 * reach_ticks)
        self.window, self.refit = round(window_s / sample_s), round(refit_s / sample_s)
        self.deepest, self.moves = [0] * self.window, [NO_MOVE] * self.window  # print, and change of twice the mid
        self.passed, self.changes, self.total, self.squares = [0] * (self.bins + 2), 0, 0, 0
        self.place, self.next_us, self.mid2 = -1, -1, 0
        self.highest_buy, self.lowest_sell = 0, NO_PRICE
        self.A = self.k = self.sigma = self.half = self.skew = math.nan
        self.answer = mm.Quotes()
        self.inputs: tuple[float, ...] = ()

    def on_print(self, trade: mm.TradeView) -> None:
        """Record the depth of the prints since the last sample."""
        ticks = trade.ticks
        if trade.side > 0:
            if ticks > self.highest_buy:  # noqa: PLR1730 - called for each print
                self.highest_buy = ticks
        elif ticks < self.lowest_sell:
            self.lowest_sell = ticks

    def quote(self, view: mm.QuoteView) -> mm.Quotes:
        """Return the grid; none before the first fit."""
        us, bid, ask, answer = view.us, view.bid_ticks, view.ask_ticks, self.answer
        if us >= self.next_us:
            self.sample(us, bid + ask)
            answer.again_us = self.next_us
        inputs = (bid, ask, view.inventory_lots, self.half)
        if inputs != self.inputs:
            self.inputs = inputs
            if self.half == self.half:  # not NaN
                self.place_grid(bid, ask, (inputs[2] - view.target_lots) / view.quote_lots)
        return answer

    def place_grid(self, bid: int, ask: int, inventory: float) -> None:
        """Set the prices around the optimal ones; a side is empty once the bound, in clips, is reached."""
        half, centre = self.half, (bid + ask) / 2 - self.skew * inventory
        step = round(half) or 1
        first_bid = min(round(centre - half), bid) // step * step
        first_ask = -(-max(round(centre + half), ask) // step) * step
        span = step * self.levels
        self.answer.bids = range(first_bid, first_bid - span, -step) if inventory < self.q_max else ()
        self.answer.asks = range(first_ask, first_ask + span, step) if inventory > -self.q_max else ()

    def sample(self, us: int, mid2: int) -> None:
        """Take the due sample; after missing calls, mid and prints start again."""
        if self.place < 0:
            self.begun_us = us
        before, place = self.mid2, (us - self.begun_us) // self.sample_us
        if place - self.place > 1:
            before = 0
            for missed in range(max(place - self.window, self.place + 1), place):
                self.put(missed % self.window, 0, NO_MOVE)
        slot, deepest, move = place % self.window, 0, NO_MOVE
        if before:
            move = mid2 - before
            if self.highest_buy or self.lowest_sell < NO_PRICE:
                deepest = min(max(2 * self.highest_buy - before, before - 2 * self.lowest_sell, 0), self.bins + 1)
                self.highest_buy, self.lowest_sell = 0, NO_PRICE
        else:
            self.highest_buy, self.lowest_sell = 0, NO_PRICE
        if deepest != self.deepest[slot] or move != self.moves[slot]:
            self.put(slot, deepest, move)
        self.place, self.mid2 = place, mid2
        self.next_us = self.begun_us + (place + 1) * self.sample_us
        if place % self.refit == 0 and place >= self.window - 1:
            self.calibrate()

    def put(self, slot: int, deepest: int, move: int) -> None:
        """Put a sample in place of the oldest one of the window."""
        deepest_before, move_before = self.deepest[slot], self.moves[slot]
        if deepest != deepest_before:
            self.passed[deepest_before] -= 1
            self.passed[deepest] += 1
            self.deepest[slot] = deepest
        if move != move_before:
            self.moves[slot] = move
            for value, sign in ((move_before, -1), (move, 1)):
                if value != NO_MOVE:
                    self.changes += sign
                    self.total += sign * value
                    self.squares += sign * value * value

    def calibrate(self) -> None:
        """Fit A, k and sigma to the window."""
        if not self.changes:
            return
        mean, seconds = self.total / self.changes, self.sample_s * self.changes
        self.sigma = 0.5 * math.sqrt((self.squares / self.changes - mean * mean) / self.sample_s)
        beyond, count, xs, ys, xx, xy = 0, 0, 0.0, 0.0, 0.0, 0.0
        x, log = 0.5 * (self.bins + 1), math.log
        for passed in self.passed[:1:-1]:
            beyond += passed
            x -= 0.5
            if beyond:
                y = log(beyond / seconds)
                count, xs, ys, xx, xy = count + 1, xs + x, ys + y, xx + x * x, xy + x * y
        if count >= 3:
            slope = (count * xy - xs * ys) / (count * xx - xs * xs)
            if slope < 0:
                self.A, self.k = math.exp((ys - slope * xs) / count), -slope
        c = self.gamma / self.k
        skew = math.sqrt(self.gamma / (2 * self.A * self.k) * (1 + c) ** (1 + self.k / self.gamma)) * self.sigma
        self.inputs = ()
        self.half = self.spread_factor * (math.log(1 + c) / self.gamma + 0.5 * skew)
        self.skew = skew * self.skew_factor
