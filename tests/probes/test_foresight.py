"""What a model knows of the next moves on its own day alone."""

import numpy as np
import pytest

from mm.probes.foresight import Acts

SECONDS, DAYS = 1_800, 200


def day(random, seconds=SECONDS):
    """A price in ticks that moves in one second of six, and trades of either side."""
    steps = random.choice((-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), seconds)
    return {"price": np.cumsum(steps).astype(float), "trades": np.cumsum(random.normal(size=seconds))}


def upside_down(market):
    return {name: -level for name, level in market.items()}


def ahead(market, seconds=3):
    price = market["price"]
    return np.sign(np.append(price[seconds:], [price[-1]] * seconds) - price)


def back(market, seconds=5):
    price = market["price"]
    return price - np.append([price[0]] * seconds, price[:-seconds])


def test_a_table_of_the_day_is_known_by_another_day():
    """It promises the same where everything is the contrary."""
    market = day(np.random.default_rng(1))
    own, other = (Acts(each, {"quotes": ahead(market)}) for each in (market, upside_down(market)))
    found = own.surplus(other, ("quotes",))
    assert found.knows
    assert found.own > 0.3 > -0.3 > found.other


def test_what_is_concluded_from_the_market_is_known_on_both_days():
    market = day(np.random.default_rng(1))
    own, other = (Acts(each, {"quotes": back(each)}) for each in (market, upside_down(market)))
    assert own.surplus(other, ("quotes",)).t == pytest.approx(0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "one side", "clock"])
def test_honest_models_are_rarely_suspected(kind):
    """Also those that do not turn with the market: random, of one side, or by the clock; here in 1 % at most."""
    random, suspected = np.random.default_rng(7), 0
    for _ in range(DAYS):
        market = day(random)
        acts = []
        for each in (market, upside_down(market)):
            series = {
                "random": np.repeat(random.normal(size=SECONDS // 20), 20),
                "one side": (back(each, 60) < 0).astype(float),
                "clock": np.sin(np.arange(SECONDS) / 40 + random.uniform(0, 6)),
            }[kind]
            acts.append(Acts(each, {"quotes": series}))
        found = acts[0].surplus(acts[1], ("quotes",))
        suspected += found.knows
    assert suspected <= 0.01 * DAYS


def test_too_short_a_day_tells_nothing():
    market = day(np.random.default_rng(1), 15)
    acts = Acts(market, {"quotes": ahead(market)})
    assert acts.surplus(acts, ("quotes",)) is None
