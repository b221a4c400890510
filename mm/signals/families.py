"""The signals: names, units, formulas, sources and constructors."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mm.base.knobs import closest
from mm.base.user_code import USER_ERRORS, load_class, one_line, place_of, place_of_code
from mm.clock import US_PER_S
from mm.dayfolder.contract_rows import ContractRow
from mm.errors import ModelError, UnknownModel, UsageError
from mm.instrument import Instrument
from mm.signals import contract, formulas
from mm.signals.artefact import FOLDER, signal_of
from mm.signals.micro_price import MicroPriceFit
from mm.signals.other_feed import OtherFeed
from mm.signals.other_market import Basis, Divergence, OtherMarket, OtherReturn, OtherSignal
from mm.signals.signal_set import OwnSignal, Prediction, Signal, SignalSet

BASE, QUOTE, TICKS, PER_ROOT_S = "base asset", "quote asset", "ticks", "ticks/√s"
WINDOWS_S = (1, 10, 60)
DEPTHS = (1, 5, 10)
LONGEST_S = 86_400
_MOST_LEVELS, _MOST_EVENTS = 20, 1_000_000
_PLACES = {
    "{n}": r"(?P<n>[1-9]\d*)",
    "{w}": r"(?P<w>[1-9]\d*m?s)",
    "{e}": r"(?P<e>[1-9]\d*)e",
    "{o}": r"(?P<o>\w+)",
    "{s}": r"(?P<s>\w+)",
}


@dataclass
class Others:
    """A run's other markets as one set of signals reads them, by name."""

    feeds: Mapping[str, OtherFeed]
    seen: dict[str, OtherMarket] = field(default_factory=dict)
    readers: list[OtherMarket] = field(default_factory=list)

    def market(self, name: str, signal: str) -> OtherMarket:
        """Raises UsageError if the run has no such market."""
        if name not in self.feeds:
            known = ", ".join(self.feeds) or "none"
            raise UsageError(
                "signal {!r} reads the market {!r}, and the other markets are {}; set {others}", signal, name, known
            )
        return self.seen[name]

    def open(self, name: str, names: Sequence[str] = (), earlier_us: int = 0) -> OtherMarket:
        """Make a reader, with its own signals *names*, of what was known *earlier_us* ago."""
        feed = self.feeds[name]
        signals = SIGNALS.set_of(names, feed.grid, step_lots=feed.step_lots)
        delay_us, strict = feed.delay_us + earlier_us, feed.strict_clock
        reader = OtherMarket(name, feed.grid, feed.tapes, delay_us, signals, strict=strict)
        self.readers.append(reader)
        return reader

    def feed(self, name: str, events: Sequence[Sequence[Any]]) -> None:
        for reader in self.readers:
            if reader.name == name:
                reader.feed(events)


class SignalArgs(NamedTuple):
    grid: Instrument
    micro_price: MicroPriceFit | None
    others: Others
    name: str
    levels: int
    window_us: int
    events: int
    other: str
    signal: str


@dataclass(frozen=True)
class SignalFamily:
    name: str
    group: str
    unit: str
    formula: str
    source: str
    build: Callable[[SignalArgs], Signal] | None = None
    usual: tuple[str, ...] = ()

    def match(self, name: str) -> re.Match[str] | None:
        pattern = re.escape(self.name).replace(r"\{", "{").replace(r"\}", "}")
        for place, group in _PLACES.items():
            pattern = pattern.replace(place, group)
        return re.fullmatch(pattern, name)


def _expand(template: str, **values: Iterable[Any]) -> tuple[str, ...]:
    names = [template]
    for key, options in values.items():
        names = [name.replace(f"{{{key}}}", str(option)) for name in names for option in options]
    return tuple(names)


_S = tuple(f"{seconds}s" for seconds in WINDOWS_S)
_HERE, _STOIKOV = "definition", "Stoikov, The micro-price, Quantitative Finance 2018"
_CKS = "Cont, Kukanov, Stoikov, The price impact of order book events, J. Financial Econometrics 2014"
_XGH = "Xu, Gould, Howison, Multi-level order-flow imbalance, Market Microstructure and Liquidity 2018"
_BNS = "Barndorff-Nielsen, Shephard, Power and bipower variation, J. Financial Econometrics 2004"


