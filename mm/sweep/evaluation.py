"""Evaluations: one strategy on many days and symbols, each day played on its own, and what the days say together.

The day is the unit of every interval (Student's t over the days' sums): symbols of a day share its market, hours its
news. Days are assumed independent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.bounds import CHOSEN, PLAYS, least_of
from mm.backtest.metrics.risk import sharpe_of_days
from mm.backtest.metrics.verdict import Sample, positions_of, robust_units, undone_words, verdicts
from mm.backtest.run_terms import EXCLUDED, OWN_MARKET, QUOTING_OWN_MARKET, concludes, quoting_of
from mm.base.arrays import Floats, Ints
from mm.base.estimate import NO_ESTIMATE, estimated
from mm.base.numbers import number
from mm.clock import US_PER_S
from mm.errors import Mismatch
from mm.instrument import E8, assets_of
from mm.trials.on_record import ALONE, OnRecord
from mm.trials.own_content import TRIALS, UNDONE

if TYPE_CHECKING:
    from mm.sweep.play_point import Outcome
    from mm.tape.tape import Tape

SCHEMA_VERSION = 1
MINUTE_US, HOUR_US = 60 * US_PER_S, 3_600 * US_PER_S
REGIMES = ("calm", "usual", "volatile")  # thirds of a symbol's hours, by volatility
UNEQUAL = 2.0  # times the shortest day, from which it is said that days are not equally long
FEW_DAYS = 20  # below which the interval of a daily mean says little about its tails
SHARE = 0.01  # of the market's volume, at which capacity is stated
Row = dict[str, Any]
Mean = Callable[[Iterable[float]], Row]


@dataclass(frozen=True)
class DayMarket:
    """The market of one day.

    Attributes:
        volatility: Root mean square of the mid's change per minute in each hour, basis points.
    """

    volume: float
    hours: Ints
    volatility: Floats

    @classmethod
    def of(cls, tape: "Tape") -> "DayMarket":
        us = tape.event_us[tape.top_event]
        bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
        valid = (bid > 0) & (ask > bid)
        us, mid = us[valid], (bid[valid] + ask[valid]) / 2
        volume = float(tape.trade_lots.sum()) * tape.instrument.lot_e8 / E8
        if len(us) < 2:
            return cls(volume, np.empty(0, np.int64), np.empty(0))
        grid = np.arange(-(-us[0] // MINUTE_US), us[-1] // MINUTE_US + 1) * MINUTE_US
        moves = np.diff(np.log(mid[np.searchsorted(us, grid, side="right") - 1]))
        hours, at = np.unique(grid[:-1] // HOUR_US, return_inverse=True)
        squares = np.bincount(at, moves**2, len(hours)) / np.bincount(at, minlength=len(hours))
        return cls(volume, hours.astype(np.int64), 1e4 * np.sqrt(squares))


@dataclass(frozen=True)
class EvaluatedDay:
    symbol: str
    day: str
    market: DayMarket
    outcome: "Outcome"
    command: str

    def hourly(self) -> dict[int, float]:
        series, pnl_by_hour = self.outcome["series"], dict[int, float]()
        begins = (begin_us + MINUTE_US * at for begin_us, count in series["spans"] for at in range(count))
        for begin_us, value in zip(begins, series["pnl"], strict=True):
            hour = begin_us // HOUR_US
            pnl_by_hour[hour] = pnl_by_hour.get(hour, 0.0) + value
        return pnl_by_hour


def mean_of(values: Iterable[float], *, knows: bool = True, trials: float = 1.0) -> Row:
    """Number, mean, 95 % interval (from two on) and share above 0 of *values*, one per day."""
    sample = np.array(list(values), np.float64)
    count = len(sample)
    ends: Row = {}
    for name, several in (("", trials), ("_alone", 1.0)):
        mean = estimated(sample, comparisons=several, independent=True) if count and knows else NO_ESTIMATE
        ends |= {f"low{name}": mean.low, f"high{name}": mean.high}
    return {
        "days": count,
        "mean": float(sample.mean()) if count else None,
        **ends,
        "share_above_0": float((sample > 0).mean()) if count else None,
    }


def evaluated(
    days: Sequence[EvaluatedDay],
    holes: Sequence[Row],
    record: OnRecord | None = None,
    accounts: "Mapping[str, Outcome] | None" = None,
) -> Row:
    """The content of ``evaluation.json``; Mismatch if quote assets differ.

    Args:
        days: Failed ones become holes.
        record: Trials on record; None without a ledger.
    """
    holes = [*holes]
    for day in days:
        if "error" in day.outcome:
            holes.append({"symbol": day.symbol, "day": day.day, "reason": day.outcome["error"]})
    played = [day for day in days if "error" not in day.outcome]
    assets = {day.outcome["summary"]["quote_asset"] or assets_of(day.symbol)[1]: day.symbol for day in played}
    if len(assets) > 1:
        named = ", ".join(f"{symbol} in {asset or 'an unknown asset'}" for asset, symbol in sorted(assets.items()))
        raise Mismatch(f"their PnL has no sum: {named}; evaluate symbols of one quote asset at a time")
    rows, knows = [_row(day) for day in played], all(concludes(day.outcome["summary"]) for day in played)
    mean = partial(mean_of, knows=knows, trials=record.independent if record else 1.0)
    by_day: dict[str, float] = {}
    for row in rows:
        by_day[row["day"]] = by_day.get(row["day"], 0.0) + _earned(row)
    by_day = dict(sorted(by_day.items()))
    daily = np.array(list(by_day.values()))
    content: Row = {
        "schema_version": SCHEMA_VERSION,
        "symbols": sorted({day.symbol for day in days} | {hole["symbol"] for hole in holes}),
        "quote_asset": next(iter(assets), ""),
        "days": list(by_day),
        "played": len(rows),
        "holes": sorted(holes, key=lambda hole: (hole["day"], hole["symbol"])),
        "pnl": float(daily.sum()) if len(daily) else None,
        **({OWN_MARKET: {"pnl": sum(own)}} if (own := _own_market(rows)) else {}),
        "daily": mean(daily),
        "sharpe_daily": sharpe_of_days(daily, _days_a_year(played)),
        **_judged(daily, played if knows else [], record),
        "trials": dict(ALONE) if record is None else record.to_json(),
        "best_day": _extreme(by_day, largest=True),
        "worst_day": _extreme(by_day, largest=False),
        "drawdown_of_days": _drawdown(daily),
        "pnl_by_day": [{"day": day, "pnl": pnl} for day, pnl in by_day.items()],
        "by_symbol": [_of_symbol(rows, symbol, mean) for symbol in sorted({row["symbol"] for row in rows})],
        "by_hour": _by_hour(played, mean),
        "by_volatility": _by_volatility(played, mean),
        "rows": rows,
        **({"accounts": [_account_row(day, accounts[day]) for day in by_day if day in accounts]} if accounts else {}),
        "warnings": [],
    }
    undone, periods = content["undone_by"], ("minute", "minutes") if len(daily) == 1 else ("day", "days")
    for name in ("", "_alone") if len(daily) > 1 else ():
        judged = content[f"verdict{name}"] or {"lower95": None, "upper95": None}
        for end in ("low", "high"):
            total = judged["lower95" if end == "low" else "upper95"]
            content["daily"][end + name] = None if total is None else total / len(daily)
    if (bounds := _bounds(played, by_day)) is not None:
        content |= _judged_by_least(content, bounds, (played, played if knows else []), record)
        undone = content["undone_by"]
    content["warnings"] = [
        *([] if undone is None else [f"{UNDONE}{undone_words(undone, *periods)}"]),
        *_warnings(played, len(daily), holes),
        *(f"{TRIALS}{problem}" for problem in (record.problems if record else ())),
    ]
    return content


def _days_a_year(played: Sequence[EvaluatedDay]) -> float:
    for summary in (day.outcome["summary"] for day in played):
        returns, covered_us = summary["returns"], sum(end - begin for begin, end in summary["spans"])
        if covered_us:
            return float(round(returns["periods_per_year"] * returns["period_s"] * US_PER_S / covered_us))
    return 0.0


def _bounds(played: Sequence[EvaluatedDay], by_day: Mapping[str, float]) -> "dict[str, dict[str, float]] | None":
    """The PnL by day of each of the bounds' plays; None if a day has none, or no PnL in one."""
    found = {name: dict.fromkeys(by_day, 0.0) for name in PLAYS}
    for day in played:
        plays = day.outcome["summary"].get("bounds")
        if not plays or any(plays[name]["pnl_quoting"] is None for name in PLAYS):
            return None
        for name in PLAYS:
            found[name][day.day] += plays[name]["pnl_quoting"]
    return found if played else None


