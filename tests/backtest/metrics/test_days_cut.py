"""Days cut from a longer one at instants at which nothing rests say the same: what is per time counts covered time."""

import math
import random

import pytest

import mm
from mm import Quotes, Rules, Tape
from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.steps import Gated
from mm.instrument import Instrument
from mm.sweep.findings import PlayedPoint, find
from mm.sweep.grid import Axis
from mm.sweep.play_point import outcome_of
from named import model_of

S, HOUR, DAY = 10**6, 3_600 * 10**6, 86_400 * 10**6
START = 1_767_600_000_000_000  # 08:00
GRID = Instrument("CUTUSDT", 10**6, 10**6, base_asset="CUT", quote_asset="USDT")
HOURS = 3


def hour_of(number):
    """Return the events of an hour from 0 µs on: a book at its begin, changes and trades, and a last one at its end."""
    chance, bid = random.Random(number), 10_000
    events = [(0, "snapshot", [(bid, 50), (bid - 1, 90)], [(bid + 2, 50), (bid + 3, 90)])]
    for second in range(1, 3_600):
        if second % 7 == 3:
            step = chance.choice((-1, 1)) if abs(bid - 10_000) < 40 else (bid < 10_000) - (bid > 10_000)
            gone = [(bid, 0), (bid - 1, 0)], [(bid + 2, 0), (bid + 3, 0)]
            bid += step
            fresh = [(bid, 50), (bid - 1, 90)], [(bid + 2, 50), (bid + 3, 90)]
            sides = ([*{**dict(old), **dict(new)}.items()] for old, new in zip(gone, fresh, strict=True))
            events.append((second * S + 200_000, "depth", *sides))
        if second < 3_594 and chance.random() < 0.4:
            side = chance.choice((-1, 1))
            events.append((second * S + 700_000, "trade", side, bid + 2 if side > 0 else bid, chance.randint(1, 9)))
    if bid != 10_000:  # each hour ends at the mid at which it begins
        gone = {bid: 0, bid - 1: 0}, {bid + 2: 0, bid + 3: 0}
        sides = (gone[0] | {10_000: 50, 9_999: 90}, gone[1] | {10_002: 50, 10_003: 90})
        events.append((3_599 * S + 900_000, "depth", *(list(side.items()) for side in sides)))
    return [*events, (HOUR, "depth", [(9_999, 90)], [])]


def moved(events, us):
    return [(at + us, *rest) for at, *rest in events]


def whole_day():
    events = [event for number in range(HOURS) for event in moved(hour_of(number), START + number * HOUR)]
    return [Tape.of(GRID, events, "20260105")]


def cut_days():
    starts = [START + number * (DAY + HOUR) for number in range(HOURS)]
    return [Tape.of(GRID, moved(hour_of(number), start), f"2026010{5 + number}") for number, start in enumerate(starts)]


class Join:
    """Join the best prices, but for the last ten and the first two seconds of an hour."""

    def __init__(self, *, away=0):
        self.away = away

    def quote(self, view):
        second = (view.us - START) % HOUR / S
        if not 2 <= second < 3_590:
            return None
        return Quotes(view.bid_ticks - self.away, view.ask_ticks + self.away)


RULES = {"tick_e8": 10**6, "lot_e8": 10**6, "maker_fee_e8": 0, "quote_lots": 2, "enforce_balances": False}


def played(tapes, away=0):
    return mm.backtest(tapes, Join(away=away), model_of("trade_cross"), Rules(**RULES))


SCALED = ("sharpe", "sharpe_autocorr", "sortino")
SAME = (
    *("verdict", "psr", "max_drawdown", "drawdown_duration_s", "under_water", "inventory", "two_sided_uptime"),
    *("seconds_covered", "fills_by_distance", "n_fills", "sharpe_bootstrap"),
    *("quoted_half_spread", "pnl_quoting", "fills_ratio", "inventory_turnover"),
)


