"""``mm signals``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mm.base.numbers import UNDECIDED, fixed, number, sign_of
from mm.cli.frame import command, runner
from mm.cli.task_knobs import SignalColumns
from mm.errors import UsageError
from mm.play.knobs import Day, Market, OtherMarkets
from mm.runs.in_progress import Run
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.report.frame import About
    from mm.signals.compute import SignalRows
    from mm.signals.micro_price import MicroPriceFit
    from mm.signals.score import SignalScore
    from mm.tape.tape import Tape


COLUMNS = "signals.parquet"
OTHER_USUAL = ("basis", "return_500ms", "divergence_500ms", "divergence_5s", "imbalance_1")


@command()
def signals_list(console: Console) -> None:
    """List the signals: name, unit, formula and source.

    In names, {n} is a number of levels (imbalance_5), {w} a window (momentum_10s, momentum_500ms) and {e} a
    window in events (momentum_100e), each with any number; {o} is the name of another market (OTHERS) and {s} a
    signal of it (lead.imbalance_5). Without names the default ones are computed. A user's class is
    package.module:Class.

    Example: mm signals list
    """
    from mm.signals.families import SIGNALS, listed

    rows = list(listed(SIGNALS.families))
    console.set_json({"signals": rows})
    width = max(len(row["name"]) for row in rows)
    units = max(len(row["unit"]) for row in rows)
    for group in dict.fromkeys(row["group"] for row in rows):
        console.print(group)
        for row in (row for row in rows if row["group"] == group):
            console.print(f"  {row['name']:<{width}}  {row['unit']:<{units}}  {row['formula']}")
            source = "" if row["source"] == "definition" else f"; {row['source']}"
            usual = ", ".join(row["usual"]) or "only by name"
            console.print(f"  {'':<{width}}  {'':<{units}}  default: {usual}{source}")


@runner("signals", brief=(Day, OtherMarkets, SignalColumns))
def signals_compute(run: Run, day: Day, market: Market, others: OtherMarkets, columns: SignalColumns) -> None:
    """Compute signals over recorded days: signals.parquet with recv_us, recv_seq and a column for each.

    One row per diff that changed the book, and the first one after a snapshot. Undefined values (an incomplete window,
    an empty side) are null, and never filled. micro_price is fitted on the recorded days before each day, which the
    metadata name; without any it is null.

    Example: mm signals compute --symbol BTCUSDT --day 20251216 --signals imbalance_5,ofi_10s
    """
    from mm.play.market import MICRO_PRICE, micro_price_before
    from mm.runs.noted import note_tapes, opened, said_days
    from mm.signals.compute import compute, write_signals
    from mm.signals.families import SIGNALS

    names = names_of(columns, others)
    SIGNALS.check(names)
    markets, fits = opened(run, day, market, others), {}
    tapes, feeds = markets.tapes, markets.others
    said_days(run, markets)
    if MICRO_PRICE in names:
        with run.timing("fit"):
            for tape in tapes:
                fitted = micro_price_before(day, market, tape)
                note_tapes(run, fitted.tapes)
                fits[tape.days[0]] = fitted.fit
    for first, fit in fits.items():
        if fit is None:
            run.print(f"note: {first}: micro_price is null: there is no earlier day to fit it on")
    rows = 0

    def pieces() -> "Iterator[SignalRows]":
        nonlocal rows
        with run.progress("events", sum(len(tape) for tape in tapes)) as step:
            for tape in tapes:
                for piece in compute(tape, names, fits.get(tape.days[0]), others=feeds):
                    rows += len(piece.recv_us)
                    yield piece
                step(len(tape))

    about = _about(tapes, fits)
    with run.timing("play"):
        known = write_signals(run.output(COLUMNS), names, pieces(), about)
    run.artefact = COLUMNS
    run.summary = {**about, "rows": rows, "known": known}
    run.print(f"{rows:,} rows of {len(names)} signals")


def names_of(columns: SignalColumns, others: OtherMarkets) -> tuple[str, ...]:
    from mm.signals.families import SIGNALS

    if columns.signals:
        return tuple(columns.signals.split(","))
    return tuple(f"{name}.{signal}" for name in others.declared() for signal in OTHER_USUAL) or SIGNALS.usual


def _about(tapes: "Sequence[Tape]", fits: "dict[str, MicroPriceFit | None]") -> dict[str, Any]:
    grid = tapes[0].instrument
    return {
        "symbol": tapes[0].symbol,
        "days": [day for tape in tapes for day in tape.days],
        "tick_e8": grid.tick_e8,
        "lot_e8": grid.lot_e8,
        "micro_price": {day: fit and fit.to_json() for day, fit in fits.items()},
    }


@runner("signals_score", brief=(Day, OtherMarkets, SignalColumns))
def signals_score(run: Run, day: Day, market: Market, others: OtherMarkets, columns: SignalColumns) -> None:
    """Score signals against the move of the mid over 100 ms to 60 s.

    Prints the rank correlation by horizon, with 95 % intervals by blocks of moves; * if the interval excludes 0,
    ! if the halves of the day differ in sign. score.json has all results.

    Example: mm signals score --symbol BTCUSDT --day 20251216 --signals imbalance_5,ofi_10s
    """
    from mm.play.market import MICRO_PRICE
    from mm.runs.noted import note_micro_price, opened, said_days
    from mm.signals.families import SIGNALS
    from mm.signals.score import HORIZONS_S, LEAST_MOVES, half_life_s, score

    names = names_of(columns, others)
    SIGNALS.check(names)
    if len(day.days()) > 1:
        raise UsageError("{day} is {}; signals are scored on one day, whose halves are compared; give one day", day.day)
    markets = opened(run, day, market, others)
    (tape,), feeds = markets.tapes, markets.others
    said_days(run, markets)
    fit = note_micro_price(run, markets).fit if MICRO_PRICE in names else None
    with run.timing("play"):
        every_score = score(tape, names, fit, others=feeds)
    by_name = {
        name: [row for row in every_score if row.signal == name]
        for name in dict.fromkeys(row.signal for row in every_score)
    }
    content = {
        **_about([tape], {tape.days[0]: fit}),
        "horizons_s": list(HORIZONS_S),
        "scores": [row.to_json() for row in every_score],
        "half_life_s": {name: half_life_s(scores) for name, scores in by_name.items()},
    }
    run.write_page(page(by_name, content, run.about))
    run.artefact = "score.json"
    run.path(run.artefact).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    best = max((row for row in every_score if row.rho is not None), key=lambda row: abs(row.rho or 0.0), default=None)
    run.summary = {
        "best": best and best.signal,
        "best_horizon_s": best and best.horizon_s,
        "best_rho": best and best.rho,
    }
    width = max(len(name) for name in by_name)
    run.print(" " * width + "".join(f"{f'{horizon_s:g} s':>9}" for horizon_s in HORIZONS_S))
    for name, scores in by_name.items():
        run.print(f"{name:<{width}}" + "".join(_cell(cell) for cell in scores))
    if (moves := max((row.moves for row in every_score), default=0)) < LEAST_MOVES:
        run.print(f"no intervals: the mid moved {moves} times, {LEAST_MOVES} are needed; score a longer day")
    if tested := sum(row.ci95 is not None for row in every_score):
        stars, chance = sum(_has_star(row) for row in every_score), number(0.05 * tested, 2)
        run.print(f"{stars} of {tested} cells have a star; {chance} would by chance, if no signal told anything")


def page(by_name: "Mapping[str, Sequence[SignalScore]]", content: "Mapping[str, Any]", about: "About") -> str:
    from mm.report.figures import heat
    from mm.report.frame import card, chart, document, grid, header, interval, origin

    horizons = [f"{horizon_s:g} s" for horizon_s in content["horizons_s"]]
    rows = list(by_name.values())
    values = [[score.rho for score in scores] for scores in rows]
    shown = heat(("horizon", horizons), ("signal", list(by_name)), values, texttemplate="%{z:+.3f}")
    cells = [
        [
            f"{score.signal}, {score.horizon_s:g} s",
            f"{score.rows:,}",
            "–" if score.rho is None else fixed(score.rho, 4),
            interval(score.ci95),
            "–" if score.first_half is None else fixed(score.first_half, 4),
            "–" if score.second_half is None else fixed(score.second_half, 4),
        ]
        for scores in rows
        for score in scores
    ]
    head = ("signal, horizon", "rows", "correlation", "95 %", "first half", "second half")
    hint = "Spearman's rank correlation with the move of the mid over the horizon; a dash: not known."
    more = (
        "Intervals by blocks of moves, each alone at 95 %: of cells that tell nothing one in twenty excludes 0. Halves "
        "of the day's time. A correlation is not a profit: it ignores fees."
    )
    parts = [
        header(content["symbol"], ",".join(content["days"]), "How well signals predict the next move of the mid"),
        card("Correlation by horizon", hint, chart(shown)),
        card("Intervals and halves", more, grid(head, cells, "listing")),
        origin(about),
    ]
    return document(f"{content['symbol']} signals", parts, about.plotly)


def _has_star(score: "SignalScore") -> bool:
    return score.ci95 is not None and sign_of(*score.ci95) != UNDECIDED


def _cell(score: "SignalScore") -> str:
    if score.rho is None:
        return f"{'–':>9}"
    clear = "*" if _has_star(score) else " "
    return f"{fixed(score.rho, 3):>7}{clear}{'!' if score.stable is False else ' '}"
