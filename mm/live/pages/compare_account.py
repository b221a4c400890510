"""Runs of one account side by side: the account's numbers, and each symbol order by order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from mm.base.numbers import duration, number, signed
from mm.clock import US_PER_S, iso
from mm.errors import Mismatch
from mm.instrument import assets_of
from mm.live.pages.compare import (
    BLOCK_US,
    KINDS,
    Agreement,
    RunComparison,
    RunData,
    RunFigures,
    compare_runs,
    fills_at,
    interval,
    quoting_at,
    read_run,
)
from mm.live.pages.compare_page import comparison_cards, comparison_text, half
from mm.report.figures import SERIES, Figure, step, time_axis
from mm.report.figures import chart as figure_of
from mm.report.frame import card, chart, document, grid, header, notes, zoom_bar
from mm.report.run_columns import account_columns
from mm.runs.find import open_part
from mm.runs.finished import RunFolder

Parts = Mapping[str, RunData]
"""The data of one run of an account, by symbol."""


@dataclass(frozen=True)
class AccountFigures:
    """The sums of one run over its symbols, over the time that all runs cover; money in the quote asset."""

    kind: str
    run_id: str
    path: str
    placed: int
    rejected: int
    fills: int
    pnl_quoting: float | None
    pnl: float | None
    fees: float | None


@dataclass(frozen=True)
class AccountAgreement:
    """How far a run agrees with the reference, as `Agreement`, over all symbols."""

    run_id: str
    matched_fills: int
    unmatched_fills: int
    extra_fills: int
    fills_difference: int
    fills_ci95: list[float] | None
    pnl_difference: float | None
    pnl_ci95: list[float] | None


@dataclass(frozen=True)
class AccountComparison:
    symbol: str
    begin_us: int
    end_us: int
    runs: list[AccountFigures]
    agreement: list[AccountAgreement]
    symbols: dict[str, RunComparison]
    notes: list[str]


def compare(*names: str | Path, out_root: str | Path = "out") -> RunComparison | AccountComparison:
    """Compare a replay, a shadow and a trade of one strategy, order by order, as ``mm compare`` does.

    Args:
        names: Folders or RUN_IDs of the runs; the first is the reference. Runs of one account are compared as a whole
            and by symbol.
        out_root: Folder in which RUN_IDs are searched.

    Raises:
        DataError: If there is no such run.
        UsageError: If one is not a run with orders and fills.
    """
    opened = [open_part(name, out_root, KINDS) for name in names]
    if len(opened) > 1 and all(run.symbols for run in opened):
        return compare_accounts(list(map(read_account, opened)))
    return compare_runs(list(map(read_run, opened)))


def read_account(run: RunFolder) -> dict[str, RunData]:
    return {symbol: read_run(run.part(symbol)) for symbol in run.symbols}


def compare_accounts(accounts: Sequence[Parts]) -> AccountComparison:
    """Compare runs of one account with the first; Mismatch for different symbols, or no time in common."""
    names = list(dict.fromkeys("+".join(account) for account in accounts))
    if len({frozenset(account) for account in accounts}) > 1:
        raise Mismatch(f"the accounts are of {' and '.join(names)}; compare their parts, as RUN_ID/SYMBOL")
    there = [symbol for symbol in accounts[0] if all(any(account[symbol].span) for account in accounts)]
    found = {symbol: compare_runs([account[symbol] for account in accounts]) for symbol in there}
    if not found:
        raise Mismatch(f"no symbol of {names[0]} was played by all runs; compare runs of the same days")
    begin_us, end_us = (
        end(getattr(one, name) for one in found.values()) for end, name in ((min, "begin_us"), (max, "end_us"))
    )
    edges = np.linspace(begin_us, end_us, max((end_us - begin_us) // BLOCK_US, 1) + 1).astype(np.int64)
    runs = [
        _figures(next(iter(account.values())), [one.runs[at] for one in found.values()])
        for at, account in enumerate(accounts)
    ]
    agreement = []
    for at in range(1, len(accounts)):
        each = {symbol: one.agreement[at - 1] for symbol, one in found.items()}
        fills, pnl = np.zeros(len(edges)), np.zeros(len(edges))
        for symbol, one in found.items():
            own_us = np.clip(edges, one.begin_us, one.end_us)
            first, other = accounts[0][symbol], accounts[at][symbol]
            fills += fills_at(other, own_us) - fills_at(first, own_us)
            pnl += quoting_at(other, own_us) - quoting_at(first, own_us)
        agreement.append(_agreement(list(each.values()), interval(fills), interval(pnl)))
    own_notes = [f"{symbol} was not played by all runs" for symbol in accounts[0] if symbol not in found]
    own_notes += [f"{symbol}: {note}" for symbol, one in found.items() for note in one.notes]
    return AccountComparison(names[0], begin_us, end_us, runs, agreement, found, own_notes)


def _figures(run: RunData, each: Sequence[RunFigures]) -> AccountFigures:
    return AccountFigures(
        kind=run.kind,
        run_id=run.run_id,
        path=str(run.folder),
        placed=sum(one.placed for one in each),
        rejected=sum(sum(one.rejects.values()) for one in each),
        fills=sum(sum(one.fills.values()) for one in each),
        pnl_quoting=_sum([one.pnl_quoting for one in each]),
        pnl=_sum([one.pnl for one in each]),
        fees=_sum([one.fees for one in each]),
    )


def _agreement(
    each: Sequence[Agreement], fills_ci95: list[float] | None, pnl_ci95: list[float] | None
) -> AccountAgreement:
    return AccountAgreement(
        run_id=each[0].run_id,
        matched_fills=sum(one.matched_fills for one in each),
        unmatched_fills=sum(one.unmatched_fills for one in each),
        extra_fills=sum(one.extra_fills for one in each),
        fills_difference=sum(one.fills_difference for one in each),
        fills_ci95=fills_ci95,
        pnl_difference=_sum([one.pnl_difference for one in each]),
        pnl_ci95=pnl_ci95,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


ROWS: tuple[tuple[str, Callable[[AccountFigures], str]], ...] = (
    ("orders placed", lambda run: f"{run.placed:,}"),
    ("rejected", lambda run: f"{run.rejected:,}"),
    ("fills", lambda run: f"{run.fills:,}"),
    ("quoting PnL", lambda run: signed(run.pnl_quoting)),
    ("PnL of the account", lambda run: signed(run.pnl)),
    ("fees", lambda run: number(run.fees)),
)
AGREEMENT: tuple[tuple[str, Callable[[AccountAgreement], str]], ...] = (
    (
        "fills matched / missing / extra",
        lambda one: f"{one.matched_fills:,} / {one.unmatched_fills:,} / {one.extra_fills:,}",
    ),
    ("fills difference", lambda one: f"{one.fills_difference:+,}{half(one.fills_ci95)}"),
    ("quoting PnL difference", lambda one: signed(one.pnl_difference) + half(one.pnl_ci95)),
)


def _rows(found: AccountComparison) -> list[list[str]]:
    rows = [[name, *(cell(run) for run in found.runs)] for name, cell in ROWS]
    symbols = [[f"– {symbol}", *(signed(run.pnl_quoting) for run in one.runs)] for symbol, one in found.symbols.items()]
    below = 1 + next(at for at, row in enumerate(rows) if row[0] == "quoting PnL")
    rows[below:below] = symbols
    return [*rows, *([name, "reference", *(cell(one) for one in found.agreement)] for name, cell in AGREEMENT)]


def account_comparison_text(found: AccountComparison) -> str:
    rows = [["", *(f"{run.kind} {run.run_id}" for run in found.runs)], *_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
    span = f"{iso(found.begin_us)} to {iso(found.end_us)} ({duration((found.end_us - found.begin_us) / US_PER_S)})"
    parts = [f"\n{comparison_text(one)}" for one in found.symbols.values()]
    return "\n".join([f"{found.symbol}, one account, {span}", *lines, *parts])


def account_comparison_page(found: AccountComparison, accounts: Sequence[Parts]) -> str:
    names = [f"{run.kind} {run.run_id}" for run in found.runs]
    quote = escape(assets_of(next(iter(found.symbols)))[1] or "the quote asset")
    rows = [[escape(cell) for cell in row] for row in _rows(found)]
    body = [
        header(found.symbol, "one account", escape(f"{iso(found.begin_us)} – {iso(found.end_us)}")),
        notes(found.notes),
        card("PnL of the quoting", f"Of all symbols, in {quote}.", zoom_bar() + chart(_figure(found, accounts))),
        card("The account", f"Sums over the symbols; money in {quote}.", grid(["", *map(escape, names)], rows)),
    ]
    for symbol, one in found.symbols.items():
        body += [f"<h2>{escape(symbol)}</h2>", *comparison_cards(one, [account[symbol] for account in accounts])]
    return document(f"{found.symbol} · comparison", body)


def _figure(found: AccountComparison, accounts: Sequence[Parts]) -> Figure:
    traces = []
    for run, account, colour in zip(found.runs, accounts, SERIES, strict=False):
        columns = account_columns([account[symbol].columns for symbol in found.symbols])
        us, pnl = columns.state["recv_us"], columns.state["equity"]
        inside = (us >= found.begin_us) & (us <= found.end_us) & ~np.isnan(pnl)
        traces.append(step(escape(f"{run.kind} {run.run_id}"), us[inside], pnl[inside] - pnl[inside][:1], colour))
    return figure_of(traces, time_axis(found.begin_us, found.end_us), 240)
