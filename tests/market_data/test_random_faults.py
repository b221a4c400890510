"""Scripts that nobody has thought of: several faults at once, over one connection or a pair, and the day is true."""

from random import Random

import pytest

from boxed import quicken, recorded

ON_MESSAGES = [
    "drop n={n}",
    "drop n={n} of=trade",
    "duplicate n={n}",
    "stale n={n}",
    "overlap n={n}",
    "burst n=20 for_s=1",
    "lag delay_s=0.3 for_s=1",
    "stall for_s=1",
    "stall of=depth for_s=1",
    "bad_json n={n}",
    "missing_field",
    "unknown_event",
    "huge",
]
ON_CONNECTIONS = [
    "close code=1000",
    "close code=1006",
    "close code=1011",
    "reset",
    "mute for_s=2",
    "half_open",
    "shutdown lead_s=0.5",
]
ON_HANDSHAKES = ["storm n=2 code=1006", "refuse_handshake n=2 status=503", "phase ms=40", "refuse_connect n=1"]
ON_SNAPSHOTS = [
    "status code=503 n=2",
    "snapshot where=old back=3 n=2",
    "snapshot where=newer",
    "slow delay_s=0.2",
    "broken_body",
    "cut_body",
    "empty_sides",
]


def rule(luck):
    """Return one line of a script."""
    kind = luck.random()
    if kind < 0.75:
        fault = luck.choice(ON_MESSAGES + ON_CONNECTIONS).format(n=luck.randint(1, 4))
        return f"at time {luck.uniform(2, 6):.2f} on {luck.choice(['newest', 'all', 'random'])} do {fault}"
    if kind < 0.87:
        return f"at connect {luck.randint(1, 3)} do {luck.choice(ON_HANDSHAKES)}"
    return f"at request {luck.randint(1, 2)} of /api/v3/depth do {luck.choice(ON_SNAPSHOTS)}"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_the_day_is_true(seed, monkeypatch):
    """And in the end the book is right again, and no trade is missing."""
    quicken(monkeypatch)
    luck = Random(seed)
    script = "\n".join(rule(luck) for _ in range(luck.randint(1, 5)))
    pair, max_age_s = luck.random() < 0.6, luck.choice([3600.0, 3600.0, 0.5])

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(7)
        await boxed.synced()
        await boxed.until(lambda: boxed.session.market.arbiter._trades.last_id == boxed.box.truth.last_trade_id)
        await boxed.caught_up()

    day = recorded(scenario, script, pair=pair, silence_s=0.25, max_age_s=max_age_s)
    assert day.missing_trades == set(), script
