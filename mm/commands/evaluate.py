"""``mm evaluate``."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.run_terms import OWN_MARKET
from mm.base.numbers import number, signed
from mm.cli.frame import runner
from mm.cli.task_knobs import Bounded, ManyDays, Workers
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol
from mm.report.contents import EVALUATION
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.sweep.evaluate import DayWorks
    from mm.sweep.evaluation import Row


DAILY = "evaluation_days.csv"
SHOWN = 10  # symbols on the terminal


def one_folder(objects: Sequence[Any]) -> Day:
    days: ManyDays = next(group for group in objects if isinstance(group, ManyDays))
    days.played()
    symbols = days.symbol.split(",")
    return replace(days, symbol="+".join(symbols) if len(symbols) <= 3 else f"{len(symbols)}_symbols")


@runner("evaluation", resumable=True, day_of=one_folder, brief=(ManyDays, Models, Workers))
def evaluate(
    run: Run,
    days: ManyDays,
    market: Market,
    execution: Execution,
    account: Account,
    margin: Margin,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    workers: Workers,
    bounded: Bounded,
    one_account: OneAccount,
    per_symbol: PerSymbol,
    limits: AccountTerms,
    _folder: Day,
) -> None:
    """Play a strategy on many days and symbols, each day on its own, and tell what the days say together.

    A day that is missing or damaged is a named hole. --held-out plays all days of the symbols that are held out.

    Days already played, by this or another evaluation, are reused; a killed one is resumed if its RUN_ID is given
    again.

    Example: mm evaluate --symbol BTCUSDT,ETHUSDT --day 20260101:20260131 --quote-model avellaneda_stoikov
    """
    from mm.play.models import check_names
    from mm.play.setup import Setup
    from mm.report.evaluation import page
    from mm.sweep.account_setup import account_setup
    from mm.sweep.evaluate import read_days
    from mm.sweep.sweep import as_csv
    from mm.trials.on_record import Recording

    check_names(models)
    setup = Setup.of(days, market, execution, account, margin, models, risk, others)
    recording = Recording(days.out_root, run.kind, run.id)
    with run.timing("load"), run.progress("days read", len(days.played())) as step:
        together = account_setup(setup, one_account, per_symbol, limits)
        works = read_days(setup, days, workers, recording, run, step, together=together, bounded=bounded.bounds)
    run.keep_source(dict.fromkeys(name for work in works.each for name in work.sources))
    _play(run, works, workers)
    content = works.content(recording)
    with run.timing("write"):
        run.output(EVALUATION).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        run.output(DAILY, len(content["rows"])).write_text(as_csv(content["rows"]), encoding="utf-8")
        run.artefact = EVALUATION
        run.summary = {
            name: content[name] for name in ("played", "pnl", "daily", "trials", "best_day", "worst_day", "warnings")
        }
        run.summary |= {"days": content["days"], "holes": len(content["holes"])}
        run.write_page(page(run.partial, run.about))
    for line in _lines(content):
        run.print(line)


def _play(run: Run, works: "DayWorks", workers: Workers) -> None:
    from mm.sweep.work import engine

    missing = len(works.missing)
    run.timings.update(played=missing, reused=len(works.each) - missing)
    with run.timing("play"), run.progress("days", missing) as step:
        try:
            works.play(engine(workers), step)
        except BaseException:
            message = "run the same command to resume the evaluation"
            run.log.warning("days_kept", known=len(works.outcomes), of=len(works.each), message=message)
            raise


def _lines(content: "Row") -> Iterator[str]:
    from mm.backtest.metrics.verdict import words
    from mm.backtest.summary_text import tried
    from mm.report.evaluation import early_end

    daily, asset = content["daily"], content["quote_asset"]
    ends = "" if daily["low"] is None else f", 95 % {signed(daily['low'])} … {signed(daily['high'])}"
    gained = round((daily["share_above_0"] or 0.0) * daily["days"])
    yield f"PnL of quoting    {signed(content['pnl'])} {asset}, {daily['days']} days, {content['played']} played"
    if OWN_MARKET in content:
        yield f"  own market      {signed(content[OWN_MARKET]['pnl'])} {asset}, without the other legs"
    yield f"a day             {signed(daily['mean'])}{ends}, a gain on {gained:,} of {daily['days']:,}"
    yield f"verdict           {words(content['verdict'], daily['days'])}"
    if bounds := content.get("bounds"):
        both = (f"{signed(bounds[end]['pnl'])} with {bounds[end]['n_fills']:,} fills" for end in ("back", "front"))
        share = content["open_share"]
        left = "" if share is None else f"; open: {number(100 * share, 3)} % of the chosen one's"
        yield f"bounds            PnL {' to '.join(both)}, from the back of every queue to the front{left}"
    yield f"trials            {tried(content['trials'], daily['low'])}"
    for name in ("best_day", "worst_day"):
        if content[name]:
            yield f"{name.replace('_', ' '):18}{signed(content[name]['pnl'])} on {content[name]['day']}"
    for row in content["by_symbol"][:SHOWN]:
        share = "" if row["share_of_volume"] is None else f", {number(100 * row['share_of_volume'], 2)} % of the volume"
        yield f"{row['symbol']:18}{signed(row['pnl'])}, {row['fills']:,} fills{share}"
    for row in content.get("accounts", ()):
        share, end = row["std_60s_share"], early_end(row)
        deviation = "" if share is None else f", {number(100 * share, 3)} % of the symbols' deviations"
        yield f"{row['day']:18}{signed(row['pnl_quoting'])} of the account{deviation}{end and f', {end}'}"
    for row in content["by_volatility"]:
        if row["mean"] is not None:
            level = f"at {number(row['volatility_bp'], 2)} bp a minute"
            yield f"{row['regime'] + ' hours':18}{signed(row['mean'])} an hour, {level}"
    yield from (f"hole: {hole['symbol']} {hole['day']}: {hole['reason']}" for hole in content["holes"])
    yield from (f"note: {line}" for line in content["warnings"])
