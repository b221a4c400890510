"""The commands of operations: knobs, arguments and help."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.common_knobs import data_root_knob, symbol_knob
from mm.base.doors import ROLES
from mm.base.knobs import PATH, REQUIRED, SWITCH, base_url, integer, knob, matching, number, one_of
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.live.knobs import BOX, PRODUCTION, TESTNET, VenueUrls
from mm.live.orders.access import AUDIT_TYPES
from mm.live.state.stores import SHOWN, StateStores
from mm.live.venues.addresses import addresses
from mm.play.knobs import Results


@dataclass(frozen=True, kw_only=True)
class SwitchPlace(Results):
    """The symbols of the kill switches, and the folder of their files."""

    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True, common="")


risk_status = command(
    SwitchPlace,
    body="mm.commands.risk:status",
    text="""
    Show whether the kill switches of symbols are triggered, with reason and time.

    Example: mm risk status --symbol BTCUSDT
    """,
)

MANUAL = "by hand"


risk_kill = command(
    SwitchPlace,
    arguments=[click.Option(["--reason"], default=MANUAL, metavar="TEXT", help="Reason, as text.  [default by hand]")],
    body="mm.commands.risk:kill",
    text="""
    Trigger kill switches: a trader of one of the symbols cancels all its orders and stops, and none can start.

    Example: mm risk kill --symbol BTCUSDT --reason "odd fills"
    """,
)

risk_rearm = command(
    SwitchPlace,
    body="mm.commands.risk:rearm",
    text="""
    Re-arm kill switches, so that the symbols may be traded again.

    Example: mm risk rearm --symbol BTCUSDT
    """,
)

_PLACE = click.Argument(["file"], metavar="FILE|FOLDER", type=click.Path(path_type=Path))


_OPEN = click.Option(
    ["--open", "open_end"], is_flag=True, help="Accept a log without a stop row at its end (killed or running)."
)


_LAST = click.Option(["--last-hash"], metavar="HASH", help="A last hash noted earlier, which some row must have.")


_HEADS = click.Option(
    ["--heads"],
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="File of mm audit ship --head: ends kept elsewhere.",
)


audit_verify = command(
    arguments=[_PLACE, _OPEN, _LAST, _HEADS],
    body="mm.commands.audit:verify",
    text="""
    Find the first row of audit logs that was changed, removed, inserted or moved.

    The hash of each row covers the previous row, and the first row of each later log in the same folder has the number
    of rows and the last hash of this one. An error has the row number, and exit code 3. For a folder, all its logs are
    verified, and what they say of one another.

    Example: mm audit verify out/audit/BTCUSDT --heads /mnt/elsewhere/heads.ndjson --open
    """,
)

_FILE = click.Argument(["file"], metavar="FILE", type=click.Path(path_type=Path))


_SHOWN = (
    _FILE,
    click.Option(["--type", "kind"], type=click.Choice(AUDIT_TYPES), help="Only rows of this type."),
    click.Option(["--client-id", "client_id"], metavar="ID", help="Only rows of the order with this client id."),
)


audit_show = command(
    arguments=_SHOWN,
    body="mm.commands.audit:show",
    text="""
    Show the rows of an audit log, one line each: number, instant (UTC), type and fields.

    The hashes are not checked; mm audit verify does so.

    Example: mm audit show out/audit/BTCUSDT/20260105_20260105T080000Z.ndjson --type fill
    """,
)


@dataclass(frozen=True, kw_only=True)
class Copies(Results):
    """The logs, and the folder of their copies."""

    symbol: str | None = symbol_knob("Symbol; without it all with audit logs.", None)
    archive: Path = knob(
        REQUIRED, PATH, "Folder of the copies, on another disk or machine.", common="Folder of the copies"
    )


_HEAD = click.Option(
    ["--head", "places"],
    metavar="PATH|URL|syslog:",
    multiple=True,
    help="Where rows and last hash of each symbol's latest log go: a file, a webhook, the system's log; repeatable.",
)


_EVERY = click.Option(["--every"], metavar="S", type=click.FloatRange(1, 86_400), help="Repeat, each so many seconds.")


audit_ship = command(
    Copies,
    arguments=[_HEAD, _EVERY],
    body="mm.commands.audit:ship",
    text="""
    Copy new rows of the audit logs to another folder, and send the last hashes elsewhere.

    Rows are verified before they are appended, and what was shipped before is compared: a log that was changed or cut
    off since is exit code 3, and its copy stays as it is. The trader is not touched. With --every it runs until SIGTERM
    or Ctrl-C, and goes on after an error, which it logs.

    Example: mm audit ship --archive /mnt/elsewhere --head /mnt/third/heads.ndjson --head syslog: --every 60
    """,
)

audit_restore = command(
    Copies,
    body="mm.commands.audit:restore",
    text="""
    Bring back audit logs, or their ends, from the copies; a log that differs from its copy is refused (exit code 3).

    No trader of the symbol may run. The state store is brought up by the next start, or by mm state rebuild.

    Example: mm audit restore --archive /mnt/elsewhere --symbol BTCUSDT
    """,
)

_KEEP = click.Option(
    ["--keep-days"], metavar="N", type=click.FloatRange(0), required=True, help="Age of the logs that stay, in days."
)


_DRY = click.Option(["--dry-run"], is_flag=True, help="Only list what would be removed.")


audit_prune = command(
    Copies,
    StateStores,
    arguments=[_KEEP, _DRY],
    body="mm.commands.audit:prune",
    text="""
    Remove old audit logs whose copies were shipped and verified, and whose rows the state store has.

    A log goes only if a later one has its totals and last hash in row 1, the copy is equal to it, and the copy's chain
    is whole. The latest log of each venue always stays. What must stay is printed with the reason.

    Example: mm audit prune --archive /mnt/elsewhere --keep-days 30
    """,
)

state_init = command(
    Results,
    StateStores,
    body="mm.commands.state:init",
    text="""
    Create missing tables of the state store, and check that its servers respond.

    The store is <OUT_ROOT>/state.sqlite, or PostgreSQL if LEDGER_URL is set; with STATE_URL also Redis. Exit code 75 if
    one is not available.

    Example: LEDGER_URL=postgresql://mm@127.0.0.1/mm mm state init
    """,
)

_ONE = click.Option(["--symbol"], metavar="SYMBOL", help="Only this symbol, in any case; default: all.")


state_rebuild = command(
    Results,
    StateStores,
    arguments=[_ONE],
    body="mm.commands.state:rebuild",
    text="""
    Rebuild the state store from the audit logs.

    The stored rows of a symbol are removed first; the book, PnL, model and ticks in Redis remain. A run of the symbol
    may continue meanwhile. Exit code 75 if a store is not available, 3 if a log cannot be read.

    Example: mm state rebuild --symbol BTCUSDT
    """,
)

_SHOW = (
    _ONE,
    click.Option(["--table"], type=click.Choice(SHOWN), help="All rows of one table."),
    click.Option(["--last"], type=click.IntRange(0), default=10, show_default=True, help="Number of fills shown."),
)


state_show = command(
    Results,
    StateStores,
    arguments=_SHOW,
    body="mm.commands.state:show",
    text="""
    Show positions, open orders and the last fills of the state store; with --json all orders, fills and configs.

    Example: mm state show --symbol BTCUSDT --table fills
    """,
)

TEXTFILE = "mm_watchdog.prom"


@dataclass(frozen=True, kw_only=True)
class Watching(Doors, Results):
    """What is watched, and where its state is served."""

    symbol: str | None = symbol_knob(
        "Symbols, a list; without it all with a file.", None, many=True, common="Symbols, a list"
    )
    data_root: Path = data_root_knob("Folder of the recorded days, for health files.")
    log_root: Path | None = knob(None, PATH, "Folder of the run logs; without it <OUT_ROOT>/logs.")
    metrics_port: int = knob(9110, integer(0, 65535), "Port of the page; 0: none.", common="Port of the page")
    metrics_host: str = knob("127.0.0.1", matching(r"[\w.:-]+", "an address"), "Address of the page.")
    textfile_dir: Path | None = knob(
        None,
        PATH,
        f"Folder of node_exporter's textfile collector: {TEXTFILE} is replaced there at each look.",
        flag="--textfile",
        common="Folder for node_exporter's textfile collector",
    )
    watch_interval_s: float = knob(1.0, number(0.1, 3600), "Time between two looks, in s.", common="Time between looks")


_ONCE = click.Option(["--once"], is_flag=True, help="Print the state once; exit code 3 if something needs a person.")


watchdog = command(
    Watching,
    arguments=[_ONCE],
    body="mm.commands.watchdog:main",
    text="""
    Watch traders and shadows by their files, and serve what their own pages cannot show once they have ended.

    Kill switch with its reason, orders left open, the last end with reason and exit code, clock offset, disk space.
    /health/ready answers 503 while something needs a person. It runs until SIGTERM or Ctrl-C.

    Example: mm watchdog --out-root out --textfile /var/lib/prometheus/node-exporter
    """,
)


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
        """Return the addresses of the venue."""
        # No order is sent, so the address for orders is only a stand-in.
        streams = self.ws_url or ""
        return addresses(self.venue, self.ws_url, self.rest_url, streams, remote_box=self.remote_box)


latency = command(
    Probing,
    body="mm.commands.latency:main",
    text="""
    Measure connection, first byte, clock offset and the delay of market messages; no order is sent, no key needed.

    It prints the settings that a backtest or a shadow would use at this place.

    Example: SYMBOL=BTCUSDT mm latency --venue production --samples 100
    """,
)


@dataclass(frozen=True, kw_only=True)
class TokensPlace:
    """The file of the tokens."""

    tokens_file: Path = knob(REQUIRED, PATH, "File of the tokens; it has their hashes only.", common="File of tokens")


_NAME = click.Argument(["name"], metavar="NAME")


_ROLE = click.Option(["--role", "roles"], type=click.Choice(ROLES), multiple=True, help="What it allows; repeatable.")


token_add = command(
    TokensPlace,
    arguments=[_NAME, _ROLE],
    body="mm.commands.token:add",
    text="""
    Add a token to a file, which running servers read again, and print it: it is shown this once.

    read: pages, book, streams; trade: orders and cancels, runs of the dashboard; kill and rearm: the kill switch.

    Example: mm token add prometheus --role read --tokens-file /etc/mm/tokens
    """,
)

token_revoke = command(
    TokensPlace,
    arguments=[_NAME],
    body="mm.commands.token:revoke",
    text="""
    Remove a token from a file; running servers refuse it from then on, and end its streams.

    Example: mm token revoke prometheus --tokens-file /etc/mm/tokens
    """,
)

token_list = command(
    TokensPlace,
    body="mm.commands.token:list_tokens",
    text="""
    List the tokens of a file by name and roles.

    Example: mm token list --tokens-file /etc/mm/tokens
    """,
)
