"""Import of raw captured streams into day folders."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from math import gcd
from pathlib import Path

import msgspec

import mm
from mm.base.atomic_file import write_atomic
from mm.base.held_file import hold_file
from mm.base.paths import dead_link, read_twice, shown_name, target_of
from mm.clock import DAY_ZONE, US_PER_MS, iso
from mm.dayfolder.day_grids import GridChange, instrument_json, with_history
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.ledger import FUNDING_DOUBT, GRID, NO_EXECUTION
from mm.dayfolder.manifest import sealed_contents, write_manifest
from mm.errors import BrokenFile, Mismatch, OffGrid, RunExists, TryLater, UsageError, parameter
from mm.instrument import Instrument, e8, from_exchange_info, short_text
from mm.market_data.capture_order import Arrived, in_order
from mm.market_data.captures import (
    ACCEPTED,
    BookLoss,
    Broken,
    Capture,
    CaptureLike,
    Remark,
    exchange_markets,
)
from mm.market_data.grid_stretches import ChangedStep
from mm.market_data.import_session import MARKET_MESSAGES, CaptureReport, ImportReport, ImportSession, MarketMessage
from mm.market_data.message_batch import MessageBatch
from mm.market_data.partial_books import PartialBooks
from mm.markets.feed import feed_of
from mm.markets.funding import FundingDoubt, FundingState
from mm.markets.grid import NO_MIN_NOTIONAL, Grid
from mm.markets.market import Market
from mm.markets.messages import (
    BookFrame,
    Connected,
    DepthSnapshot,
    DepthUpdate,
    ExchangeInfo,
    ForceOrder,
    Funding,
    Futures,
    MarkPrice,
    Other,
    Several,
    WrongMarket,
)
from mm.markets.registry import DEFAULT, MARKETS

PARTIAL = ".partial"


class Staging:
    def __init__(
        self,
        data_root: Path,
        symbol: str,
        run_id: str,
        top_n: int,
        *,
        write_diffs: bool = True,
        market: Market = DEFAULT,
    ) -> None:
        self._root = data_root
        self._symbol = symbol
        self._run_id = run_id
        self._make = partial(DayWriter, run_id=run_id, top_n=top_n, write_diffs=write_diffs, market=market)
        self.folders: list[DayFolder] = []
        self._writer: DayWriter | None = None
        self._held = ExitStack()
        home = data_root / symbol
        self._made = [path for path in (home, *home.parents) if not path.exists()]

    def open(self, day: str) -> DayWriter:
        place = DayFolder(self._root, self._symbol, day).path
        if dead := dead_link(place):
            raise UsageError("{data_root} {}: {}; create that folder, or remove the link", self._root, dead)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise RunExists("{} already contains a recorded day; move it, or import into another {data_root}", place)
        beside = target_of(place)
        beside = beside.with_name(beside.name + PARTIAL)
        folder = DayFolder(beside, self._symbol, day)
        try:
            self._own(beside)
            shutil.rmtree(folder.path, ignore_errors=True)  # of an import that was killed
        except OSError as error:
            raise UsageError("{data_root} {}: cannot be written ({})", self._root, error.strerror) from error
        self.folders.append(folder)
        self._writer = self._make(folder)
        return self._writer

    def _own(self, beside: Path) -> None:
        """Hold *beside* until it is published or discarded, or the process ends; raises TryLater."""
        beside.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._held.callback(os.close, descriptor)
        if not hold_file(descriptor):
            raise TryLater("{}: another import is writing it; wait for its end, or give another {data_root}", beside)
        if any(path.name != self._symbol for path in beside.iterdir()):
            raise RunExists("{} has files that no import wrote; move it, or import into another {data_root}", beside)

    def publish(self, instrument_json: str | None) -> list[Path]:
        if instrument_json is not None:
            for folder in self.folders:
                write_atomic(folder.instrument, instrument_json.encode(), durable=True)
                write_manifest(folder, (self._run_id,), *sealed_contents(folder))
        places = []
        for folder in self.folders:
            folder.lock.unlink(missing_ok=True)
            place = DayFolder(self._root, self._symbol, folder.day).path
            folder.path.rename(target_of(place))
            shutil.rmtree(folder.root)
            places.append(place)
        self._held.close()
        return places

    def discard(self) -> None:
        if self._writer:
            with suppress(OSError):
                self._writer.close()
        for folder in self.folders:
            shutil.rmtree(folder.root, ignore_errors=True)
        self._held.close()
        for path in self._made:
            with suppress(OSError):
                path.rmdir()


TOP_N = 20
Progress = Callable[[int], None]
"""Called with the number of bytes of all files that were read so far."""


def steps(advance: Callable[[int], None]) -> Progress:
    before = 0

    def report(done: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return report


@dataclass(frozen=True)
class CaptureForm:
    name: str
    zone: str
    opened: Callable[[Sequence[Path], str, Grid, Progress], Sequence[CaptureLike]]
    nothing: str
    market: Market = DEFAULT
    units: Mapping[str, str] = field(default_factory=dict)
    ids_skip: bool = False  # of trades
    one_book: bool = False  # which the next capture continues


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options of an import; None takes a decimal from exchangeInfo in the capture, else infers it (*min_notional*: 0).

    Attributes:
        trade_stream: ``trade`` or ``aggTrade``, if a capture has both; None takes the first.
    """

    tick_size: str | None = None
    qty_step: str | None = None
    min_notional: str | None = None
    top_n: int = TOP_N
    trade_stream: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("tick_size", 1), ("qty_step", 1), ("min_notional", 0)):
            text: str | None = getattr(self, name)
            if text is not None and _e8_or(text, -1) < least:
                wanted = f"a decimal of at least {short_text(least)}, such as 0.01"
                raise UsageError("{} {!r} is not {}", parameter(name), text, wanted)
        if self.trade_stream not in (None, "trade", "aggTrade"):
            raise UsageError("{trade_stream} {!r} is not trade or aggTrade", self.trade_stream)

    @property
    def tick_e8(self) -> int | None:
        return None if self.tick_size is None else e8(self.tick_size)


