"""``mm backtest``: play recorded days against a quote model and a fill model."""

from mm.backtest.rules import Account, Execution
from mm.cli.config import Day, Market, Models, Sensitivity
from mm.cli.frame import runner
from mm.runs.run import Run


@runner("backtest", Day, Market, Execution, Account, Models, Sensitivity)
def main(
    run: Run,
    day: Day,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    honesty: Sensitivity,
) -> None:
    """Play one or more recorded days against a quote model and a fill model.

    Example: DAY=20251216 SYMBOL=BTCUSDT mm backtest
    """
    from mm.backtest.replay import backtest
    from mm.backtest.sensitivity import Strategy, with_band
    from mm.backtest.summary_text import told
    from mm.commands import assemble
    from mm.model_maker import ModelMaker, check_names

    check_names(models)
    played = assemble.tapes(run, day, market)
    maker = ModelMaker(run, models, played[0], account.seed)
    rules = assemble.rules(played[0], execution, account, models, run=run)
    strategy = Strategy(played, rules, maker.quotes, maker.fills, maker.intensity, account.seed)
    further = maker.registered_only() if honesty.honesty is None else honesty.honesty
    length_us = sum(tape.end_us - tape.start_us for tape in played)
    plays = 1 + models.fit_draws + (strategy.plays() if further else 0)
    with run.timing("play"), run.progress("play", length_us * plays) as step:
        result = maker.based(strategy.play(step))
        if further:
            result = strategy.with_sensitivity(result, step)
        if models.fit_draws:
            result = with_band(result, [backtest(played, *pair, rules, step=step) for pair in maker.redrawn()])
    del played, maker, strategy  # lets the mapped tapes go: writing needs the journal alone
    run.write_result(result)
    run.say(told(result.summary))
