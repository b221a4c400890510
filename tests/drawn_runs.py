"""Results of synthetic runs, and their pages."""

import numpy as np

from journals import START_US, run_terms
from mm import Result
from mm.report.backtest import page
from mm.report.frame import About
from mm.report.run_columns import RunColumns, Standing, columns_of


def page_of(result, columns=None, **about):
    """Return the page of a result, or of a summary with its columns."""
    summary = getattr(result, "summary", result)
    return page(summary, columns_of(result) if columns is None else columns, About(**about) if about else None)


def drawn(result):
    """Return the page of a result, and the columns from which it is drawn."""
    columns = columns_of(result)
    return page_of(result, columns), columns


def result_of(scribe, **terms):
    return Result(scribe.journal(), run_terms(scribe.instrument, **terms))


def full_day(seconds=50_400, n_fills=20_000):
    """14 hours: per second a state row, 2 changes of the mid and 8 quotes; an invalid book every minute."""
    random = np.random.default_rng(0)
    mid = 87_000 + np.cumsum(random.normal(0, 0.3, 2 * seconds)).round(2)
    mid[np.arange(2 * seconds) % 120 == 0] = np.nan
    mid_us = START_US + np.arange(2 * seconds) * 500_000
    us, now = mid_us[::2], mid[::2]
    at = np.sort(random.integers(0, seconds, n_fills))
    inventory, equity = (np.cumsum(random.normal(0, size, seconds)) for size in (0.001, 1))
    fills = {
        "recv_us": us[at],
        "side": random.choice(["BUY", "SELL"], n_fills),
        "price": np.nan_to_num(now[at], nan=87_000.0) + random.normal(0, 1, n_fills).round(2),
        "qty": np.full(n_fills, 0.001),
        "fee": np.full(n_fills, 0.087),
        "reason": np.full(n_fills, "trade_cross:trade"),
        "mid": now[at],
    }
    state = {"recv_us": us, "inventory": inventory, "mid": now, "equity": equity + 0 * now}
    quote_us = START_US + np.arange(4 * seconds) * 250_000 + random.integers(0, 20_000, 4 * seconds)
    price = np.repeat(np.nan_to_num(mid, nan=87_000.0), 2)
    quotes = {side: Standing(quote_us, quote_us + 225_000, price - 2 * side) for side in (1, -1)}
    off = mid_us[np.isnan(mid)]
    return RunColumns(fills, state, quotes, mid_us, mid, np.stack([off, off + 500_000], axis=1))


def fit_page_of(fit, points, fits=()):
    """Return the page of a fit to points, with the fits of pieces of the day."""
    from mm.calibration.calibrator import Measured
    from mm.report.calibration import page as calibration_page

    return calibration_page(fit, Measured(points, points), list(fits))


def clustering_card(found):
    """Return the card of a page that shows the clustering of a fit."""
    from mm.report.calibration import further_cards

    return further_cards({"clustering": found.to_json()}, [])[-1]
