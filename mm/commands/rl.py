"""``mm rl``."""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mm.backtest.rules import Account, Execution
from mm.base.day_notes import once_for_days
from mm.base.user_code import import_trusted
from mm.cli.frame import command, runner
from mm.cli.task_knobs import HeldOutDays, Learning, Refereed, TrainedAgent
from mm.dayfolder.held_out import held_of
from mm.dayfolder.layout import days_of
from mm.errors import MissingDay, Sentence, UsageError, parameter
from mm.play.knobs import Day, Market, Models
from mm.runs.in_progress import Run
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.backtest.quotes.agent_file import SavedAgent
    from mm.rl.training_days import EngineKnobs


_IDLE = ("quote_model", "quote_params_json", "quote_levels", "level_step_ticks", "fit_draws")


@runner("rl_train", brief=(Day, Learning))
def rl_train(
    run: Run, day: Day, market: Market, execution: Execution, account: Account, models: Models, learning: Learning
) -> None:
    """Train an agent on recorded days: <SAVE_PATH>.zip, which QUOTE_MODEL=rl uses.

    PPO of stable-baselines3. The agent's constants (scales of the signals, A and k) are fitted to the training days
    only. training.json and the page have the learning curve; the page also shows the agent's quotes.

    Example: mm rl train --symbol BTCUSDT --day 20251216 --episodes 100 --save-path out/models/agent
    """
    from mm.backtest.quotes.agent_file import write_agent
    from mm.report.agent_page import agent_page
    from mm.rl.training import smoothed, train_agent
    from mm.runs.noted import opened, said_days

    knobs = _knobs(execution, account, models)
    markets = opened(run, day, market)
    tapes = markets.tapes
    said_days(run, markets)
    with run.timing("play"):
        training = train_agent(tapes, knobs, learning)
    path = learning.save_path.with_name(f"{learning.save_path.name.removesuffix('.zip')}.zip")
    sha256 = write_agent(path, training.agent)
    curve = smoothed(training.returns)
    content = {
        "sha256": sha256,
        "terms": training.agent.terms.to_json(),
        "about": dict(training.agent.about),
        "learning_curve": curve,
    }
    run.artefact = "training.json"
    run.path(run.artefact).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    run.write_page(agent_page(training.agent, curve, run.about))
    run.summary = {"sha256": sha256, "episodes": len(training.returns)}
    if curve:
        run.print(f"reward per episode: first {curve[0]:.6g}, last {curve[-1]:.6g}, {len(training.returns)} episodes")
    run.print(f"{path}; compare it with other strategies: mm rl evaluate --model-path {path}")


@command(brief=(TrainedAgent, HeldOutDays))
def rl_evaluate(
    console: Console,
    trained: TrainedAgent,
    wanted: HeldOutDays,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
) -> None:
    """Evaluate an agent against Avellaneda-Stoikov, the symmetric quoter and the expected-value quoter.

    All have A and k of the training days, the same rules and the same inventory limit. The verdict is whether the
    agent wins: it has the highest PnL, above 0, and exceeds the expected best of as many policies without skill.

    Example: mm rl evaluate --model-path out/models/rl_mm_agent.zip --day 20251217
    """
    from mm.backtest.quotes.agent_file import read_agent
    from mm.backtest.summary_text import tried
    from mm.play.market import Markets
    from mm.play.notes import agent_notes, day_notes, log_notes
    from mm.rl.evaluation import evaluate as evaluated
    from mm.trials.on_record import Recording
    from mm.trials.openings import write_openings

    import_trusted(models.trusted())
    knobs = _knobs(execution, account, models)
    agent = read_agent(trained.model_path)
    day = _days(wanted, agent)
    tapes = Markets.open(day, market).tapes
    for problem in write_openings(day.out_root, tapes, "rl"):
        console.print(f"note: {problem}")
    log_notes(console.log, agent_notes(trained.model_path, agent, execution, tapes))
    for note in once_for_days(day_notes(tapes)):
        console.print(f"note: {note}")
    recording = Recording(day.out_root, "rl evaluate")
    evaluation = evaluated(agent, tapes, knobs, recording)
    console.set_json(evaluation)
    for problem in recording.problems:
        console.print(f"note: trials: {problem}")
    console.print(f"{evaluation['symbol']} {','.join(evaluation['days'])}, {evaluation['policies_tried']} policies")
    console.print(f"{'policy':<20}{'PnL':>14}{'Sharpe':>9}{'deflated':>10}{'fills':>8}{'mean |q|':>12}")
    for name, row in evaluation["policies"].items():
        numbers = [f"{row['pnl_quoting']:>14.6g}", _cell(row["sharpe"], 9, 2), _cell(row["deflated_sharpe"], 10, 3)]
        held = _cell(row["inventory"]["abs_mean"], 12, 4)
        console.print(f"{name:<20}{''.join(numbers)}{row['n_fills']:>8}{held}")
    console.print(evaluation["verdict"])
    console.print(f"trials: {tried(evaluation['trials'], None)}")