def _other_return(made: SignalArgs) -> OtherReturn:
    now = made.others.market(made.other, made.name)
    return OtherReturn(now, made.others.open(made.other, earlier_us=made.window_us))


def _of_other(made: SignalArgs) -> Signal:
    other = made.others.market(made.other, made.name)
    return OtherSignal(other, other.signals.names.index(made.signal))


def _contract_rows(made: SignalArgs) -> Sequence[ContractRow]:
    made.others.market(made.other, made.name)
    return made.others.feeds[made.other].told()


FAMILIES = (
    SignalFamily("spread", "state", TICKS, "ask − bid", _HERE, lambda _: formulas.QuotedSpread(), ("spread",)),
    SignalFamily("mid", "state", QUOTE, "(bid + ask)/2", _HERE, lambda m: formulas.Mid(m.grid.tick_e8), ("mid",)),
    SignalFamily(
        *("weighted_mid", "state", QUOTE, "(bid·A + ask·B)/(A + B), B and A at the best prices", _HERE),
        lambda m: formulas.WeightedMid(m.grid.tick_e8),
        ("weighted_mid",),
    ),
    SignalFamily(
        *("micro_price", "state", QUOTE, "mid + g(imbalance, spread), g fitted on earlier days", _STOIKOV),
        lambda m: formulas.MicroPrice(m.grid.tick_e8, m.micro_price),
        ("micro_price",),
    ),
    SignalFamily(
        *("imbalance_{n}", "state", "−1 to 1", "(B − A)/(B + A) over n levels", _HERE),
        lambda m: formulas.BookImbalance(m.levels),
        _expand("imbalance_{n}", n=DEPTHS),
    ),
    SignalFamily(
        *("depth_{n}", "state", BASE, "B + A over n levels", _HERE),
        lambda m: formulas.Depth(m.levels, 0, m.grid.lot_e8),
        _expand("depth_{n}", n=DEPTHS),
    ),
    SignalFamily(
        *("bid_depth_{n}", "state", BASE, "B over n levels", _HERE),
        lambda m: formulas.Depth(m.levels, 1, m.grid.lot_e8),
    ),
    SignalFamily(
        *("ask_depth_{n}", "state", BASE, "A over n levels", _HERE),
        lambda m: formulas.Depth(m.levels, -1, m.grid.lot_e8),
    ),
    SignalFamily(
        *("bid_queue", "state", BASE, "B at the best bid", _HERE),
        lambda m: formulas.Depth(1, 1, m.grid.lot_e8),
        ("bid_queue",),
    ),
    SignalFamily(
        *("ask_queue", "state", BASE, "A at the best ask", _HERE),
        lambda m: formulas.Depth(1, -1, m.grid.lot_e8),
        ("ask_queue",),
    ),
    SignalFamily(
        *("queue_share", "state", "0 to 1", "B/(B + A) at the best prices", _HERE),
        lambda _: formulas.QueueShare(),
        ("queue_share",),
    ),
    SignalFamily(
        *("ofi", "flow", BASE, "e of this diff, from the best prices and queues before and after it", _CKS),
        lambda m: formulas.OrderFlow(1, 0, m.grid.lot_e8),
        ("ofi",),
    ),
    SignalFamily(
        *("ofi_{w}", "flow", BASE, "Σ ofi in (t − W, t]", _CKS),
        lambda m: formulas.OrderFlow(1, m.window_us, m.grid.lot_e8),
        _expand("ofi_{w}", w=_S),
    ),
    SignalFamily(
        *("multilevel_ofi_{n}", "flow", BASE, "Σ over n levels of e, each of its own price and queue", _XGH),
        lambda m: formulas.OrderFlow(m.levels, 0, m.grid.lot_e8),
        _expand("multilevel_ofi_{n}", n=DEPTHS[1:]),
    ),
    SignalFamily(
        *("multilevel_ofi_{n}_{w}", "flow", BASE, "Σ multilevel_ofi_n in (t − W, t]", _XGH),
        lambda m: formulas.OrderFlow(m.levels, m.window_us, m.grid.lot_e8),
        _expand("multilevel_ofi_{n}_{w}", n=(5,), w=("10s",)),
    ),
    SignalFamily(
        *("trade_imbalance_{w}", "flow", "−1 to 1", "(bought − sold)/(bought + sold) in (t − W, t]", _HERE),
        lambda m: formulas.TradeImbalance(m.window_us, m.grid.lot_e8),
        _expand("trade_imbalance_{w}", w=_S[1:]),
    ),
    SignalFamily(
        *("signed_volume_{w}", "flow", BASE, "bought − sold by aggressors in (t − W, t]", _HERE),
        lambda m: formulas.SignedVolume(m.window_us, m.grid.lot_e8),
        _expand("signed_volume_{w}", w=_S),
    ),
    SignalFamily(
        "sweep_rate_{w}",
        "flow",
        "1/s",
        "runs of same-side prints at most 1 ms apart, with one beyond the first's price; in (t − W, t] over W",
        _HERE,
        lambda m: formulas.SweepRate(m.window_us, m.grid.lot_e8),
        _expand("sweep_rate_{w}", w=_S[1:]),
    ),
    SignalFamily(
        *(
            "cancel_rate_{w}",
            "flow",
            f"{BASE}/s",
            "quantity removed from the best 10 levels, less prints; in (t − W, t] over W",
        ),
        _HERE,
        lambda m: formulas.CancelRate(m.window_us, m.grid.lot_e8),
        _expand("cancel_rate_{w}", w=_S[1:]),
    ),
    SignalFamily(
        *("momentum_{w}", "path", TICKS, "mid(t) − mid(t − W)", _HERE),
        lambda m: formulas.Momentum(m.window_us),
        _expand("momentum_{w}", w=_S),
    ),
    SignalFamily(
        *("momentum_{e}", "path", TICKS, "mid(now) − mid(n diffs earlier)", _HERE),
        lambda m: formulas.EventMomentum(m.events),
        ("momentum_100e",),
    ),
    SignalFamily(
        *("realised_volatility_{w}", "path", PER_ROOT_S, "√(Σ move² in (t − W, t] / W)", _HERE),
        lambda m: formulas.RealisedVolatility(m.window_us),
        _expand("realised_volatility_{w}", w=_S[1:]),
    ),
    SignalFamily(
        *("realised_volatility_{e}", "path", "ticks/√diff", "√(mean move² of the last diffs)", _HERE),
        lambda m: formulas.EventVolatility(m.events),
        ("realised_volatility_100e",),
    ),
    SignalFamily(
        "ewma_volatility_{w}",
        "path",
        PER_ROOT_S,
        "√(Σ move²·2^(−age/W) / ∫ 2^(−age/W)), over the path so far; W is the half-life",
        _HERE,
        lambda m: formulas.EwmaVolatility(m.window_us),
        ("ewma_volatility_60s",),
    ),
    SignalFamily(
        *("range_{w}", "path", TICKS, "highest − lowest mid in [t − W, t]", _HERE),
        lambda m: formulas.Range(m.window_us),
        _expand("range_{w}", w=_S[1:]),
    ),
    SignalFamily(
        *(
            "bipower_{w}",
            "path",
            PER_ROOT_S,
            "√(π/2 · mean |r_k·r_(k−1)|), moves over the W whole seconds before t",
            _BNS,
        ),
        lambda m: _bipower(m.window_us),
        ("bipower_60s",),
    ),
    SignalFamily(
        *("{o}.basis", "other", "basis points", "10⁴·ln(its mid / our mid)", _HERE),
        lambda m: Basis(m.others.market(m.other, m.name), m.grid.tick_e8),
    ),
    SignalFamily(
        *("{o}.return_{w}", "other", "basis points", "10⁴·ln(its mid(t) / its mid(t − W))", _HERE),
        _other_return,
    ),
    SignalFamily(
        *("{o}.divergence_{w}", "other", "basis points", "its return over W less our mid's", _HERE),
        lambda m: Divergence(_other_return(m), formulas.Momentum(m.window_us)),
    ),
    SignalFamily(
        *("{o}.premium", "other", "basis points", "10⁴·ln(its mark price / its index price)", _HERE),
        lambda m: OwnSignal(contract.Premium(_contract_rows(m))),
    ),
    SignalFamily(
        *("{o}.mark_basis", "other", "basis points", "10⁴·ln(its mark price / our mid)", _HERE),
        lambda m: OwnSignal(contract.MarkBasis(_contract_rows(m), m.grid.tick_e8)),
    ),
    SignalFamily(
        *("{o}.funding", "other", "basis points", "10⁴·rate of its next funding, as estimated then", _HERE),
        lambda m: OwnSignal(contract.FundingRate(_contract_rows(m))),
    ),
    SignalFamily(
        *("{o}.funding_in", "other", "s", "time to its next funding", _HERE),
        lambda m: OwnSignal(contract.FundingIn(_contract_rows(m))),
    ),
    SignalFamily(
        *("{o}.open_interest", "other", BASE, "its open interest, told each minute", _HERE),
        lambda m: OwnSignal(contract.OpenInterest(_contract_rows(m))),
    ),
    SignalFamily(
        *("{o}.liquidated_{w}", "other", BASE, "bought − sold by its liquidations in (t − W, t]", _HERE),
        lambda m: OwnSignal(contract.Liquidated(_contract_rows(m), m.window_us)),
    ),
    SignalFamily(
        *("{o}.{s}", "other", "its own", "any signal of groups state, flow and path, of the market {o}", _HERE),
        _of_other,
    ),
    SignalFamily("inventory", "ours", "clips", "inventory − target", _HERE),
    SignalFamily("own_bid_distance", "ours", TICKS, "mid − our bid", _HERE),
    SignalFamily("own_bid_age", "ours", "s", "time since our bid was sent", _HERE),
    SignalFamily("own_bid_ahead", "ours", BASE, "quantity ahead of our bid, as estimated by the fill model", _HERE),
    SignalFamily("own_ask_distance", "ours", TICKS, "our ask − mid", _HERE),
    SignalFamily("own_ask_age", "ours", "s", "time since our ask was sent", _HERE),
    SignalFamily("own_ask_ahead", "ours", BASE, "quantity ahead of our ask, as estimated by the fill model", _HERE),
)
OF_OTHER = "{o}.{s}"
OURS = tuple(family.name for family in FAMILIES if family.build is None)
"""The signals of our own orders, in the order that the order manager uses."""