def import_captures(  # noqa: PLR0913 - a public function
    paths: Sequence[Path],
    symbol: str,
    data_root: Path,
    *,
    run_id: str,
    options: ImportOptions | None = None,
    progress: Progress = lambda _done: None,
    form: CaptureForm | None = None,
) -> ImportReport:
    """Write the day folders of *symbol* from *paths*, captures in the order of their recording.

    Args:
        form: Format of the files; None is raw captures, of the market that their frames suggest: Bybit's of linear
            contracts or Spot, Binance's of USD-M if a message is of USD-M, else of Spot.

    Raises:
        BrokenFile: If a capture is empty, has another format, is of other futures or two markets, or precedes the
            previous capture.
        Mismatch: If no capture has a message of *symbol*; the error lists the symbols.
        RunExists: If a day folder exists.
        TryLater: If another import is writing it.
    """
    if not paths:
        raise UsageError("no capture was given; give at least one file")
    if MARKETS.is_inverse(symbol.upper()):
        raise BrokenFile(
            "{}: {symbol} {} is an inverse contract (COIN-M): it pays in the coin, and the replay knows only price "
            "times quantity; import the contract in USDT",
            paths[0],
            symbol.upper(),
        )

    def whole(read_as: CaptureForm) -> ImportReport:
        work = _Import(symbol.upper(), options or ImportOptions(), read_as)
        captures = read_as.opened(files, work.symbol, work.grid, progress)
        with ExitStack() as undo:
            staging = Staging(Path(data_root), work.symbol, run_id, work.options.top_n, market=read_as.market)
            undo.callback(staging.discard)
            report = work.run(files, captures, staging, run_id)
            undo.pop_all()
        return report

    with read_twice(paths) as files:
        if (form or RAW) is not RAW:
            return whole(form or RAW)
        return _first_that_fits(exchange_markets(files[0]), whole)


def _first_that_fits(markets: Sequence[Market], whole: Callable[[CaptureForm], ImportReport]) -> ImportReport:
    """Import as the first of an exchange's *markets* that the messages do not contradict; without any, as Binance's."""
    of_binance = DEFAULT in markets or not markets
    first, *others = [DEFAULT, *(known for known in MARKETS.values() if not known.frames)] if of_binance else markets
    try:
        return whole(captures_of(first))
    except WrongMarket as error:
        if of_binance and not isinstance(error, Futures):
            raise
        for market in others:
            if market.contract or not of_binance:
                with suppress(WrongMarket):
                    return whole(captures_of(market))
        raise


