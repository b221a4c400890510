"""What a limit does in a trade, read from the exchange's own order log: SIZE_RAMP, WIDEN_BANDS and MAX_MOVE.

One market, two days of a trader's clock: a first day without a breach, and a second with breaches and a restart.
"""

import json
import time
from decimal import Decimal
from itertools import pairwise

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

from set_clock import WallClock

DAY_US, SECOND_US = 86_400_000_000, 1_000_000
DELTA_TICKS, FACTOR = 10, 3
CLIP = Decimal("0.8")
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


def widths(requests):
    """Return the ticks from bid to ask of the quotes that were sent together."""
    orders = placed(requests)
    together = [(a["params"], b["params"]) for a, b in pairwise(orders) if b["us"] - a["us"] < SECOND_US // 20]
    found = [(Decimal(b["price"]) - Decimal(a["price"])) * 100 for a, b in together if a["side"] != b["side"]]
    return {abs(int(ticks)) for ticks in found}


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Yield the exchange, the requests of three starts, and how many of the second came before the market jumped."""
    folder = tmp_path_factory.mktemp("limits")
    with venue(folder) as box:
        starts, calm = [], 0
        for off_us, act in ((-DAY_US, None), (0, _breach), (0, None)):
            before = len(box.account()["requests"])
            with box.trader(entry=WallClock(folder, off_us).entry("trade"), **KNOBS) as process:
                # a start whose position is at its bound has but one
                box.until(lambda: box.account()["openOrders"], "a quote", process=process)
                if act:
                    calm = act(box, process) - before
                code, output, _ = ended(process)
                assert code == 0, output
            starts.append(box.account()["requests"][before:])
        yield box, starts, calm


def _breach(box, process):
    """Let the market fill a bid, and then jump; return how many requests came before the jump, when quotes are back."""
    box.order("SELL", "40")
    box.until(lambda: box.rows("breach"), "a band", process=process)
    before = len(box.account()["requests"])
    box.until(lambda: widths(box.account()["requests"][before:]), "wide quotes", process=process)
    calm = len(box.account()["requests"])
    for _ in range(400):
        if _moved(box):
            break
        box.order("BUY", "40")
        time.sleep(0.1)  # the exchange's limit of requests is the other user's as well
    box.until(lambda: not box.account()["openOrders"], "that quotes are pulled", process=process)
    box.until(lambda: box.account()["openOrders"], "quotes again", 40, process=process)
    return calm


def _moved(box):
    return [row for row in box.rows() if row["type"] == "breach" and row["limit"] == "MAX_MOVE"]


def _ids(rows):
    """Return the names of the orders that intents mean to place."""
    return {row["client_id"] for row in rows if row["action"] != "cancel"}


def _named(requests, ids):
    """Return the requests that place one of these orders, as the exchange got them."""
    return [one for one in placed(requests) if one["params"]["newClientOrderId"] in ids]


@pytest.fixture(scope="module")
def parts(days):
    """Return the intents of the second start: before the band, up to the jump of the mid, and later."""
    rows = [json.loads(line) for line in days[0].logs()[1].read_text().splitlines()]
    intents = [row for row in rows if row["type"] == "intent"]
    band_us, move_us = (
        next(row["at_us"] for row in rows if row.get("limit") == limit) for limit in ("WIDEN_BANDS", "MAX_MOVE")
    )
    bounds = pairwise((0, band_us, move_us, rows[-1]["us"]))
    return [[row for row in intents if from_us <= row["us"] < to_us] for from_us, to_us in bounds]


def test_the_sizes_follow_the_ramp_and_a_breach_sets_them_back_at_the_next_start(days):
    """The second start is the second day without a breach; the third follows on a breach of the same day."""
    _, starts, _ = days
    sizes = [{Decimal(one["params"]["quantity"]) for one in placed(requests)} for requests in starts]
    assert sizes == [{CLIP / 4}, {CLIP / 2}, {CLIP / 4}]


def test_quotes_widen_at_the_share_of_the_position_and_are_not_withheld(days, parts):
    """From bid to ask it is twice the distance, and a tick more where the mid lies between two ticks.

    Until the jump: while the mid moves, a bid and an ask that leave together may be of two decisions.
    """
    _, starts, calm = days
    early, late = (_named(starts[1][:calm], _ids(part)) for part in parts[:2])
    narrow, wide = (2 * DELTA_TICKS * factor for factor in (1, FACTOR))
    assert widths(early) <= {narrow, narrow + 1}
    assert widths(late)
    assert widths(late) <= {wide, wide + 1}


def test_a_jump_of_the_mid_pulls_the_quotes_for_ten_healthy_seconds(days, parts):
    """All are cancelled, nothing is placed before, and then quotes stand again; `days` waits for both."""
    again = next(row for row in parts[2] if row["action"] != "cancel")
    assert again["us"] - _moved(days[0])[0]["at_us"] >= 10 * SECOND_US
    orders = [one["params"]["newClientOrderId"] for one in placed(days[1][1])]
    assert set(orders[: orders.index(again["client_id"])]) <= _ids([*parts[0], *parts[1]])


def test_the_books_are_equal(days):
    assert_equal_books(days[0])
