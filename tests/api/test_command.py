"""``mm sim api`` at the command line: rejected calls, and the market that its knobs make."""

import pytest
from desks import market_of

from mm.api.command import LIMITS
from mm.sim.flow.scenario import SCENARIOS, ScenarioParameters
from support import run_python

NONE = dict.fromkeys(LIMITS)


def test_missing_extra_is_named(tmp_path):
    """One line, and exit code 2."""
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['mm', 'sim', 'api', '--port', '0']\n"
        "from mm.__main__ import main\nmain()"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[api]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("preset", [None, "equity", "future", "crypto"])
@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"gaps"}))
def test_every_scenario_trades_under_every_preset(scenario, preset):
    """On its grid, at an opening hour, with a book on both sides if there is a flow."""
    market = market_of(scenario=scenario, preset=preset)
    market.pace.advance_to(market.desk.us + 2_000_000)
    bid, ask = market.desk.best()
    assert market.desk.is_open
    assert (0 < bid < ask) or scenario == "empty"
    assert market.source == f"synthetic, {scenario}"


def test_flags_override_a_preset():
    """The given tick size, and the rest of the preset."""
    market = market_of(preset="future", flags=ScenarioParameters(tick_size="0.5"))
    assert (market.desk.grid.tick_e8, market.desk.preset.multiplier) == (50_000_000, 50)


def test_limits_match_the_knobs():
    """In the engine's units."""
    limits = market_of({"max_position": "1.5", "max_open_orders": 3, "price_band": "0.02"}).desk.limits
    assert (limits.max_position_e8, limits.max_open_orders, limits.price_band_e8) == (150_000_000, 3, 2_000_000)
    assert limits.max_daily_loss_e8 is None
