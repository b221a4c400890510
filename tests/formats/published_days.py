"""The recorded USD-M market of shared data in the form in which Binance publishes such days."""

import gzip
import json

from support import SHARED

SYMBOL, DAY, DATE = "BTCUSDT", "20230405", "2023-04-05"
CAPTURES = sorted((SHARED / "data" / "binance-usdm-btcusdt-20230404-05").glob("*.gz"))


BEGIN_MS = 1_680_652_800_000
END_MS = BEGIN_MS + 90_000
"""The part of the day that is used."""
STAMPED = ("bookTicker", "trade", "depthUpdate")
"""Messages whose T is the time of the event; T of ``markPriceUpdate`` is the next funding."""


def recorded() -> tuple[list[str], list[str]]:
    """Return the rows of best prices and of trades up to `END_MS`, in the order of their ids."""
    book, trades = {}, {}
    for path in CAPTURES:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                data = json.loads(line.partition(" ")[2]).get("data", {})
                if data.get("e") in STAMPED and data["T"] >= END_MS:
                    break
                if data.get("e") == "bookTicker":
                    cells = (data[key] for key in ("u", "b", "B", "a", "A", "T", "E"))
                    book[data["u"]] = ",".join(map(str, cells))
                elif data.get("e") == "trade":
                    quote = f"{float(data['p']) * float(data['q']):.8f}"
                    cells = (data["t"], data["p"], data["q"], quote, data["T"], str(data["m"]).lower())
                    trades[data["t"]] = ",".join(map(str, cells))
    return [book[number] for number in sorted(book)], [trades[number] for number in sorted(trades)]
