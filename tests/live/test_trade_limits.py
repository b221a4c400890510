"""Effects of limits in a trade, from the exchange's own order log: SIZE_RAMP, WIDEN_BANDS and MAX_MOVE.

One market, two days of a trader's clock: a first day without a breach, and a second with breaches and a restart.
"""

import json
import time
from decimal import Decimal
from itertools import chain, pairwise

import pytest
from trading_box import STILL, ended, venue
from trading_truth import assert_equal_books

from serving import signed
from set_clock import WallClock

DAY_US, SECOND_US = 86_400_000_000, 1_000_000
DELTA_TICKS, FACTOR = 10, 3
CLIP = Decimal("0.8")
NEAR, FAR = Decimal("100.20"), Decimal(103)  # bob's asks; without the near one the mid is 1.4 % higher
KNOBS = {
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": f'{{"delta_ticks": {DELTA_TICKS}}}',
    "QUOTE_QTY": str(CLIP),
    "SIZE_RAMP": "[0.25, 0.5]",
    "MAX_POSITION": "1",
    "WIDEN_BANDS": f"[[0.3, {FACTOR}]]",
    "MAX_MOVE": "0.01",
}


def placed(requests):
    """Return the requests that place an order."""
    return [one for one in requests if one["method"] != "order.cancel"]


def spread(box):
    """Return the ticks from the trader's open bid to its open ask; None unless each side has one order."""
    found = sorted((one["side"], Decimal(one["price"])) for one in box.account()["openOrders"])
    if [side for side, _ in found] != ["BUY", "SELL"]:
        return None
    return int(100 * (found[1][1] - found[0][1]))


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Yield the exchange, the requests of three starts, and until when the second one's market was calm, µs.

    Only bob trades with it: one bid fills, and the mid jumps once.
    """
    folder = tmp_path_factory.mktemp("limits")
    with venue(folder, "--scenario", "empty") as box:
        for side, price in (("BUY", "99.80"), ("SELL", NEAR), ("SELL", FAR)):
            box.place_resting(side, price)
        starts, calm_us = [], 0
        for off_us, act in ((-DAY_US, None), (0, _breach), (0, None)):
            before = len(box.account()["requests"])
            with box.trader(entry=WallClock(folder, off_us).entry("trade"), **STILL, **KNOBS) as process:
                box.until_with_updates(lambda: box.account()["openOrders"], "a quote", process)
                if act:
                    calm_us = act(box, process)
                code, output, _ = ended(process)
                assert code == 0, output
            starts.append(box.account()["requests"][before:])
        yield box, starts, calm_us


def _breach(box, process):
    """Let bob fill a bid, and make the mid jump; return the instant before the jump, when quotes are back."""
    box.until_with_updates(lambda: spread(box) == 2 * DELTA_TICKS, "both quotes", process)
    box.order("SELL", CLIP / 2)
    box.until_with_updates(lambda: spread(box) == 2 * DELTA_TICKS * FACTOR, "wide quotes", process)
    calm_us = box.account()["now_us"]

    def jumped():
        """Let `NEAR` expire by a matching order of bob's, or place it again; the trader's ask is below `FAR`."""
        if near:
            take = {"side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "price": FAR - 1, "quantity": CLIP}
            signed(box.ready, "bob", "POST", "order", symbol=box.ready["symbol"], **take)
            near.clear()
        else:
            near.append(box.place_resting("SELL", NEAR))
        time.sleep(0.3)
        return _move_breaches(box)

    near = [NEAR]
    box.until(jumped, "a jump of the mid within 1 s", process=process)
    box.until_with_updates(lambda: not box.account()["openOrders"], "that quotes are pulled", process)
    box.until_with_updates(lambda: box.account()["openOrders"], "quotes again", process)
    return calm_us


def _move_breaches(box):
    return [row for row in box.rows("breach") if row["limit"] == "MAX_MOVE"]


def _ids(rows):
    """Return the client ids of the orders that intents place."""
    return {row["client_id"] for row in rows if row["action"] != "cancel"}


@pytest.fixture(scope="module")
def parts(days):
    """Return the intents of the second start: before the band, in the calm market, up to the jump, later."""
    rows = [json.loads(line) for line in days[0].logs()[1].read_text().splitlines()]
    intents = [row for row in rows if row["type"] == "intent"]
    band_us, move_us = (
        next(row["at_us"] for row in rows if row.get("limit") == limit) for limit in ("WIDEN_BANDS", "MAX_MOVE")
    )
    bounds = pairwise((0, band_us, days[2], move_us, rows[-1]["us"]))
    return [[row for row in intents if from_us <= row["us"] < to_us] for from_us, to_us in bounds]


@pytest.mark.slow
def test_sizes_follow_ramp_and_breach_resets_next_start(days):
    """The second start is on the second day without a breach; the third follows a breach of the same day."""
    _, starts, _ = days
    sizes = [{Decimal(one["params"]["quantity"]) for one in placed(requests)} for requests in starts]
    assert sizes == [{CLIP / 4}, {CLIP / 2}, {CLIP / 4}]


@pytest.mark.slow
def test_quotes_widen_on_both_sides_at_position_share(parts):
    """`days` waits for both quotes at either width; the mid moves by up to 5 ticks while our own quotes make it."""
    early, late = ([abs(Decimal(row["price"]) - 100) * 100 for row in part if _ids([row])] for part in parts[:2])
    assert max(early) <= DELTA_TICKS + 5
    assert min(late) >= DELTA_TICKS * FACTOR - 5


@pytest.mark.slow
def test_mid_jump_stops_quotes_for_ten_seconds_without_breach(days, parts):
    """All are cancelled, none is placed before, and then quotes return; `days` waits for both."""
    again = next(row for row in parts[3] if row["action"] != "cancel")
    assert again["us"] - _move_breaches(days[0])[0]["at_us"] >= 10 * SECOND_US
    orders = [one["params"]["newClientOrderId"] for one in placed(days[1][1])]
    assert set(orders[: orders.index(again["client_id"])]) <= _ids(chain(*parts[:3]))


@pytest.mark.slow
def test_books_match_exchange(days):
    assert_equal_books(days[0])
