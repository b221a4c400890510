"""A run whose single orders are examined."""

import pytest

import mm


@pytest.fixture(scope="module", params=[("fixed_spread", {}), ("inventory_skew", {"skew_ticks": 1.0})])
def journal(tmp_path_factory, request):
    """Return a run on ten minutes of a simulated market with a queue model, with and without inventory skew."""
    from simulation import simulate_day

    folder = simulate_day(tmp_path_factory.mktemp("states"), hours=1 / 6, seed=3, A_per_s=1.2, k_per_tick=0.4)
    terms = {"initial_cash": 10**8, "initial_inventory": 10**5, "sensitivity": False, "feed_latency": "none"}
    model, quotes = request.param[0], {"delta_ticks": 1.5, **request.param[1]}
    return mm.backtest(mm.load_day(folder.path), model, "queue_risk_averse", quote_params_json=quotes, **terms)
