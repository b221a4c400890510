"""The commands of learning: knobs, arguments and help."""

from mm.backtest.rules import Account, Execution
from mm.cli.frame import command, runner
from mm.cli.task_knobs import HeldOutDays, Learning, Refereed, TrainedAgent
from mm.play.knobs import Day, Market, Models

rl_train = runner(
    "rl_train",
    Day,
    Market,
    Execution,
    Account,
    Models,
    Learning,
    brief=(Day, Learning),
    body="mm.commands.rl:train",
    text="""
    Train an agent on recorded days: <SAVE_PATH>.zip, which QUOTE_MODEL=rl uses.

    PPO of stable-baselines3. The agent's constants (scales of the signals, A and k) are fitted to the training days
    only. training.json contains the learning curve; the page shows it and the quotes of the agent.

    Example: mm rl train --symbol BTCUSDT --day 20251216 --episodes 100 --save-path out/models/agent
    """,
)

rl_evaluate = command(
    TrainedAgent,
    HeldOutDays,
    Market,
    Execution,
    Account,
    Models,
    brief=(TrainedAgent, HeldOutDays),
    body="mm.commands.rl:evaluate",
    text="""
    Evaluate an agent against Avellaneda-Stoikov, the symmetric quoter and the expected-value quoter.

    All have A and k of the training days, the same rules and the same inventory limit. The verdict is whether the
    agent wins: it has the highest PnL, above 0, and exceeds the expected best of as many policies without skill.

    Example: mm rl evaluate --model-path out/models/rl_mm_agent.zip --day 20251217
    """,
)

rl_referee = command(
    Refereed,
    Account,
    brief=(Refereed,),
    body="mm.commands.rl:referee",
    text="""
    Train agents in the model of Avellaneda and Stoikov (2008), and print their share of the closed form's utility.

    Utility is the mean profit minus γ/2 times its variance, computed exactly. A random agent, the symmetric quoter and
    the optimum of continuous time are shown for comparison; these need no torch.

    Example: mm rl referee --seeds 10
    """,
)
