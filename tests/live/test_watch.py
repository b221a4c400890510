"""The terminal view: the content of one screen, and its redrawing."""

import asyncio
import os
from contextlib import suppress

import pytest
from test_live_metrics import START_US, Now, busy

from mm.instrument import e8
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.pages.watch import frame, view, watch
from mm.live.venues.positions import MarginSeen, PositionSeen

SCREEN = """\
SIMUSDT  2026-01-05T08:00:00.000000Z  quoting

book        20.0 ms old   gaps 2   depth 1,200  trade 30
quotes      buy 1.5 ticks   sell 2.0 ticks   two-sided 5.0 s
position    -0.01500000   equity 1,000.00000001
pnl         realized +1.5000   unrealized -0.2000   fees +0.0000   total +1.3000

orders      place 2   cancel 1   replace 0
fills       buy 1   sell 0
rejects     -2010 1
ack         p50 3.8 ms   p99 5.0 ms
ack to fill p50 1.8 s   p99 2.5 s

MAX_POSITION  ###.................  15.0%

state       7 rows wait   500.0 ms behind"""


DENSE = "\n".join(line for line in SCREEN.splitlines() if line)


def test_screen_shows_all_metrics() -> None:
    """One line for each group of numbers."""
    trader = busy()
    trader.killed, trader.why_not_ready = False, ""
    assert view(trader, START_US) == SCREEN


@pytest.mark.parametrize(
    ("killed", "why", "status"),
    [(True, "", "KILLED"), (False, "the book is syncing", "not quoting: the book is syncing")],
)
def test_first_line_shows_why_nothing_is_quoted(killed: bool, why: str, status: str) -> None:
    """A kill takes precedence over every other reason."""
    trader = busy()
    trader.killed, trader.why_not_ready = killed, why
    assert view(trader, START_US).splitlines()[0].endswith(status)


def test_screen_of_a_contract_shows_its_prices_and_margin() -> None:
    """What a person looks at when the market runs away: how far the liquidation is."""
    trader = busy()
    trader.contract = ContractMetrics()
    before = view(trader, START_US).splitlines()
    assert not any(line.startswith(("contract", "margin")) for line in before)
    trader.contract.paid_e8 = e8("-1.25")
    trader.contract.position = PositionSeen(e8("-2"), e8("100.5"), e8("101"), e8("-1"), e8("140.25"), e8("2"), 0, 1)
    trader.contract.margin = MarginSeen(e8("80"), e8("2"), e8("70"))
    shown = [line for line in view(trader, START_US).splitlines() if line.startswith(("funding", "contract", "margin"))]
    assert shown == [
        "funding     -1.25000000",
        "contract    entry 100.50000000   mark 101.00000000   liquidation 140.25000000",
        "margin      ratio 2.50%   maintenance 2.00000000   equity 80.00000000",
    ]


def test_screen_before_first_message_shows_dashes() -> None:
    """Unknown numbers are not shown as 0."""
    text = view(TradingMetrics("SIMUSDT", Now()), START_US)
    assert "book        – old   gaps 0" in text
    assert "quotes      buy –   sell –" in text
    assert "ack         p50 –   p99 –" in text
    assert "rejects     none" in text


def test_lines_are_cut_at_terminal_width() -> None:
    """A narrow terminal must not wrap, or the next drawing is misplaced."""
    text = view(busy(), START_US, os.terminal_size((30, 40)))
    assert max(map(len, text.splitlines())) == 30


@pytest.mark.parametrize(("height", "shown"), [(17, SCREEN), (16, DENSE), (13, DENSE), (6, DENSE)])
def test_low_terminal_shows_the_first_lines(height: int, shown: str) -> None:
    """Too high a screen would scroll its head away: empty lines are dropped first, and the last line stays free."""
    trader = busy()
    trader.killed, trader.why_not_ready = False, ""
    text = view(trader, START_US, os.terminal_size((80, height)))
    assert text.splitlines() == shown.splitlines()[: height - 1]


def test_quantiles_match_prometheus() -> None:
    """Interpolated within the bucket; beyond the last bound it is that bound."""
    trader = TradingMetrics("SIMUSDT", Now())
    for _ in range(4):
        trader.ack.observe(0.2)
    trader.ack.observe(99.0)
    assert trader.ack.quantile(0.5) == pytest.approx(0.1 + 0.15 * 2.5 / 4)
    assert trader.ack.quantile(0.99) == 10.0
    assert trader.ack_fill.quantile(0.5) is None


def test_screen_is_redrawn_until_cancelled() -> None:
    """Over the screen before, with the cursor hidden, and shown again at the end."""
    written: list[str] = []
    drawn: list[str] = []

    def draw() -> str:
        drawn.append(f"screen {len(drawn)}\nsecond line")
        return drawn[-1]

    async def scenario() -> None:
        task = asyncio.create_task(watch(draw, written.append, 0.001))
        while len(drawn) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert written[0] == "\x1b[2J\x1b[?25l"
    assert written[1] == "\x1b[Hscreen 0\x1b[K\r\nsecond line\x1b[K\r\n\x1b[J" == frame(drawn[0])
    assert written[-1] == frame(drawn[-1]) + "\x1b[?25h\n"
