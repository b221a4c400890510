"""Output of ``mm fills score``: tables, a file, and a page with the reliability diagram."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from mm.dayfolder.order_log import fifo_text
from mm.probes.queue_score import (
    DEFINITION,
    WHERE,
    Bin,
    Score,
    ScoredDay,
    block_length,
    by_place,
    joined_orders,
    joined_outcomes,
    lines,
    reliability,
    score,
    stated,
)
from mm.probes.virtual_orders import Outcomes
from mm.report.figures import MAIN, SOFT, chart, line, numbers_axis, points
from mm.report.frame import card, document, grid, header, notes, tile, tiles
from mm.report.frame import chart as drawn
from mm.tape.order_index import READINGS, Consistency, joined

BY = {"distance": "distance from the best price", "ahead": "quantity ahead on arrival", "hour": "hour"}
STRATEGY_HINT = (
    "In the quote asset. A unit of the base asset earns its distance from the mid 30 s after its fill; by count: lots "
    "filled too many; adverse: lots that earn other than true ones; rest: what the inventory does later."
)


@dataclass(frozen=True)
class ScoreReport:
    name: str
    shown: str
    orders: int
    life_s: float
    scores: dict[str, dict[str, Score]]
    places: dict[str, dict[str, Score]]
    bins: dict[str, list[Bin]]
    fifo: Consistency
    same: bool

    @classmethod
    def of(
        cls, name: str, shown: str, days: Sequence[ScoredDay], played: Sequence[Mapping[str, Outcomes]]
    ) -> "ScoreReport":
        orders = joined_orders([day.orders for day in days])
        truth = {reading: joined_outcomes([day.truth[reading] for day in days]) for reading in READINGS}
        models = {model: joined_outcomes([day[model] for day in played]) for model in played[0]}
        first = truth[READINGS[0]]
        parts = [day.consistency for day in days if day.consistency is not None]
        return cls(
            name,
            shown,
            len(orders),
            orders.life_us / 1e6,
            {
                reading: {model: score(orders, truth[reading], own) for model, own in models.items()}
                for reading in READINGS
            },
            {model: by_place(orders, first, own) for model, own in models.items()},
            {model: reliability(orders, first, own, days[0].lot) for model, own in models.items()},
            joined(parts),
            all(day.tape.orders is None or not len(day.tape.orders.other_meet) for day in days),
        )

    @property
    def _fifo_text(self) -> str:
        return fifo_text(self.fifo.executed_lots, self.fifo.first_lots)

    @property
    def definition(self) -> str:
        return self.defined(READINGS[0])

    def defined(self, reading: str) -> str:
        return DEFINITION.format(where=WHERE[reading], block_s=block_length(round(self.life_s * 1e6)) / 1e6)

    def to_dict(self) -> dict[str, Any]:
        own = self.scores[READINGS[0]][self.shown]
        return {
            "definition": self.definition,
            "model": self.shown,
            "n_orders": own.orders,
            "bias": own.filled_bias.value,
            "ci95": own.filled_bias.ends,
            "fifo_consistency": self.fifo.share,
            "reliability": [asdict(each) for each in self.bins[self.shown]],
            "orders": self.orders,
            "models": _as_dicts(self.scores[READINGS[0]]),
            "places": {model: _as_dicts(places) for model, places in self.places.items()},
            "readings": {
                reading: {"definition": self.defined(reading), "models": _as_dicts(models)}
                for reading, models in self.scores.items()
            },
            "reliability_by_model": {model: [asdict(each) for each in bins] for model, bins in self.bins.items()},
        }

    def lines(self) -> Iterator[str]:
        by_print, by_order = (self.scores[reading] for reading in READINGS)
        first = next(iter(by_print.values()))
        yield (
            f"{self.name}: {self.orders} virtual orders with a lifetime of {self.life_s:g} s; "
            f"{stated(first.true_filled, 100)} % of them would have been filled"
        )
        yield self.definition
        if said := self._fifo_text:
            yield said
        yield ""
        yield from lines(by_print, self.places, None if self.same else by_order)

    def page(self, strategy: Sequence[Sequence[str]] = ()) -> str:
        """*strategy* are rows of `strategy_rows`."""
        own = self.scores[READINGS[0]][self.shown]
        symbol, _, days = self.name.partition(" ")
        fifo = "–" if self.fifo.share is None else f"{100 * self.fifo.share:.1f} %"
        rows = [
            [escape(model), stated(each.filled_bias, 100, "+"), stated(other.filled_bias, 100, "+")]
            for (model, each), other in zip(
                self.scores[READINGS[0]].items(), self.scores[READINGS[1]].values(), strict=True
            )
        ]
        body = [
            header(symbol, days, f"fill models against every order of the log, {self.life_s:g} s"),
            tiles(
                tile("Orders", f"{own.orders:,}", "virtual orders that rested in both"),
                tile("Truth", stated(own.true_filled, 100), "% filled"),
                tile("Bias", stated(own.filled_bias, 100, "+"), f"points, {escape(self.shown)}"),
                tile("First in queue", fifo, "of the executed lots"),
            ),
            notes([self.definition, *filter(None, [self._fifo_text])]),
            card(
                "Bias of the share filled, in points",
                "An execution counts at its own price, or at the price at which its order rested.",
                grid(["model", "by print", "by order"], rows),
            ),
            *(
                [card("The strategy under each model", STRATEGY_HINT, grid(strategy[0], _escaped(strategy[1:])))]
                if strategy
                else []
            ),
            *(self._diagram(by, what) for by, what in BY.items()),
        ]
        return document(f"{symbol} · fills against every order", body)

    def _diagram(self, by: str, what: str) -> str:
        bins = [each for each in self.bins[self.shown] if each.by == by]
        predicted = [100 * each.predicted for each in bins]
        observed = [100 * each.observed for each in bins]
        ends = [each.ci95 or [each.observed, each.observed] for each in bins]
        low, high = zip(*ends, strict=True) if ends else ((), ())
        most = max([1.0, *predicted, *(100 * end for end in high)])
        tips = [f"{each.bin}: {each.n:,} orders" for each in bins]
        figure = chart(
            [
                line("equal", [0, most], [0, most], SOFT),
                points(
                    "orders",
                    predicted,
                    observed,
                    MAIN,
                    ends=([100 * end for end in low], [100 * end for end in high]),
                    tips=tips,
                ),
            ],
            numbers_axis("predicted, % filled"),
            y={"title": {"text": "true, % filled"}},
        )
        hint = (
            f"Share filled in the market against that predicted by {escape(self.shown)}, with 95 % intervals by blocks."
        )
        rows = [
            [escape(each.bin), f"{each.n:,}", f"{100 * each.predicted:.1f}", f"{100 * each.observed:.1f}", _ends(each)]
            for each in bins
        ]
        table = grid([what, "orders", "predicted, %", "true, %", "95 % interval"], rows)
        return card(f"Predicted and true share by {what}", hint, drawn(figure) + table)


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _ends(each: Bin) -> str:
    return "–" if each.ci95 is None else f"{100 * each.ci95[0]:.1f} to {100 * each.ci95[1]:.1f}"


def _as_dicts(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {name: asdict(each) for name, each in scores.items()}