def _bipower(window_us: int) -> Signal:
    if window_us % US_PER_S or window_us < 2 * US_PER_S:
        raise UsageError(f"bipower over {window_us / US_PER_S:g} s: it requires whole seconds; give 2s or more")
    return formulas.Bipower(window_us)


def is_signal(candidate: object) -> bool:
    """Derived from `Signal`, or with a method ``on_book(book)``."""
    if not inspect.isclass(candidate) or issubclass(candidate, Signal):
        return inspect.isclass(candidate)
    hook = getattr(candidate, "on_book", None)
    if not callable(hook):
        return False
    try:
        inspect.signature(hook).bind(None, None)
    except TypeError:
        return False
    return True


def _own(name: str) -> SignalFamily:
    """Raises UnknownModel, or ModelError from the user's module."""
    user_class: Any = load_class(name, "signal")
    if not is_signal(user_class):
        where = place_of_code(user_class)
        wanted = "a signal is a class with the method on_book(book)"
        raise UnknownModel(f"{where}{': ' * bool(where)}{name!r} is not a signal; {wanted}")

    def build(_: SignalArgs) -> Signal:
        try:
            signal = user_class()
        except USER_ERRORS as error:
            raise ModelError(f"signal {name}() raised {one_line(error)}", place_of(error)) from error
        return signal if isinstance(signal, Signal) else OwnSignal(signal)

    text = (inspect.getdoc(user_class) or "").partition("\n")[0]
    return SignalFamily(name, "own", getattr(user_class, "unit", ""), text, name, build)


