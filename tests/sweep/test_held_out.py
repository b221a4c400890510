"""What a search earns on days that it did not see."""

from dataclasses import replace

from test_search import SETUP

from mm.sweep.findings import PlayedPoint
from mm.sweep.search import Search, Searched, Space


def test_what_is_held_out_is_the_least_pnl_of_a_day_of_its_own_days():
    """The best designs by worth, of 4 days in the search and 2 held out, under the worst of two assumptions."""
    space = Space.of("DELTA_TICKS=1..9;FILL_MODEL=trade_cross,price_cross", SETUP)
    unseen = replace(SETUP, day=replace(SETUP.day, day="20260106"))

    def play(points):
        of = {("20260105", "trade_cross"): 8.0, ("20260105", "price_cross"): 12.0, ("20260106", "trade_cross"): 5.0}
        found = [of.get((point.setup.day.day, point.texts["FILL_MODEL"]), -6.0) for point in points]
        return [
            PlayedPoint(point.number, point.texts, "", "", {"summary": {"pnl_quoting": value}})
            for point, value in zip(points, found, strict=True)
        ]

    history = [{"design": n, "DELTA_TICKS": str(n), "worth": worth} for n, worth in ((1, 8.0), (2, None), (3, 9.0))]
    search = Search(space, SETUP, None, play, "pnl_quoting", "refuse")
    rows = search.held_out(Searched([], [], history), unseen, 4, 2)
    assert [(row["design"], row["pnl_per_day"], row["held_out_pnl_per_day"]) for row in rows] == [
        (3, 2.0, -3.0),
        (1, 2.0, -3.0),
    ]
