"""``mm record``: one symbol's depth and trades, from the exchange into day folders, until the window closes.

``SYMBOL=ETHUSDT python -m mm.market_data.recorder`` is the same command.
"""

import asyncio
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING

from mm.cli import command
from mm.clock import now_us, run_stamp
from mm.config import Name, Recorder, Source
from mm.console import Console
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.market_data.recording import Parts, Recording

_FIRST_DELAY_S = 0.25
_FIRST_REST_DELAY_S = 0.5
_LONGEST_REST_DELAY_S = 30.0


@command(Source, Recorder, Name)
def main(console: Console, source: Source, recorder: Recorder, name: Name) -> None:
    """Record one symbol until the window closes; SIGTERM and Ctrl-C end it in order."""
    _refuse_what_is_not_here(source, recorder)
    from mm.market_data.recording import Recording

    recording = Recording(_parts(source, recorder, name), console.log)
    try:
        asyncio.run(_run(recording))
    finally:
        for report in recording.reports:
            console.say(report.line())
            console.say(report.path)
        days = [report.to_json() for report in recording.reports]
        console.answer({"symbol": source.symbol, "days": days, "path": days[-1]["path"] if days else None})


async def _run(recording: "Recording") -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, recording.stop, number.name)
    await recording.run()


def _refuse_what_is_not_here(source: Source, recorder: Recorder) -> None:
    """Raise UsageError where a knob asks for what this version does not have, or for a futures market."""
    if recorder.ws_pair:
        raise UsageError("--ws-pair (WS_PAIR) was '1': this version records over one connection; leave it at 0")
    if recorder.metrics_port:
        raise UsageError(
            f"--metrics-port (METRICS_PORT) was '{recorder.metrics_port}': this version has no metrics page; "
            f"leave it at 0"
        )
    from mm.market_data.grid import Grid
    from mm.market_data.messages import Futures, Messages

    for label, url in (("--ws-url (WS_URL)", recorder.ws_url), ("--rest-url (REST_URL)", recorder.rest_url)):
        try:
            Messages(source.symbol, Grid()).connected(url)
        except Futures as error:
            raise UsageError(f"{label} was {url!r}: {error} serves futures; only Binance Spot is recorded") from error


def _parts(source: Source, recorder: Recorder, name: Name) -> "Parts":
    from mm.market_data.backoff import Backoff
    from mm.market_data.days import Days
    from mm.market_data.recording import Parts
    from mm.market_data.silence import DepthSilence
    from mm.market_data.snapshot import RestClient, Snapshots
    from mm.market_data.window import WindowRule
    from mm.market_data.ws_stream import WsStream, stream_url

    trade_stream = recorder.trade_stream or "trade"
    rest = RestClient(recorder.rest_url)
    pause = Backoff(_FIRST_REST_DELAY_S, _LONGEST_REST_DELAY_S)
    return Parts(
        days=Days(
            data_root=source.data_root,
            symbol=source.symbol,
            run_id=name.run_id or run_stamp(now_us()),
            own_id=name.run_id is not None,
            top_n=recorder.top_n,
            trade_stream=trade_stream,
            flush_interval_s=recorder.flush_interval_s,
            write_diffs=recorder.write_diffs,
            write_gaps=recorder.write_gaps,
            min_free_mb=recorder.min_free_mb,
            knobs={"symbol": source.symbol, **asdict(recorder)},
        ),
        window=WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz),
        rest=rest,
        snapshots=Snapshots(rest, source.symbol, recorder.snapshot_limit, pause),
        stream=WsStream(
            stream_url(recorder.ws_url, source.symbol, trade_stream),
            Backoff(_FIRST_DELAY_S, recorder.backoff_max_s),
            recorder.ws_max_age_s,
        ),
        silence=DepthSilence(recorder.depth_silence_s),
        info_backoff=Backoff(_FIRST_REST_DELAY_S, _LONGEST_REST_DELAY_S),
        start_jitter_s=recorder.start_jitter_s,
    )


if __name__ == "__main__":
    main()
