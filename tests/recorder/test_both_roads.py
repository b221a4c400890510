"""Recorders with and without the compiled kernel write the same bytes for arbitrary messages and faults."""

import json
import re
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from fed_by_hand import DAY, FAULTS, STEPS, Played, simulated_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_exchange import SYMBOL

from hand_fed import answer
from mm.markets import local_orderbook

TWINS = 120
ODD = {
    "places": lambda text: text.rstrip("0"),
    "many_places": lambda text: text + "0",
    "zeros": lambda text: "0" + text,
    "off_tick": lambda text: text[:-1] + "5",
    "large": lambda text: "9" * 10 + text,
    "largest": lambda _: "92233720368.54775807",
    "beyond": lambda _: "92233720368.54775808",
    "huge": lambda _: "9" * 40,
    "minus": lambda text: "-" + text,
    "none": lambda _: "0.00000000",
    "digits": lambda text: text.replace("0", "٠"),
    "exponent": lambda _: "1e5",
}
"""Texts of prices and quantities that differ from those of the exchange."""
FORMS = ("blanks", "extra", "futures", "order")
_TEXT = re.compile(r'"\d+\.\d{8}"')
_INFO_URL = f"http://x/api/v3/exchangeInfo?symbol={SYMBOL}"
_FILTERS = [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}, {"filterType": "LOT_SIZE", "stepSize": "1.00000000"}]
_INFO = {"symbols": [{"symbol": SYMBOL, "status": "TRADING", "filters": _FILTERS}]}

schedules = st.lists(
    st.tuples(st.integers(0, STEPS - 1), st.sampled_from([*FAULTS, *ODD, *FORMS]), st.integers(1, 9)), max_size=10
)


class Oddly(Played):
    """A recorder that receives texts and messages in unusual forms."""

    def start(self):
        super().start()
        self.session.learn(answer(self.now_us, _INFO_URL, json.dumps(_INFO).encode()))

    def inject(self, kind, amount, messages):
        if kind in FORMS:
            return [_formed(kind, messages[0]), *messages[1:]]
        if kind not in ODD:
            return super().inject(kind, amount, messages)
        numbers = count()
        raw = _TEXT.sub(
            lambda found: f'"{ODD[kind](found[0][1:-1])}"' if next(numbers) % 5 == amount % 5 else found[0],
            messages[amount % len(messages)].decode(errors="surrogateescape"),
        )
        messages[amount % len(messages)] = raw.encode(errors="surrogateescape")
        return messages


def _formed(kind, raw):
    """Return a depth message in another form, if it is still valid JSON."""
    try:
        message = json.loads(raw)
    except ValueError:
        return raw
    data = message["data"]
    if kind == "extra":
        data["x"] = [[]]
    elif kind == "futures":
        data["pu"] = 1
    elif kind == "order":
        message["data"] = dict(reversed(data.items()))
    return json.dumps(message, separators=None if kind == "blanks" else (",", ":")).encode()


def recorded(seed, schedule, levels):
    """Record a day with *levels* as kernel (or None); return the bytes of all its files and its report."""
    played: list[Played] = []
    with TemporaryDirectory() as root, simulated_disk(played), mock.patch.object(local_orderbook, "kernel", levels):
        played.append(Oddly(Path(root), seed))
        for number in range(STEPS):
            played[0].step(number, [(kind, amount) for at, kind, amount in schedule if at == number])
        played[0].end()
        folder = played[0].folder.path
        assert folder.name == DAY
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return files, played[0].session.report.to_json() | {"path": ""}


@pytest.mark.slow
@settings(
    max_examples=TWINS, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(st.integers(0, 9), schedules)
def test_days_with_and_without_the_kernel_have_the_same_bytes(seed, schedule):
    """The kernel handles usual messages and leaves the rest to plain Python; the files do not differ."""
    assert recorded(seed, schedule, local_orderbook.kernel) == recorded(seed, schedule, None)


@pytest.mark.parametrize("kind", [*ODD, *FORMS, *FAULTS])
def test_each_odd_input_leaves_the_same_bytes(kind):
    """Every kind is tested, early and late in the day."""
    schedule = [(number, kind, 1 + number % 9) for number in range(3, STEPS, 4)]
    assert recorded(1, schedule, local_orderbook.kernel) == recorded(1, schedule, None)


def test_kernel_is_used():
    """Otherwise the comparisons above would be trivial."""
    kernel = local_orderbook.kernel
    reads = mock.Mock(wraps=kernel.read_levels)
    fake = mock.Mock(wraps=kernel, read_levels=reads, Side=kernel.Side, cells=kernel.cells)
    recorded(1, [], fake)
    assert reads.call_count > STEPS