class _Import:
    def __init__(self, symbol: str, options: ImportOptions, form: CaptureForm) -> None:
        self.symbol = symbol
        self.form = form
        self.options = options
        self.grid = Grid()
        self.grid.use(options.tick_e8 or 0, 0)  # a given step applies to our orders, not to recorded data
        self._grids: list[GridChange] = []
        self._exchange_entry: str | None = None
        self._connections = 0
        self._funding = FundingState()
        self._partial: PartialBooks | None = None  # where they are the book
        self._beside = 0  # messages of partial books beside changes
        self._doubts: dict[str, list[int]] = {}  # instants of payments, by the reason

    def run(
        self, paths: Sequence[Path], captures: Sequence[CaptureLike], staging: Staging, run_id: str
    ) -> ImportReport:
        report = ImportReport(self.symbol, run_id)
        given = {key: value for key, value in asdict(self.options).items() if value is not None}
        knobs = {
            "symbol": self.symbol,
            "captures": [shown_name(path) for path in paths],
            **given,
            **self.form.units,
            "form": self.form.name,
        }
        if self.form.market is not DEFAULT:
            knobs["market"] = self.form.market.name
        session = ImportSession(
            staging.open,
            self.grid,
            {"version": mm.__version__, "knobs": knobs},
            self.options.top_n,
            self.options.trade_stream,
            zone=self.form.zone,
            ids_skip=self.form.ids_skip,
        )
        report.read_as = self._find_partial(captures)
        self._read(captures, in_order(captures, overlap=not self.form.one_book), session, report)
        self._fund(session.last_us, self._funding.ended(session.last_us), session)
        session.finish()
        if not session.days:
            raise self._nothing(captures, report.captures)
        report.days = session.days
        report.compared, report.agreed = session.ticker_check.compared, session.ticker_check.agreed
        self._check_tick()
        self._conclude(report, session)
        self._write_orders(report, staging, captures)
        report.read_as += [how for capture in captures for how in capture.told]
        report.warnings += [warning for capture in captures for warning in capture.warnings]
        report.warnings += [*session.back_warnings(), *self._funding_warnings()]
        places = staging.publish(self._instrument_json(report))
        for day, place in zip(report.days, places, strict=True):
            day.path = str(place)
        return report

    def _read(
        self, captures: Sequence[CaptureLike], arrivals: Iterable[Arrived], session: ImportSession, report: ImportReport
    ) -> None:
        report.captures = [CaptureReport(shown_name(capture.lines.path)) for capture in captures]
        bare_snapshots = [""] * len(captures)
        for source, line, captured in arrivals:
            capture, read = captures[source], report.captures[source]
            if captured is None:
                if bare_snapshots[source]:
                    self._check_alone(capture, bare_snapshots[source], captures)
                self._end(capture, read, session)
                continue
            recv_us, message, _ = captured
            if isinstance(message, MARKET_MESSAGES):  # nearly all: the fewest questions first
                bare = isinstance(message, DepthSnapshot) and message.symbol is None and recv_us is not None
                if bare and not bare_snapshots[source]:
                    bare_snapshots[source] = f"{capture.lines.path.name}:{line}"
                if recv_us is not None and (not self._partial or self._goes_with_partial(capture, line, message)):
                    self._take(recv_us, message, capture, line, session)
            elif isinstance(message, MessageBatch):
                session.take_columns(message)
            elif isinstance(message, Broken):
                read.quarantine(message.reason, cut=message.cut)
                session.quarantine(recv_us, message)
            elif isinstance(message, (Other, Several)) or recv_us is None:
                continue
            elif isinstance(message, BookFrame):
                self._beside += self._partial is None
                for made in self._partial.convert(recv_us, message) if self._partial else ():
                    self._take(recv_us, made, capture, line, session)
            else:
                self._note(recv_us, message, capture, session)

    def _take(
        self, recv_us: int, message: MarketMessage, capture: CaptureLike, line: int, session: ImportSession
    ) -> None:
        if self.form.market.contract:
            if session.ends_us is not None and recv_us >= session.ends_us:
                self._fund(session.last_us, self._funding.ended(session.ends_us - 1), session)
                session.write_notes()
            if doubts := self._funding.passed(recv_us):
                self._fund(recv_us, doubts, session)
        try:
            session.take(recv_us, message)
        except BrokenFile as error:
            raise BrokenFile(f"{capture.lines.path}:{line}: {error}") from error

    @staticmethod
    def _end(capture: CaptureLike, read: CaptureReport, session: ImportSession) -> None:
        lines = capture.lines
        read.lines, read.lost_bytes, read.ends_early = lines.number, lines.lost_bytes, lines.ends_early
        if not read.whole:
            lost = {"lost_bytes": read.lost_bytes, "cut_lines": read.cut_lines}
            session.note(None, "anomaly", {"kind": "capture_cut", "file": read.name, **lost})

    def _note(
        self,
        recv_us: int,
        message: ExchangeInfo | Connected | BookLoss | Remark | MarkPrice | Funding | ForceOrder,
        capture: CaptureLike,
        session: ImportSession,
    ) -> None:
        if isinstance(message, ExchangeInfo):
            self._learn(recv_us, message, capture, session)
        elif isinstance(message, Connected):
            self._connections += 1
            if self._partial and self._partial.lose():
                session.lose(recv_us, "reconnected", unseen=True)
            session.note(recv_us, "ws_connected", {"url": message.url, "conn": self._connections})
        elif isinstance(message, BookLoss):
            session.lose(recv_us, message.cause, unseen=message.unseen)
        elif isinstance(message, Remark):
            session.note(recv_us, "anomaly", {"kind": message.kind, **message.details})
        elif isinstance(message, ForceOrder):
            session.contract(recv_us, message)
        elif isinstance(message, Funding):
            self._fund(recv_us, self._funding.new([message]), session)
        else:
            self._fund(recv_us, self._funding.marked(message), session)
            session.contract(recv_us, message)

    def _fund(self, recv_us: int, rows: Sequence[Funding | FundingDoubt], session: ImportSession) -> None:
        for row in rows:
            if isinstance(row, Funding):
                session.note(recv_us, "funding", row._asdict())
            else:
                session.note(recv_us, "anomaly", {"kind": FUNDING_DOUBT, **row._asdict()})
                self._doubts.setdefault(row.why, []).append(row.paid_ms)

    def _find_partial(self, captures: Sequence[CaptureLike]) -> list[str]:
        """Decide whether partial books are the book or only accompany changes; return what to report."""
        contents = {capture: capture.content() for capture in captures if isinstance(capture, Capture)}
        if not any(content.levels or content.mixed for content in contents.values()):
            return []
        changes = any(content.changes for content in contents.values())
        for capture, content in contents.items():
            if content.mixed:
                raise BrokenFile(
                    f"{capture.lines.path}: has messages of a depthN stream (whole books of the best levels) and of "
                    f"changes, without names of their streams: they cannot be told apart; record one of them, or both "
                    f"by a combined stream (/stream?streams=…)"
                )
            capture.read_partial(content)
        if changes:
            return []
        self._partial = PartialBooks(self.symbol, self.grid)
        return [
            f"{shown_name(capture.lines.path)} was read as whole books of the best {content.levels} levels (depth"
            f"{content.levels}): nothing is known behind them"
            for capture, content in contents.items()
            if content.levels
        ]

    @staticmethod
    def _goes_with_partial(capture: CaptureLike, line: int, message: MarketMessage) -> bool:
        if isinstance(message, DepthUpdate):
            raise BrokenFile(
                "{}:{}: changes of the book begin after whole books of the best levels (depthN); import the file in "
                "two parts, each into another {data_root}",
                capture.lines.path,
                line,
            )
        return not isinstance(message, DepthSnapshot)

    def _funding_warnings(self) -> Iterator[str]:
        for why, instants in self._doubts.items():
            due = [iso(ms * US_PER_MS) for ms in sorted(set(instants))]
            at = ", ".join(due[:3]) + (f" and {len(due) - 3} more" if len(due) > 3 else "")
            yield f"funding due at {at} is not known exactly: {why}"

    def _check_alone(self, capture: CaptureLike, bare_snapshot: str, captures: Sequence[CaptureLike]) -> None:
        """Refuse snapshots without a symbol if another symbol occurs more than once (once may be a damaged line)."""
        seen = capture.symbols or sum((other.symbols for other in captures), Counter[str]())
        if any(count > 1 for name, count in seen.items() if name != self.symbol):
            if self.symbol not in seen:
                raise self._nothing([capture])
            raise BrokenFile(
                f"{capture.lines.path}: contains {_named(seen)}, and the snapshot at {bare_snapshot} has no symbol; "
                f"give a capture of one symbol, or one with addresses on its REST lines"
            )

    def _learn(self, recv_us: int, info: ExchangeInfo, capture: CaptureLike, session: ImportSession) -> None:
        entry = json.loads(info.text)
        instrument = from_exchange_info(entry, capture.where())
        self._exchange_entry = info.text
        steps = self.options.tick_e8 or instrument.tick_e8, _e8_or(self.options.qty_step, instrument.lot_e8)
        self.grid.use(*steps)
        if not self._grids or steps != (self._grids[-1].tick_e8, self._grids[-1].lot_e8):
            self._grids.append(GridChange(recv_us if self._grids else 0, 0, *steps))
        session.note(recv_us, "exchange_info", {"status": entry.get("status")})

    def _check_tick(self) -> None:
        """Refuse a given tick size that a quarter of the prices miss: too coarse a tick affects half, single wrong
        prices far fewer.
        """
        given = self.options.tick_e8
        off, count = self.grid.prices_off(given) if given else ([], 0)
        if not given or not off or 4 * len(off) < count:
            return
        tick, seen = short_text(given), short_text(self.grid.seen_tick_e8)
        share = "all" if len(off) == count else f"{len(off):,} of"
        raise OffGrid(
            "{}: {} {:,} prices of the capture, such as {}, are not multiples of tick size {}, every price is a "
            "multiple of {}: give the exchange's own {tick_size}, or leave it out",
            self.symbol,
            share,
            count,
            off[0],
            tick,
            seen,
        )

    def _conclude(self, report: ImportReport, session: ImportSession) -> None:
        options, grid = self.options, self.grid
        known = from_exchange_info(json.loads(self._exchange_entry), "exchangeInfo") if self._exchange_entry else None
        tick_e8 = options.tick_e8 or (known.tick_e8 if known else 0)
        step_e8 = _e8_or(options.qty_step, known.lot_e8 if known else 0)
        notional_e8 = _e8_or(options.min_notional, known.min_notional_e8 if known else 0)
        found_e8, of_book = session.book_step_e8, f"the first book ({session.book_levels} levels)"
        if not found_e8:
            found_e8, of_book = grid.seen_step_e8, "all quantities of the capture, which has no book"
        for name, knob, given, seen, of, otherwise in (
            ("tick size", "tick_size", tick_e8, grid.seen_tick_e8, "all prices of the capture", "finer"),
            ("quantity step", "qty_step", step_e8, found_e8, of_book, "another one"),
        ):
            if not given and seen:
                report.inferred.append(name)
                step = f"{name} {short_text(seen)} is inferred from {of}, and may differ on another day"
                report.warnings.append(f"{step}; give {parameter(knob)} if the exchange's is {otherwise}")
        report.warnings += [str(NO_MIN_NOTIONAL)] * (known is None and options.min_notional is None)
        report.warnings += grid.too_fine(options.tick_e8 or 0, sum(day.book.diffs for day in report.days))
        tick_e8, step_e8 = tick_e8 or grid.seen_tick_e8, step_e8 or found_e8
        if tick_e8 and step_e8:
            base, quote = (known.base_asset, known.quote_asset) if known else ("", "")
            report.instrument = Instrument(self.symbol, tick_e8, step_e8, notional_e8, base, quote)
            if known is None:
                self._note_changes(report, session, report.instrument)
        if session.left_out:
            report.warnings.append(
                f"the capture has both trade streams; {session.trade_stream} was stored, {session.left_out:,} "
                f"messages of the other one were left out"
            )
        if self._beside:
            report.warnings.append(
                f"{self._beside:,} messages of a depthN stream (whole books of the best levels) were not needed beside "
                f"the changes"
            )
        if count := sum(day.book.anomalies[NO_EXECUTION] for day in report.days):
            report.warnings.append(
                f"{count:,} rows of the trade stream were no executions in the book (insurance fund, deleveraging, …): "
                f"their ids are in the ledger (anomaly {NO_EXECUTION}), and the tape does not have them"
            )
        if any(day.book.anomalies[GRID] for day in report.days):
            report.warnings.append(
                f"some prices or quantities are off tick size {short_text(tick_e8)} or quantity step "
                f"{short_text(step_e8)}; the ledger contains the steps that divide them (anomaly grid); give "
                f"{parameter('tick_size')} and {parameter('qty_step')} if these are not the exchange's"
            )
        if silent := [day.day for day in report.days if not day.trades and day.synced]:
            report.warnings.append(
                f"{', '.join(silent)}: 0 trades, so a backtest fills only where the book moves through an order, and "
                f"a calibration has no trade flow; check that the capture has the trade stream of {self.symbol}"
            )

    def _note_changes(self, report: ImportReport, session: ImportSession, instrument: Instrument) -> None:
        """Both ticks of a step that seems to change become grids of the days."""
        tick, step = session.stretches.prices.change(), session.stretches.quantities.change()
        coarse_e8 = tick.coarse_e8 if tick else 0
        if tick and not self._grids and coarse_e8 > instrument.tick_e8 and not coarse_e8 % instrument.tick_e8:
            steps = [(0, tick.before_e8), (tick.us, tick.after_e8)]
            steps += [(tick.back_us, tick.before_e8)] if tick.back_us else []
            self._grids = [GridChange(us, 0, tick_e8, instrument.lot_e8) for us, tick_e8 in steps]
            report.warnings.append(
                f"the tick size seems to change: prices are multiples of {short_text(tick.before_e8)} up to "
                f"{_since(tick)}; orders of a backtest use multiples of {short_text(tick.coarse_e8)}, which are on "
                f"both grids"
            )
        if step and step.coarse_e8 > instrument.lot_e8:
            report.warnings.append(
                f"the quantity step seems to change: quantities are multiples of {short_text(step.before_e8)} up to "
                f"{_since(step)}; {parameter('qty_step')} {short_text(step.coarse_e8)} is on both grids"
            )

    def _write_orders(self, report: ImportReport, staging: Staging, captures: Sequence[CaptureLike]) -> None:
        if report.instrument is None:
            return
        ticks = gcd(report.instrument.tick_e8, self.grid.seen_tick_e8)
        lots = gcd(report.instrument.lot_e8, self.grid.seen_step_e8)
        report.warnings += captures[0].write_order_logs(staging.folders, self.form.zone, ticks, lots)

    def _instrument_json(self, report: ImportReport) -> str | None:
        options = self.options
        if self._exchange_entry and options.tick_size == options.qty_step == options.min_notional is None:
            return msgspec.json.format(with_history(self._exchange_entry, self._grids), indent=1) + "\n"
        if report.instrument is None:
            return None
        return instrument_json(report.instrument, report.inferred, self._grids)

    def _nothing(self, captures: Sequence[CaptureLike], read: Sequence[CaptureReport] = ()) -> Mismatch | BrokenFile:
        symbols = sum((capture.symbols for capture in captures), Counter[str]())
        names = ", ".join(str(capture.lines.path) for capture in captures)
        unread = [reason for one in read for reason in one.unread]
        if unread and self.symbol in symbols:
            count = sum(one.unread_lines for one in read)
            return BrokenFile(
                "{}: none of {:,} messages of {} can be used: {}; give messages of Binance, or of another "
                "exchange as a table (--format table, for fine prices with {price_scale})",
                names,
                count,
                self.symbol,
                unread[0],
            )
        if symbols:
            return Mismatch("{}: no message of {}; {symbol} can be {}", names, self.symbol, _named(symbols))
        return BrokenFile(f"{names}: {self.form.nothing}")


