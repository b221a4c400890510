"""How often results that know nothing look like findings: the table of docs/evidence/measured.md.

``python tests/null_results.py`` measures it and replaces the table on the page; test_null_results.py compares it.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

from mm.backtest.metrics.notes import DRIFT_HALF_LIVES
from mm.backtest.metrics.ranking import are_tied, mean_ends
from mm.backtest.metrics.risk import drift_half_life_s
from mm.backtest.metrics.verdict import Sample, Tail, Verdict, judge, worse
from mm.base.arrays import Floats
from mm.base.estimate import estimated
from mm.base.numbers import ABOVE
from mm.report.frame import Amount, shown
from mm.report.hours import LEAST_BLOCKS, LEAST_FILLS, fills_means
from mm.signals.score import blocks_of, interval, move_of, moves_by
from mm.trials.on_record import independent_trials
from null_pnl import DESIGNS as CHOSEN_OF
from null_pnl import (
    HOURS,
    at_once,
    autocorrelated,
    bounds_of_the_chosen,
    drifting,
    noise,
    of_many_clips,
    rare,
    sparse,
    tail_of,
)
from support import ROOT

PAGE = ROOT / "docs" / "evidence" / "measured.md"
TABLE = re.compile(r"^\| conclusion \| [^\n]*\n(?:\|[^\n]*\n)+", re.MULTILINE)
HEAD = "| conclusion | from | how often, wrongly |\n|---|---|---|\n"
SWEEPS, DESIGNS, MINUTES, BLOCKS = 400, 200, 240, [120, 120]
MEANS = 4_000
NULLS = (
    (rare, "earn 1 ± .5 a minute, lose 300 in one of 300"),
    (of_many_clips, "the same among small losses (1 ± 2), with clips from 1 to 100"),
    (noise, "noise"),
    (autocorrelated, "autocorrelation .3"),
    (sparse, "PnL in one minute of ten"),
)
DAYS, SECOND = 400, 1_000_000
MARKETS = ((1_800, 5, 1), (3_600, 20, 10), (7_200, 60, 10))  # seconds of a day, seconds between moves, horizon


def of_best(common: float) -> dict[str, float]:
    """Return the share of sweeps of worthless designs in which the best looks good, or is told apart from another.

    Args:
        common: Size of the market's part in the PnL of every design, of which the own part has size 1.
    """
    draw, own, chosen, told = np.random.default_rng(3), 0, 0, 0
    for _ in range(SWEEPS):
        pnl = draw.standard_t(4, size=(MINUTES, DESIGNS)) + common * draw.standard_t(4, size=(MINUTES, 1))
        low, _ = mean_ends(pnl, BLOCKS)
        best = int(low.argmax())
        allowed, _ = mean_ends(pnl[:, [best]], BLOCKS, independent_trials(pnl))
        own += bool(low[best] > 0)
        chosen += bool(allowed[0] > 0)
        told += not all(are_tied(pnl, BLOCKS, pnl[:, best]))
    return {"own": own / SWEEPS, "chosen": chosen / SWEEPS, "told": told / SWEEPS}


def of_means(blocks: int) -> dict[str, float]:
    """Return the share of means of so many *blocks* of noise that are coloured, and beyond two standard errors."""
    drawn = np.random.default_rng(5).normal(size=(MEANS, blocks))
    mean, error = drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / np.sqrt(blocks)
    coloured = [_coloured(shown(estimated(one, independent=True))) for one in drawn]
    return {"coloured": float(np.mean(coloured)), "two": float((abs(mean) > 2 * error).mean())}


def of_hours() -> float:
    """Return the share of hours that are coloured: the least number of fills, in bursts of one block each."""
    draw, count = np.random.default_rng(11), 0
    block = np.repeat(np.arange(LEAST_BLOCKS), LEAST_FILLS // LEAST_BLOCKS)
    for _ in range(MEANS):
        moved = draw.normal(size=LEAST_BLOCKS)[block] + draw.normal(size=len(block))
        count += _coloured(shown(fills_means(np.zeros(len(block), np.int64), moved, block)[0]))
    return count / MEANS


def of_stars(seconds: int, every_s: int, horizon_s: int) -> float:
    """Return the share of signals with a star: persistent over 5 s, on mids that move every so many seconds."""
    rng, stars, known = np.random.default_rng(7), 0, 0
    for _ in range(DAYS):
        us = np.sort(rng.uniform(0, seconds, 4 * seconds)) * SECOND
        steps = np.where(rng.random(len(us)) < 1 / (4 * every_s), rng.choice([-1, 1], len(us)), 0)
        mid = np.cumsum(steps).astype(float)
        x, kept = rng.normal(size=len(us)), np.exp(-np.diff(us, prepend=0) / SECOND / 5)
        for i in range(1, len(x)):
            x[i] = kept[i] * x[i - 1] + np.sqrt(1 - kept[i] ** 2) * x[i]
        us = us.astype(np.int64)
        move = move_of(us, mid, np.empty(0, np.int64), horizon_s * SECOND)
        row = ~np.isnan(move)
        ends = interval(x[row], move[row], blocks_of(us[row], moves_by(mid)[row], horizon_s))
        known += ends is not None
        stars += ends is not None and (ends[0] > 0 or ends[1] < 0)
    assert known > 300
    return stars / known


def of_chosen(null: Callable[..., Floats], hours: int) -> tuple[float, float]:
    """Return the share of sweeps in which the bound of the chosen is above 0, without and with the pooled tail."""
    random, sweeps = np.random.default_rng(hours), 200
    bounds = [bounds_of_the_chosen(null(random, (60 * hours, CHOSEN_OF))) for _ in range(sweeps)]
    without, pooled = (np.array(bounds) > 0).mean(axis=0).tolist()
    return without, pooled


def of_jumps(hours: int) -> tuple[float, float]:
    """Return the share of sweeps in which the chosen is above 0 though one jump hits all designs at once.

    By what these hours know, and with a day of the symbol on record that has had one.
    """
    random, above, sweeps = np.random.default_rng(hours), np.zeros(2), 200
    for _ in range(sweeps):
        pnl = at_once(random, (60 * hours, CHOSEN_OF))
        best, trials = int(np.argmax(mean_ends(pnl, [len(pnl)])[0])), independent_trials(pnl)
        sample = Sample.of(pnl[:, best])
        tails = (tail_of(pnl, sample), worse(tail_of(pnl, sample), Tail(300.0, "BTCUSDT 20260104")))
        above += [_is_above(judge(sample, trials=trials, tail=tail)) for tail in tails]
    alone, known = (above / sweeps).tolist()
    return alone, known


def of_days(days: int) -> tuple[float, float]:
    """Return the share of sweeps in which the chosen is above 0 though one of 25 days loses what the others earn.

    Without and with the worst day of any design.
    """
    random, above, sweeps = np.random.default_rng(1), np.zeros(2), 200
    clips = np.geomspace(1, 100, CHOSEN_OF)
    for _ in range(sweeps):
        lost = random.random((days, CHOSEN_OF)) < 1 / 25
        daily = (np.where(lost, -24.0, 1.0) + 0.3 * random.standard_normal((days, CHOSEN_OF))) * clips
        best, trials = int(np.argmax(daily.sum(axis=0) / clips)), independent_trials(daily)
        sample = Sample.of_days(daily[:, best], clips[best])
        tail = Tail(-float((daily / clips).min() * clips[best]), "another")
        above += [_is_above(judge(sample, trials=trials, tail=each)) for each in (None, tail)]
    without, pooled = (above / sweeps).tolist()
    return without, pooled


def _is_above(found: Verdict | None) -> bool:
    return found is not None and found.text == ABOVE


def with_skill(hours: int) -> float:
    """Return the share of sweeps that find a design of .3 deviations a minute among others without skill."""
    random, found, sweeps = np.random.default_rng(3), 0, 200
    for _ in range(sweeps):
        pnl = noise(random, (60 * hours, CHOSEN_OF))
        pnl[:, 0] += 0.3
        found += bounds_of_the_chosen(pnl)[1] > 0
    return found / sweeps


def of_drift(hours: int) -> tuple[float, float, float]:
    """Return how often a drifting null is decided, how often without a note, and how often plain noise has one."""
    random, runs = np.random.default_rng(9), 400
    drift = [_decided(pnl) for pnl in drifting(random, (60 * hours, runs)).T]
    plain = [_decided(pnl) for pnl in noise(random, (60 * hours, runs)).T]
    decided, noted = np.array(drift).T
    return float(decided.mean()), float((decided & ~noted).mean()), float(np.mean([one[1] for one in plain]))


def _decided(pnl: Floats) -> tuple[bool, bool]:
    found, half_life_s = judge(Sample.of(pnl)), drift_half_life_s(pnl)
    assert found is not None
    return found.text != "undecided", 60 * len(pnl) < DRIFT_HALF_LIVES * (half_life_s or 0.0)


def of_psr(null: Callable[..., Floats]) -> float:
    """Return the share of runs of six hours whose PSR is above .95."""
    runs = null(np.random.default_rng(2), (360, 1_000)).T
    found = [judge(Sample.of(pnl)) for pnl in runs]
    return float(np.mean([((one is not None and one.psr) or 0.0) > 0.95 for one in found]))


def _coloured(amount: Amount) -> bool:
    return any(f'class="{colour}"' in amount.around for colour in ("gain", "loss"))


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the table: the conclusion, from what, and how often."""
    alone, common = of_best(0.0), of_best(1.0)
    sweeps = f"{SWEEPS} sweeps of {DESIGNS} designs"
    yield (
        "the lower bound of the best design is above 0",
        sweeps,
        f"its own bound {_percent(alone['own'])}, `pnl_lower95_chosen` {_percent(alone['chosen'])}; "
        f"with a common market {_percent(common['own'])} and {_percent(common['chosen'])}",
    )
    told = f"{_percent(alone['told'])}; with a common market {_percent(common['told'])}"
    yield "some design is told apart from the first", sweeps, told
    means = {blocks: of_means(blocks) for blocks in (2, 5, 20)}
    shares = ", ".join(_percent(one["coloured"]) for one in means.values())
    wider = ", ".join(_percent(one["two"]) for one in means.values())
    yield "a number on a page is coloured", "means of 2, 5 and 20 blocks", f"{shares}; by two standard errors {wider}"
    hour = f"{LEAST_FILLS} fills in {LEAST_BLOCKS} blocks of five minutes, below which none is coloured"
    yield "an hour of day is coloured", hour, _percent(of_hours())
    for null, name in NULLS:
        shares = [of_chosen(null, hours) for hours in HOURS]
        pooled, without = (", ".join(_percent(each[at]) for each in shares) for at in (1, 0))
        yield (
            "`pnl_lower95_chosen` is above 0",
            f"200 sweeps of {CHOSEN_OF} designs over 2, 6, 14 h: {name}",
            f"{pooled}; without the pooled tail {without}",
        )
    skill = ", ".join(_percent(with_skill(hours)) for hours in HOURS)
    yield "the same, of a design that earns .3 deviations a minute: found, rightly", "2, 6, 14 h", skill
    jumps = [of_jumps(hours) for hours in HOURS]
    yield (
        "the chosen is above 0",
        f"200 sweeps of {CHOSEN_OF} designs over 2, 6, 14 h: one jump of 300 for all at once, 1 ± 2 a minute before",
        f"{', '.join(_percent(known) for _, known in jumps)} where another day of the symbol has had one; "
        f"else {', '.join(_percent(alone) for alone, _ in jumps)}",
    )
    daily = [of_days(days) for days in (5, 10, 20)]
    yield (
        "the chosen is above 0",
        f"200 sweeps of {CHOSEN_OF} designs over 5, 10, 20 days: one of 25 loses it all, clips from 1 to 100",
        f"{', '.join(_percent(pooled) for _, pooled in daily)}; "
        f"without the worst day of any {', '.join(_percent(without) for without, _ in daily)}",
    )
    drifts = [of_drift(hours) for hours in HOURS]
    decided, silent, plain = (", ".join(_percent(each[at]) for each in drifts) for at in range(3))
    yield (
        "a verdict is decided",
        "a third of the variance drifts with a half-life of 30 min; 2, 6, 14 h",
        f"{decided}, without the note on the drift {silent}; noise has that note {plain}",
    )
    both = f"{_percent(of_psr(autocorrelated))}, {_percent(of_psr(sparse))}"
    yield "`psr` is above .95", "six hours, autocorrelation .3; PnL in one minute of ten", both
    stars = ", ".join(_percent(of_stars(*market)) for market in MARKETS)
    every = ", ".join(str(every_s) for _, every_s, _ in MARKETS)
    yield "a star of `mm signals score`", f"mids that move every {every} s; none below 100 moves", stars


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def table() -> str:
    """Return the table as it stands on the page."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), text, count=1), encoding="utf-8")
