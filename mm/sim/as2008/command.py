"""``mm sim as2008``: the tables of Avellaneda and Stoikov (2008), published, exact and simulated."""

import os
from dataclasses import dataclass

from mm.cli import command
from mm.console import Console
from mm.errors import UsageError
from mm.knobs import Reader, closest, knob, number, numbers, shown, whole

_STRATEGIES = ("inventory", "symmetric", "glft_exact", "glft_closed_form")
_MOST_STEPS = 100_000


def _strategies(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in _STRATEGIES:
            raise ValueError(f"one or more of {', '.join(_STRATEGIES)}{closest(name, _STRATEGIES)}")
    if len(set(names)) < len(names):
        raise ValueError("a list without repeats, such as inventory,symmetric")
    return names


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The experiment; prices, seconds and units of inventory, as in the paper."""

    gamma: tuple[float, ...] = knob((0.1, 0.01, 1.0), numbers(1e-6, 1000), "Risk aversions, 1/(price·unit).")
    A_per_s: float = knob(140.0, number(1e-9, 1e9), "Fills per second of a quote at the mid.", flag="--A")
    k_per_price: float = knob(1.5, number(1e-9, 1e9), "Decay of the fill rate with distance, 1/price.", flag="--k")
    sigma_price_per_sqrt_s: float = knob(2.0, number(0, 1e6), "Volatility of the mid, price/√s.", flag="--sigma")
    horizon_s: float = knob(1.0, number(1e-6, 1e9), "Length of a session.", flag="--T")
    step_s: float = knob(0.005, number(1e-9, 1e9), "Length of a step; a session is whole steps.", flag="--dt")
    paths: int = knob(1000, whole(2, 10**9), "Simulated sessions of each row.")
    seed: int = knob(0, whole(0, 2**63 - 1), "Key of every draw; a row's luck does not depend on the other rows.")
    strategy: tuple[str, ...] = knob(
        ("inventory", "symmetric"), Reader("NAME,NAME,…", _strategies), f"Quoting rules: {', '.join(_STRATEGIES)}."
    )

    def steps(self) -> int:
        """Return the number of steps of a session.

        Raises:
            UsageError: If it is not whole, or beyond what can be played.
        """
        told = f"--dt (STEP_S) is {shown(self.step_s)} and --T (HORIZON_S) is {shown(self.horizon_s)}"
        if self.step_s > self.horizon_s:
            raise UsageError(f"{told}: a step must not be longer than the session; choose a smaller --dt")
        steps = round(self.horizon_s / self.step_s)
        if steps > _MOST_STEPS:
            raise UsageError(f"{told}: that is {steps:,} steps, and {_MOST_STEPS:,} are the most; choose a larger --dt")
        if abs(steps * self.step_s - self.horizon_s) > 1e-9 * self.horizon_s:
            raise UsageError(
                f"{told}: that is {self.horizon_s / self.step_s:.6g} steps, and a session must be a whole number of "
                f"them; --dt {self.horizon_s / steps:.12g} makes {steps}"
            )
        return steps


@command(Paper)
def main(console: Console, paper: Paper) -> None:
    """Print the tables of Avellaneda and Stoikov (2008): published, exact and simulated."""
    from mm.sim.as2008.market import Market
    from mm.sim.as2008.rows import row
    from mm.sim.as2008.table import text

    steps, workers = paper.steps(), os.cpu_count() or 1
    rows = []
    with console.progress("rows", len(paper.gamma) * len(paper.strategy)) as advance:
        for gamma in paper.gamma:
            market = Market(
                gamma, paper.A_per_s, paper.k_per_price, paper.sigma_price_per_sqrt_s, paper.horizon_s, steps
            )
            for strategy in paper.strategy:
                rows.append(row(market, strategy, paths=paper.paths, seed=paper.seed, workers=workers))
                advance(1)
    for line in text(rows):
        console.say(line)
    console.answer({"rows": [one.to_json() for one in rows]})