def _judged_by_least(
    content: Row,
    by_day: "dict[str, dict[str, float]]",
    days: tuple[Sequence[EvaluatedDay], Sequence[EvaluatedDay]],
    record: OnRecord | None,
) -> Row:
    """The bounds of all days; verdict and ``undone_by`` of the play with the least PnL."""
    played, judged_days = days
    total = {name: sum(pnl.values()) for name, pnl in by_day.items()}
    fills = {name: sum(day.outcome["summary"]["bounds"][name]["n_fills"] for day in played) for name in PLAYS}
    own = total[CHOSEN]
    found: Row = {
        "bounds": {name: {"pnl": total[name], "n_fills": fills[name]} for name in PLAYS},
        "open_share": (max(total.values()) - min(total.values())) / abs(own) if own else None,
    }
    least = least_of(total)
    if least is None or least == CHOSEN or content["verdict"] is None:
        return found
    judged = _judged(np.array(list(by_day[least].values())), judged_days, record, least)
    return found | {name: judged[name] for name in ("verdict", "undone_by")} | {"verdict_chosen": content["verdict"]}


def _judged(daily: Floats, played: Sequence[EvaluatedDay], record: OnRecord | None, bound: str | None = None) -> Row:
    """The verdict on the days, each one draw; on a single day that of its backtest, by the minute."""
    sample, positions = None, dict[str, Mapping[str, float]]()
    if played:
        pnl = _minutes(played, bound)
        sample = Sample.of(pnl) if len(daily) == 1 else Sample.of_days(daily, float(robust_units(pnl[:, None])[0]))
    for day in played:
        for symbol, position in positions_of(day.outcome["summary"]).items():
            known = positions.get(symbol, position)
            positions[symbol] = max(known, position, key=lambda each: abs(each["value"]))
    found = verdicts(sample, record, positions, of_days=len(daily) > 1)
    return {name: found[name] for name in found if not name.startswith("psr")}