def _since(change: ChangedStep) -> str:
    since = f"{iso(change.us)}, of {short_text(change.after_e8)} "
    if not change.back_us:
        return f"{since}from then on"
    return f"{since}then, and of {short_text(change.before_e8)} again from {iso(change.back_us)} on"


def steps_of(paths: Sequence[Path], progress: Progress) -> Iterator[tuple[Path, Callable[[int], None]]]:
    before = 0
    for path in paths:

        def moved(done: int, before: int = before) -> None:
            progress(before + done)

        yield path, moved
        before += path.stat().st_size if path.is_file() else 0


def captures_of(market: Market) -> CaptureForm:
    """Return the form of raw captures of *market*: lines of receive stamp and message."""

    def opened(paths: Sequence[Path], symbol: str, grid: Grid, progress: Progress) -> list[Capture]:
        return [Capture(path, symbol, grid, step, feed_of(market)) for path, step in steps_of(paths, progress)]

    nothing = f"no depth, trade or bookTicker message of {market.venue} could be read; {ACCEPTED}"
    return CaptureForm("raw", DAY_ZONE, opened, nothing, market)


RAW = captures_of(DEFAULT)


def _named(symbols: Counter[str]) -> str:
    return ", ".join(sorted(name for name in symbols if name))


def _e8_or(text: str | None, default: int) -> int:
    try:
        return default if text is None else e8(text)
    except OffGrid:
        return default
