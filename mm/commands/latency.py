"""``mm latency``."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm.base.common_knobs import symbol_knob
from mm.base.knobs import REQUIRED, SWITCH, base_url, integer, knob, number, one_of
from mm.cli.frame import command
from mm.clock import US_PER_MS
from mm.live.knobs import BOX, PRODUCTION, TESTNET, VenueUrls
from mm.live.venues.addresses import addresses
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.live.venues.measured_latency import Quantiles, VenueLatency


@dataclass(frozen=True, kw_only=True)
class Probing:
    """The venue that is measured, and how often."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION), "The venue that is measured.", common="The venue")
    symbol: str = symbol_knob()
    ws_url: str | None = knob(None, base_url("ws", "wss"), "Base URL of the streams; default: the venue's.")
    rest_url: str | None = knob(None, base_url("http", "https"), "Base URL of REST; default: the venue's.")
    remote_box: bool = knob(False, SWITCH, "1 allows --venue box on another machine.")
    latency_samples: int = knob(50, integer(1, 1000), "Requests, and messages of each stream.", flag="--samples")
    latency_stream_s: float = knob(30.0, number(0.1, 3600), "Longest time for the streams, in s.", flag="--seconds")
    latency_timeout_s: float = knob(
        10.0, number(0.1, 60), "Time after which a request counts as unanswered, in s.", flag="--timeout"
    )

    def urls(self) -> VenueUrls:
        # No order is sent, so the address for orders is only a stand-in.
        streams = self.ws_url or ""
        return addresses(self.venue, self.ws_url, self.rest_url, streams, remote_box=self.remote_box)


_MOST_DRIFT_US = 5_000
_NAMES = {
    "connect": "TCP connection",
    "tls": "TLS handshake",
    "first_byte_new": "first byte, new connection",
    "first_byte": "first byte, kept connection",
    "depth": "depth message, from its stamp",
    "trade": "trade message, from its stamp",
}


@command()
def latency(console: Console, probing: Probing) -> None:
    """Measure connection, first byte, clock offset and the delay of market messages; no order is sent, no key needed.

    It prints the settings that a backtest or a shadow would use at this place.

    Example: SYMBOL=BTCUSDT mm latency --venue production --samples 100
    """
    from mm.live.venues.measured_latency import VenueProbe

    urls = probing.urls()
    probe = VenueProbe(urls, probing.symbol, probing.latency_timeout_s)
    measured = asyncio.run(probe.measure(probing.latency_samples, probing.latency_stream_s))
    tables, best = measured.tables(), measured.best
    settings = _settings(measured)
    console.set_json(
        {
            "venue": probing.venue,
            "symbol": probing.symbol,
            "rest_url": urls.rest,
            "ws_url": urls.streams,
            **{f"{name}_ms": quantiles.to_json() if quantiles else None for name, quantiles in tables.items()},
            "ws_open_ms": None if measured.ws_open_us is None else measured.ws_open_us / US_PER_MS,
            "clock_offset_ms": best.offset_us / US_PER_MS,
            "clock_error_ms": best.took_us / 2 / US_PER_MS,
            "clock_drift_ms": measured.drift_us() / US_PER_MS,
            "settings": settings,
            "orders_sent": 0,
        }
    )
    console.print(f"{probing.symbol} at {urls.rest} and {urls.streams}; no order was sent")
    console.print(f"{'ms':<32}{'n':>6}{'p50':>10}{'p90':>10}{'p99':>10}")
    for name, quantiles in tables.items():
        console.print(_row(_NAMES[name], quantiles))
    if measured.ws_open_us is not None:
        console.print(f"{'WebSocket opened in':<32}{1:>6}{measured.ws_open_us / US_PER_MS:>10.2f}")
    console.print(
        f"our clock minus the exchange's: {best.offset_us / US_PER_MS:+.2f} ms, ± {best.took_us / 2 / US_PER_MS:.2f}"
    )
    if abs(measured.drift_us()) > _MOST_DRIFT_US:
        console.print(
            f"it moved by {measured.drift_us() / US_PER_MS:+.2f} ms meanwhile: the message delays are not exact"
        )
    for line in _setting_lines(measured, settings):
        console.print(line)


def _row(name: str, quantiles: "Quantiles | None") -> str:
    if quantiles is None:
        return f"{name:<32}{0:>6}{'–':>10}{'–':>10}{'–':>10}"
    values = (quantiles.p50_us, quantiles.p90_us, quantiles.p99_us)
    return f"{name:<32}{quantiles.n:>6}" + "".join(f"{us / US_PER_MS:>10.2f}" for us in values)


def _settings(measured: "VenueLatency") -> dict[str, dict[str, str]]:
    one_way_us, feed_us = measured.one_way_us(), measured.feed_us()
    by_feed = {"none": None if feed_us is None else one_way_us + feed_us, "recorded": one_way_us}
    return {
        feed: {"FEED_LATENCY": feed, "ORDER_LATENCY_MS": text, "CANCEL_LATENCY_MS": text}
        for feed, us in by_feed.items()
        if us is not None
        for text in [f"{us / US_PER_MS:.2f}"]
    }


def _setting_lines(measured: "VenueLatency", settings: dict[str, dict[str, str]]) -> list[str]:
    one_way, feed_us = f"one way {measured.one_way_us() / US_PER_MS:.2f} ms", measured.feed_us()
    why = {
        "none": f"shadow, backtest: {one_way} + book {(feed_us or 0) / US_PER_MS:.2f} ms",
        "recorded": f"backtest: {one_way}; the book's delay is the recording's",
    }
    lines = [
        f"export {' '.join(f'{name}={text}' for name, text in knobs_of_feed.items())}  # {why[feed]}"
        for feed, knobs_of_feed in settings.items()
    ]
    note = "The matching engine's own time is not in it: compare with mm_order_ack_seconds of a trade."
    return [*lines, note] if feed_us is not None else [*lines, "no depth message arrived: try --seconds", note]