@dataclass(frozen=True)
class Signals:
    families: tuple[SignalFamily, ...]

    @property
    def usual(self) -> tuple[str, ...]:
        return tuple(name for family in self.families for name in family.usual)

    def family(self, name: str) -> SignalFamily:
        """A user's ``package.module:Class`` has its own family; raises UnknownModel, ModelError or BrokenFile."""
        if FOLDER in name:
            return self._predicted(name)
        if ":" in name:
            return _own(name)
        signal_family = next((family for family in self.families if family.match(name)), None)
        if signal_family is None:
            names = [family.name for family in self.families]
            known, meant = ", ".join(names), closest(name, [*self.usual, *names])
            raise UnknownModel(
                f"unknown signal {name!r}; available: {known} (n levels, w like 10s, e like 100e), "
                f"package.module:Class, and folders of fitted predictors, with a {FOLDER} in their name{meant}"
            )
        return signal_family

    def described(self, name: str) -> dict[str, str]:
        family = self.family(name)
        if family.name == OF_OTHER:
            return self.described(name.partition(".")[2])
        return {"unit": family.unit, "formula": family.formula, "source": family.source}

    def check(self, names: Sequence[str]) -> None:
        """Check before anything is read; raises UnknownModel or UsageError."""
        twice = {name for name in names if list(names).count(name) > 1}
        if twice:
            raise UsageError(f"signals given twice: {', '.join(sorted(twice))}; give each once")
        for name in names:
            family = self.family(name)
            if family.build is None:
                raise UsageError(
                    f"signal {name!r} depends on our own orders, so it cannot be computed from a tape; "
                    "quote models read it in a run"
                )
            numbers_of(family, name)
            if family.name == OF_OTHER:
                inner = self.family(name.partition(".")[2])
                if inner.group not in ("state", "flow", "path") or inner.name == "micro_price":
                    raise UsageError(f"signal {name!r}: {inner.name} is not available of another market")
                self.check([name.partition(".")[2]])

    def others(self, feeds: Mapping[str, OtherFeed], names: Sequence[str]) -> Others:
        others = Others(feeds)
        read = [signal for name in names for signal in (signal_of(name)[0].signals if FOLDER in name else (name,))]
        for other in feeds:
            own = [
                name.partition(".")[2]
                for name in dict.fromkeys(read)
                if name.startswith(f"{other}.") and self.family(name).name == OF_OTHER
            ]
            others.seen[other] = others.open(other, own)
        return others

    def set_of(
        self,
        names: Sequence[str],
        grid: Instrument,
        micro_price: MicroPriceFit | None = None,
        others: Others | None = None,
        step_lots: int = 1,
    ) -> SignalSet:
        """Return a new set of signals; raises as `check`.

        *micro_price* None leaves it undefined; *others* must come from `others` with the same names.
        """
        self.check(names)
        known = others or Others({})
        return SignalSet([(name, self._signal(name, grid, micro_price, known)) for name in names], step_lots)

    def _predicted(self, name: str) -> SignalFamily:
        """*name* is a predictor's folder, with :bid or :ask if it predicts both sides."""
        artefact, head = signal_of(name)
        unit = TICKS if artefact.about["target"] == "return" else "0 to 1"

        def build(made: SignalArgs) -> Signal:
            artefact.check(None, made.grid.tick_e8)
            sources = [self._signal(source, made.grid, made.micro_price, made.others) for source in artefact.signals]
            return Prediction(artefact.predictor(), head, sources, artefact.distance_ticks)

        formula = f"{artefact.about['target']} over {artefact.about['horizon']:g} s by {artefact.about['model']}"
        return SignalFamily(name, "predicted", unit, formula, "mm predict fit", build)

    def _signal(self, name: str, grid: Instrument, micro_price: MicroPriceFit | None, others: Others) -> Signal:
        family = self.family(name)
        assert family.build is not None, name  # excluded by `check`
        match = family.match(name)
        given = match.groupdict() if match else {}
        market = given.get("o", ""), given.get("s", "")
        return family.build(SignalArgs(grid, micro_price, others, name, *numbers_of(family, name), *market))


