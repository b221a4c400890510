"""The commands of trading: knobs, arguments and help."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import moved_data_root_knob, symbol_knob
from mm.base.knobs import REQUIRED, SWITCH, base_url, knob, one_of
from mm.catalog.results import TRUST
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command, runner
from mm.cli.task_knobs import PerSymbol, Recorder, Sources
from mm.errors import UsageError
from mm.live.knobs import (
    BOX,
    PRODUCTION,
    TESTNET,
    AccountLimits,
    CallLimit,
    FlattenKnobs,
    OrderAccess,
    Trading,
    VenueUrls,
)
from mm.live.state.stores import LiveStore, StateStores
from mm.live.venues.addresses import addresses
from mm.play.knobs import Market, Models, OtherMarkets, Results

STRATEGY = (Market, Execution, Account, Models, OtherMarkets, Risk)
"""The groups of a strategy, whose knobs may differ between symbols."""


WATCH = click.Option(["--watch"], is_flag=True, help="Show the run on the terminal while it trades.")


shadow = runner(
    *("shadow", Sources, PerSymbol, Recorder, Results, *STRATEGY, CallLimit, LiveStore),
    defaults=LIVE_DEFAULTS,
    day_of="mm.commands.shadow:day_recorded",
    arguments=[WATCH],
    brief=(Sources, Recorder, Models),
    varied=STRATEGY,
    body="mm.commands.shadow:main",
    text="""
    Trade on paper in a live market, record its day, and compare the decisions with the replay of that day.

    It ends with its window, at midnight at the latest, or at SIGTERM and Ctrl-C. The kill switch of the symbol and
    SIGUSR1 end its quoting, not its recording. If the exchange changes tick size or quantity step, it ends with exit
    code 75, and the next start uses the new ones. Several symbols run in one process, each with a paper account.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm shadow
    """,
)


@dataclass(frozen=True, kw_only=True)
class ShadowPlaces(Results):
    """Folders of shadows and of recorded days."""

    data_root: Path | None = moved_data_root_knob()


shadow_reconcile = command(
    ShadowPlaces,
    arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), TRUST],
    body="mm.commands.shadow:reconcile",
    text="""
    Compare a shadow run with the replay of the day that it recorded, row by row.

    The exit code is 3 if rows differ, 5 if it names a user's model whose file is not named by --trust. RUN is the
    folder of a shadow's run, or its RUN_ID.

    Example: mm shadow reconcile out/shadow/BTCUSDT/20260105_20260105T080000Z
    """,
)

_DEFAULTS = {**LIVE_DEFAULTS, "ws_url": None, "rest_url": None, "start_jitter_s": 0.0}


_KEYS = (
    click.Option(["--api-key"], metavar="TEXT", help="API key; preferably set BINANCE_API_KEY in the environment."),
    click.Option(
        ["--api-secret"], metavar="TEXT", help="HMAC secret; preferably set BINANCE_API_SECRET in the environment."
    ),
    click.Option(["--watch"], is_flag=True, help="Show the trade on the terminal while it runs."),
)


trade = runner(
    *("trade", Trading, Sources, PerSymbol, Recorder, Results, OrderAccess, *STRATEGY, CallLimit, AccountLimits),
    StateStores,
    defaults=_DEFAULTS,
    day_of="mm.commands.shadow:day_recorded",
    arguments=_KEYS,
    brief=(Trading, Sources, Models, Risk),
    varied=STRATEGY,
    legs_of="mm.commands.trade:legs_of",
    body="mm.commands.trade:main",
    text="""
    Trade symbols: send a model's quotes as real orders to a venue, with limits, an audit log and a kill switch.

    It records its day, ends at SIGTERM, Ctrl-C and the end of its window, and writes a run folder.
    Keys come from BINANCE_API_KEY with BINANCE_API_SECRET or BINANCE_PRIVATE_KEY_FILE.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm trade --venue testnet
    """,
)

trade_flatten = runner(
    "flatten",
    *(Trading, FlattenKnobs, Sources, PerSymbol, Recorder, Results, OrderAccess, *STRATEGY, AccountLimits, StateStores),
    defaults=_DEFAULTS,
    day_of="mm.commands.shadow:day_recorded",
    arguments=_KEYS[:2],
    brief=(Trading, FlattenKnobs, Sources),
    varied=STRATEGY,
    legs_of="mm.commands.trade:legs_unlisted",
    body="mm.commands.trade:flatten",
    text="""
    Close the positions of our own fills: state the cost, and with --max-cost send the orders.

    They are immediate-or-cancel limit orders at the worst price of the stated cost, written to the audit log. It also
    works while the kill switch is triggered; a running trader of the symbol must end before.

    Example: mm trade flatten --venue box --symbol BTCUSDT,ETHUSDT --max-cost 1.5
    """,
)


@dataclass(frozen=True, kw_only=True)
class CancelAccess(Results):
    """The venue and the symbols of the orders to cancel."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION), "The venue of the orders.", common="The venue")
    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True)
    rest_url: str | None = knob(None, base_url("http", "https"), "Base URL of REST; default: the venue's.")
    remote_box: bool = knob(False, SWITCH, "1 allows --venue box on another machine.")

    def urls(self) -> VenueUrls:
        """Return the addresses of the venue.

        Raises:
            UsageError: If the venue is a box, and no address is given.
            SafetyError: As `addresses` raises it.
        """
        if self.venue == BOX and self.rest_url is None:
            raise UsageError("--venue box needs REST_URL: the address that `mm sim serve` prints when it is ready")
        return addresses(self.venue, self.rest_url, self.rest_url, self.rest_url, remote_box=self.remote_box)


_ALL = click.Option(["--all", "every"], is_flag=True, help="Cancel every order of the symbols, also those of others.")


trade_cancel = command(
    *(CancelAccess, OtherMarkets),
    arguments=(*_KEYS[:2], _ALL),
    brief=(CancelAccess,),
    body="mm.commands.cancel:main",
    text="""
    Cancel the open orders of symbols until there are none: those of our traders, or with --all every order.

    It needs no audit log, no writable folder and no other process: it works beside a hung, a dead or a killed trader,
    and waits while the exchange blocks requests (429, 418) or does not answer. If the key is no longer accepted, it
    ends with 2 and names the orders; if a running trader places new ones, with 75. Ctrl-C ends it.

    Example: mm trade cancel --venue testnet --symbol BTCUSDT,ETHUSDT
    """,
)