def flat(value, name=""):
    """Return the numbers of nested values by their names."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        return {name: value}
    return {key: one for part, inner in parts for key, one in flat(inner, f"{name}.{part}").items()}


def assert_equal(one, other):
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        close = isinstance(value, float)
        assert other[name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if close else value), name


def test_three_days_of_an_hour_say_the_same_as_the_day_they_are_cut_from():
    """Mean, interval, verdict, ratios but for the time covered in a day, drawdown, uptime, intervals."""
    whole, cut = (played(tapes).summary for tapes in (whole_day(), cut_days()))
    assert whole["n_fills"] > 500
    assert cut["seconds_excluded"] == 2 * 86_400.0
    assert_equal({name: whole[name] for name in SAME}, {name: cut[name] for name in SAME})
    at_once = [[row for row in one["markouts"] if row["horizon_s"] == 0] for one in (whole, cut)]
    assert_equal(*at_once)  # later ones end where a day does
    per_year = [summary["returns"].pop("periods_per_year") for summary in (whole, cut)]
    assert per_year == [180 * 365.0, 60 * 365.0]
    assert whole["returns"]["periods"] == 180
    assert_equal(whole["returns"], cut["returns"])
    for name in SCALED:
        assert cut[name] == pytest.approx(whole[name] / math.sqrt(3), rel=1e-9)
    assert cut["sharpe_ci95"] == pytest.approx([end / math.sqrt(3) for end in whole["sharpe_ci95"]], rel=1e-9)
    assert cut["calmar"] == pytest.approx(whole["calmar"] / 3, rel=1e-9)
    assert [span[1] - span[0] for span in cut["spans"]] == [HOUR] * 3
    assert whole["spans"] == [[START, START + 3 * HOUR]]


def test_sweep_of_days_cut_finds_the_same_as_of_the_whole_day():
    """Bounds, ties, halves and the probability of overfitting; the deflated Sharpe ratio has no year in it."""
    axis = Axis("AWAY", "quote", "away", (0, 1, 2), ("0", "1", "2"))
    found = []
    for tapes in (whole_day(), cut_days()):
        outcomes = [outcome_of(played(tapes, away)) for away in (0, 1, 2)]
        points = [PlayedPoint(at, {"AWAY": str(at)}, f"k{at}", "", one) for at, one in enumerate(outcomes)]
        found.append(find(points, [axis], "pnl_lower95", [tapes[0].start_us]).content)
    names = ("pbo", "deflated_sharpe", "independent_trials", "halves_rank_correlation", "block_s", "blocks_left_out")
    assert found[0]["blocks_left_out"] == 0
    assert_equal({name: found[0][name] for name in names}, {name: found[1][name] for name in names})
    own = ("rank", "point", "pnl_lower95", "tied", "psr", "deflated_sharpe")
    rows = [[{name: row[name] for name in own} for row in content["rows"]] for content in found]
    assert_equal(*rows)
    assert rows[0][0]["pnl_lower95"] is not None


def test_outages_and_closed_hours_are_in_no_period():
    """An hour with two outages and one with a closed quarter: periods begin anew after each."""
    events = [*hour_of(1), (2_000 * S + 1, "gap"), (2_030 * S + 1, "snapshot", [(10_000, 5)], [(10_002, 5)])]
    events = sorted(events, key=lambda event: event[0])
    keep = [event for event in events if not 2_000 * S < event[0] < 2_030 * S or event[1] == "gap"]
    keep = [event for event in keep if event[0] <= 2_030 * S + 1]  # the book is another one afterwards
    tape = Tape.of(GRID, moved([*keep, (2_180 * S, "trade", 1, 20_000, 1)], START))
    summary = played([tape]).summary
    assert summary["spans"] == [[START, START + 2_000 * S + 1], [START + 2_030 * S + 1, START + 2_180 * S]]
    assert summary["returns"]["periods"] == 33 + 2
    assert summary["seconds_covered"] == pytest.approx(2_000 + 149.999999 + 1e-6)
    assert summary["returns"]["periods_per_year"] == pytest.approx(summary["seconds_covered"] / 60 * 365)


def test_market_with_hours_has_spans_within_them():
    """The preset of an American share opens at 09:30 in New York, on 252 days of a year."""
    opening = 1_767_623_400_000_000  # 2026-01-05 14:30 UTC
    tape = Tape.of(GRID, moved(hour_of(2), opening - HOUR // 2))
    rules = {**RULES, "quote_lots": 100}
    closed = mm.backtest(tape, Join(), model_of("trade_cross"), Rules(**rules))
    summary = mm.backtest(tape, Join(), "trade_cross", preset="equity", quote_qty="1", sensitivity=False).summary
    assert closed.summary["spans"] == [[opening - HOUR // 2, opening + HOUR // 2]]
    assert summary["spans"] == [[opening, opening + HOUR // 2]]
    assert summary["returns"]["periods_per_year"] == 30 * 252
    assert summary["two_sided_uptime"] > 0.9
    assert summary["seconds_excluded"] == 1_800.0


def test_training_before_the_first_segment_is_no_time_with_a_market():
    """A schedule whose first segment begins after 20 minutes; the strategy quotes from then on."""
    tape = Tape.of(GRID, moved(hour_of(3), START))
    begin = START + 1_200 * S
    piece = (begin, START + HOUR, *(1.0, 0.5) * 2, 0.5)
    intensity = Intensity([piece])
    gated = Gated(model_of("avellaneda_stoikov", intensity=intensity, gamma=0.001, sigma=1.0), intensity)
    summary = mm.backtest(tape, gated, model_of("trade_cross"), Rules(**RULES)).summary
    assert summary["spans"] == [[begin, START + HOUR]]
    assert summary["returns"]["periods"] == 40
    assert summary["two_sided_uptime"] > 0.9
    assert (summary["seconds_covered"], summary["seconds_excluded"]) == (2_400.0, 1_200.0)
