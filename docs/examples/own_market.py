"""A market of one's own in one file: what it is, how its messages are read, and a recorded day of it, played."""

import json
import random
from collections import Counter
from pathlib import Path

import mm
from mm.market_data.capture_import import captures_of, import_captures
from mm.markets.grid import Grid
from mm.markets.market import Market
from mm.markets.messages import Connected, DepthSnapshot, DepthUpdate, Message, Other, Partial, TradePrint
from mm.markets.registry import MARKETS
from mm.markets.sequence import FROM_STREAM

# 1. What it is. Snapshots come in the stream, and each message of the book counts one id.
ACME = MARKETS.add(Market(name="acme", venue="acme-spot", title="Acme", rule=FROM_STREAM, feed_at=f"{__name__}:FEED"))


# 2. How its messages are read: in comes a text, out come the messages that every market has.
class AcmeDecoder:
    """Decode the messages of one symbol."""

    def __init__(self, symbol: str, grid: Grid) -> None:
        self.symbols: Counter[str] = Counter()
        self.partial = Partial()
        self._symbol, self._grid = symbol, grid

    def received(self, body: bytes | str) -> Message:
        """Return a book, its change or a trade; anything else is another message."""
        message = json.loads(body)
        self.symbols[message["symbol"]] += 1
        if message["symbol"] != self._symbol:
            return Other()
        if message["type"] == "trade":
            self._grid.check_one(message["price"], message["qty"])
            prices = message["price"], message["qty"]
            return TradePrint(message["ms"], self._symbol, message["id"], *prices, message["ms"], message["sold"])
        self._grid.check([*message["bids"], *message["asks"]])
        if message["type"] == "book":
            return DepthSnapshot(message["id"], message["bids"], message["asks"], message["ms"], self._symbol)
        return DepthUpdate(message["ms"], self._symbol, message["id"], message["id"], message["bids"], message["asks"])

    def answer(self, url: str, body: bytes | str) -> Message:
        """Return nothing: no request is asked of it."""
        return Other()

    def connected(self, url: str) -> Connected:
        """Return what a capture says of a new connection."""
        return Connected(url)


class AcmeFeed:
    """What an import asks of a market; a recorder asks for addresses, requests and limits, too (`Feed`)."""

    market = ACME

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> AcmeDecoder:
        """Return the decoder of a symbol."""
        return AcmeDecoder(symbol, grid)


FEED = AcmeFeed()


# 3. A capture: a line is the time of receipt in µs and the message.
def capture(path: Path, seconds: int = 120, begin_us: int = 1_767_600_000_000_000) -> None:
    """Write a made-up market: a book of three levels that follows a walk, and a trade each second."""
    draw, mid, lines = random.Random(7), 10_000, []
    for tenth in range(10 * seconds):
        us, before = begin_us + 100_000 * tenth, mid
        mid += draw.choice((-1, 0, 0, 0, 1))
        sides = {"bids": (-1, -2, -3), "asks": (1, 2, 3)}
        book = {name: {mid + at: "2" for at in ticks} for name, ticks in sides.items()}
        gone = {name: {before + at: "0" for at in ticks} for name, ticks in sides.items()} if tenth else {}
        levels = {name: {**gone.get(name, {}), **book[name]} for name in book}
        texts = {name: [[f"{ticks / 100:.2f}", qty] for ticks, qty in side.items()] for name, side in levels.items()}
        kind = "change" if tenth else "book"
        lines.append((us, {"type": kind, "symbol": "ACMEUSD", "ms": us // 1000, "id": 41 + tenth, **texts}))
        if tenth % 10 == 5:
            sold = draw.random() < 0.5
            price = f"{(mid - 1 if sold else mid + 1) / 100:.2f}"
            trade = {"type": "trade", "id": tenth // 10, "price": price, "qty": "1", "sold": sold}
            lines.append((us + 20_000, {"symbol": "ACMEUSD", "ms": us // 1000, **trade}))
    path.write_text("".join(f"{us} {json.dumps(message)}\n" for us, message in lines))


if __name__ == "__main__":
    capture(Path("acme.txt"))
    report = import_captures([Path("acme.txt")], "ACMEUSD", Path("data"), run_id="acme", form=captures_of(ACME))
    (day,) = report.days
    tape = mm.load_day(day.path)
    print(tape.meta.market.title, f"{day.lines} messages, {day.trades} of them trades")
    print(
        mm.backtest(
            tape,
            "fixed_spread",
            maker_fee_rate=0,
            initial_inventory=10,
            initial_cash=10_000,
            quote_params_json='{"delta_ticks": 1}',
        )
    )