@command(brief=(Refereed,))
def rl_referee(console: Console, refereed: Refereed, account: Account) -> None:
    """Train agents in the model of Avellaneda and Stoikov (2008), and print their share of the closed form's utility.

    Utility is the mean profit minus γ/2 times its variance, computed exactly. A random agent, the symmetric quoter and
    the optimum of continuous time are shown for comparison, without torch.

    Example: mm rl referee --seeds 10
    """
    from mm.rl.closed_form import PAPER, brackets

    seeds = [account.seed + number for number in range(refereed.seeds)]
    answer: dict[str, Any] = {"utility": brackets(PAPER, seeds), "seeds": seeds}
    closed, optimum = (answer["utility"][name] for name in ("closed_form", "optimum"))
    for name, value in answer["utility"].items():
        console.print(f"{name:<14}{value:>10.3f}{value / closed:>9.4f}")
    answer |= _shares(console, refereed, seeds, closed, optimum)
    console.set_json(answer)


def _shares(console: Console, refereed: Refereed, seeds: list[int], closed: float, optimum: float) -> dict[str, Any]:
    from mm.rl.closed_form import PAPER, LearnedPolicy, Share, utility
    from mm.signals.predictor import Network

    if find_spec("stable_baselines3") is None:
        console.print(
            "rl            no agent was trained: stable-baselines3 is not installed; pip install 'mm-research[rl]'"
        )
        return {"share": None}
    from mm.rl.ppo import train_in_paper_world

    shares = []
    with console.progress("train", len(seeds)) as step:
        for seed in seeds:
            layers = train_in_paper_world(seed, refereed.referee_timesteps)
            network = Network(*zip(*layers, strict=True))
            shares.append(utility(PAPER, LearnedPolicy(PAPER, network.predict)) / closed)
            step(1)
    share, of_optimum = Share.of(shares), Share.of([share_of_closed * closed / optimum for share_of_closed in shares])
    console.print(f"{'rl':<14}{share.mean * closed:>10.3f}{share.mean:>9.4f}  {share.text()}")
    console.print(f"{'rl / optimum':<24}{of_optimum.mean:>9.4f}  {of_optimum.text()}")
    return {**share.to_json(), "of_optimum": of_optimum.to_json()}


def _knobs(execution: Execution, account: Account, models: Models) -> "EngineKnobs":
    from mm.rl.training_days import EngineKnobs

    plain = Models()
    for name in _IDLE:
        if getattr(models, name) != getattr(plain, name):
            raise UsageError(Sentence("{} has no effect on an agent; leave it out", parameter(name)))
    return EngineKnobs(execution, account, models, account.seed)


def _days(wanted: HeldOutDays, agent: "SavedAgent") -> Day:
    symbol = wanted.symbol or agent.terms.symbol
    names = wanted.day
    if names is None:
        trained = agent.days
        recorded = days_of(wanted.data_root, symbol)
        held = [] if wanted.open_held_out else held_of(wanted.data_root, symbol, recorded)
        unseen = [name for name in recorded if name not in trained and name not in held]
        if not unseen:
            raise MissingDay(
                "{}: there is no recorded day outside the training days of the agent; record or import one, or give "
                "{day}",
                wanted.data_root / symbol,
            )
        names = ",".join(unseen)
    return Day.like(wanted, symbol, names)


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