def _minutes(played: Sequence[EvaluatedDay], bound: str | None = None) -> Floats:
    """PnL by minute, of all symbols, in order of time; that of a *bound*'s play, if one is named."""
    minutes, pnl = list[Ints](), list[Floats]()
    for series in (day.outcome["series"] for day in played):
        minutes += [begin_us // MINUTE_US + np.arange(count, dtype=np.int64) for begin_us, count in series["spans"]]
        pnl.append(np.array(series["pnl"] if bound is None else series["bounds"][bound], np.float64))
    if not minutes:
        return np.empty(0)
    _, at = np.unique(np.concatenate(minutes), return_inverse=True)
    sums: Floats = np.bincount(at, np.concatenate(pnl)).astype(np.float64)
    return sums


def _row(evaluated_day: EvaluatedDay) -> Row:
    summary = evaluated_day.outcome["summary"]
    known = (
        "pnl_quoting",
        "pnl_hold",
        "fees",
        "n_fills",
        "max_drawdown",
        "two_sided_uptime",
        "quote_qty",
        "seconds_covered",
    )
    ours, theirs = summary["volume"], evaluated_day.market.volume
    return {
        "day": evaluated_day.day,
        "symbol": evaluated_day.symbol,
        **{name: summary[name] for name in known},
        **({QUOTING_OWN_MARKET: own["pnl_quoting"]} if (own := summary.get(OWN_MARKET)) else {}),
        "volume": ours["base"],
        "turnover": ours["quote"],
        "share_of_volume": ours["base"] / theirs if theirs else None,
        "volatility_bp": _rms(evaluated_day.market.volatility),
        "inventory_abs_mean": summary["inventory"]["abs_mean"],
        **({"liquidated_at": summary.get("liquidated_at")} if "margin" in summary else {}),
        "command": evaluated_day.command,
    }


def _account_row(day: str, outcome: "Outcome") -> Row:
    summary = outcome["summary"]
    gave = summary["diversification"] or {}
    return {
        "day": day,
        **{name: summary[name] for name in ("pnl_quoting", "balances", "killed")},
        **{name: gave.get(name) for name in ("std_60s_share", "max_drawdown_share")},
        **({"liquidated_at": summary.get("liquidated_at")} if "margin" in summary else {}),
    }


def _own_market(rows: Sequence[Row]) -> list[float]:
    return [float(row[QUOTING_OWN_MARKET] or 0.0) for row in rows if QUOTING_OWN_MARKET in row]


def _earned(row: Row) -> float:
    return float(quoting_of(row) or 0.0)


def _rms(values: Floats) -> float | None:
    return float(np.sqrt((values**2).mean())) if len(values) else None


def _extreme(by_day: Mapping[str, float], *, largest: bool) -> Row | None:
    if not by_day:
        return None
    day = (max if largest else min)(by_day, key=lambda name: by_day[name])
    return {"day": day, "pnl": by_day[day]}


def _drawdown(daily: Floats) -> float | None:
    if not len(daily):
        return None
    summed = np.concatenate(([0.0], np.cumsum(daily)))
    return float((np.maximum.accumulate(summed) - summed).max())


def _of_symbol(rows: Sequence[Row], symbol: str, mean: Mean) -> Row:
    own = [row for row in rows if row["symbol"] == symbol]
    turnover = sum(row["turnover"] for row in own)
    earned = sum(map(_earned, own))
    shares = [row["share_of_volume"] for row in own if row["share_of_volume"] is not None]
    share, quantity = float(np.median(shares)) if shares else None, own[-1]["quote_qty"]
    return {
        "symbol": symbol,
        "pnl": earned,
        **mean(map(_earned, own)),
        "fills": sum(row["n_fills"] for row in own),
        "turnover": turnover,
        "pnl_per_turnover_bp": 1e4 * earned / turnover if turnover else None,
        "share_of_volume": share,
        # Proportion alone: whether the market would fill as much, at these prices, is not known.
        "quote_qty_at_share": quantity * SHARE / share if share and quantity else None,
    }


def _by_hour(played: Sequence[EvaluatedDay], mean: Mean) -> list[Row]:
    sums: dict[int, dict[str, float]] = {}
    for day in played:
        for hour, pnl in day.hourly().items():
            days = sums.setdefault(hour % 24, {})
            days[day.day] = days.get(day.day, 0.0) + pnl
    return [{"hour": hour, **mean(days.values())} for hour, days in sorted(sums.items())]


def _by_volatility(played: Sequence[EvaluatedDay], mean: Mean) -> list[Row]:
    edges = {
        symbol: np.quantile(
            np.concatenate([day.market.volatility for day in played if day.symbol == symbol]), (1 / 3, 2 / 3)
        )
        for symbol in {day.symbol for day in played if len(day.market.volatility)}
    }
    cells: list[dict[str, list[float]]] = [{} for _ in REGIMES]
    levels: list[list[float]] = [[] for _ in REGIMES]
    for day in played:
        earned = day.hourly()
        for hour, volatility in zip(day.market.hours.tolist(), day.market.volatility.tolist(), strict=True):
            if hour in earned:
                regime = int(np.searchsorted(edges[day.symbol], volatility, side="right"))
                cells[regime].setdefault(day.day, []).append(earned[hour])
                levels[regime].append(volatility)
    return [
        {
            "regime": name,
            "hours": len(level),
            "volatility_bp": float(np.median(level)) if level else None,
            **mean(float(np.mean(pnl)) for pnl in days.values()),
        }
        for name, days, level in zip(REGIMES, cells, levels, strict=True)
    ]


def _warnings(played: Sequence[EvaluatedDay], days: int, holes: Sequence[Row]) -> list[str]:
    lines = []
    if holes:
        lines.append(f"holes: {len(holes)}, days of symbols that were not played and are in none of these numbers")
    if days < FEW_DAYS:
        lines.append(
            f"{days} day{'s' * (days != 1)}: an interval over fewer than {FEW_DAYS} says little about rare days"
        )
    hours: dict[str, float] = {}
    for day in played:
        hours[day.day] = max(hours.get(day.day, 0.0), day.outcome["summary"]["seconds_covered"] / 3_600)
    if hours and max(hours.values()) >= UNEQUAL * min(hours.values()):
        lines.append(
            f"days cover {number(min(hours.values()), 2)} to {number(max(hours.values()), 2)} h of a market and weigh "
            f"the same: a mean a day is not one an hour"
        )
    counts: dict[str, int] = {}
    for day in played:
        for line in day.outcome["summary"].get("warnings", ()):
            if not line.startswith(("null: ", EXCLUDED)):  # the run names what is excluded
                of_any = line.replace(f" {day.day}: ", ": ", 1)
                counts[of_any] = counts.get(of_any, 0) + 1
    return lines + [f"{count} of {len(played)} days: {line}" for line, count in counts.items()]