def numbers_of(family: SignalFamily, name: str) -> tuple[int, int, int]:
    """Return levels, window (µs) and events in a name."""
    match = family.match(name)
    given = match.groupdict() if match else {}
    levels, events = int(given.get("n", 0)), int(given.get("e", 0))
    window = given.get("w", "0s")
    window_us = int(window[:-2]) * 1000 if window.endswith("ms") else int(window[:-1]) * US_PER_S
    if levels > _MOST_LEVELS:
        raise UsageError(f"signal {name!r}: {levels} levels; 1 to {_MOST_LEVELS} are allowed")
    if window_us > LONGEST_S * US_PER_S:
        raise UsageError(f"signal {name!r}: a window of {window}; the maximum is {LONGEST_S}s")
    if events > _MOST_EVENTS:
        raise UsageError(f"signal {name!r}: {events} events; the maximum is {_MOST_EVENTS}")
    return levels, window_us, events


def listed(families: Iterable[SignalFamily]) -> Iterator[dict[str, Any]]:
    for family in families:
        yield {
            "name": family.name,
            "group": family.group,
            "unit": family.unit,
            "formula": family.formula,
            "source": family.source,
            "usual": list(family.usual),
            "on_tape": family.build is not None,
        }


SIGNALS = Signals(FAMILIES)
