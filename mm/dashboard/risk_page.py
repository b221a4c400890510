"""Risk: the kill switch of each symbol, and the limits of a trader or shadow with their use."""

from typing import Any

import polars as pl
import streamlit as st

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.base.audit_chain import audit_folder
from mm.base.doors import KILL, REARM
from mm.base.knobs import REQUIRED, SYMBOL, Knob, knobs, shown
from mm.base.numbers import percent
from mm.clock import now_us
from mm.dashboard import gate, live_view
from mm.dashboard.sources import Folders, one_line
from mm.errors import DataError
from mm.live.account.kill_switch import BY_HAND, KillSwitch
from mm.live.audit.log import first_row, logs_of

REFRESH_S = 1.0
LIMITED = ("shadow", "trade")
NONE = "none"


def show(folders: Folders) -> None:
    st.title("Risk")
    symbols = _symbols(folders)
    for name in ("symbol", "metrics"):
        st.session_state.setdefault(f"risk {name}", st.query_params.get(name))
    here = st.session_state["risk symbol"]
    if here is None and symbols:
        here = st.session_state["risk symbol"] = symbols[0]
    words = [*symbols, here] if here and here not in symbols else symbols
    left, right = st.columns(2)
    symbol = left.selectbox("Symbol", words, key="risk symbol", accept_new_options=True)
    help_text = "Address of the metrics page of a shadow or a trader (METRICS_PORT)."
    metrics = right.text_input("Metrics page", key="risk metrics", placeholder="127.0.0.1:9109", help=help_text)
    if not symbol:
        st.info("There is no symbol yet: give one.")
        return
    with one_line():
        name = Knob(SYMBOL, REQUIRED, name="symbol").read(symbol)
        _switch(KillSwitch(folders.out_root, name), traded=name in _traded(folders))
        _limits(folders, name, metrics or "")


def _symbols(folders: Folders) -> list[str]:
    switches = folders.out_root / "risk"
    killed = {path.stem for path in switches.glob("*.kill")} if switches.is_dir() else set()
    return sorted({*_traded(folders), *killed, *folders.symbols()})


def _traded(folders: Folders) -> set[str]:
    logs = folders.out_root / "audit"
    symbols = {path.name for path in logs.iterdir() if path.is_dir()} if logs.is_dir() else set()
    return symbols | {str(run.manifest["symbol"]) for run in folders.runs(*LIMITED)}


def _switch(switch: KillSwitch, *, traded: bool) -> None:
    killed, wanted = switch.triggered, f"risk wanted {switch.symbol}"
    st.subheader("Kill switch", anchor=False)
    if traded or killed:
        (st.error if killed else st.success)(switch.line())
    else:
        st.info(f"{switch.symbol}: not traded here, so there is nothing to kill; after Kill no trader of it starts.")
    reason = BY_HAND
    if not killed:
        reason = st.text_input("Reason", key=f"reason {switch.symbol}", placeholder=BY_HAND).strip() or BY_HAND
    word = "Re-arm" if killed else "Kill"
    if st.button(f"{word} {switch.symbol}", type="secondary" if killed else "primary"):
        st.session_state[wanted] = word
    if st.session_state.get(wanted) != word:
        return
    effect = "it may be traded again" if killed else "a trader cancels all its orders and ends, and none starts"
    st.warning(f"{word} {switch.symbol}? After that, {effect}.")
    yes, no, _ = st.columns([1, 1, 4])
    sure = yes.button(f"Yes, {word.lower()}", width="stretch")
    if sure or no.button("No", width="stretch"):
        del st.session_state[wanted]
        if sure:
            gate.need(REARM if killed else KILL)
        if sure and killed:
            switch.rearm(BY_HAND, now_us())
        elif sure:
            _trigger(switch, reason)
        st.rerun()


def _trigger(switch: KillSwitch, reason: str) -> None:
    try:
        switch.trigger(reason, now_us())
    except OSError as error:
        raise DataError(
            f"{switch.path}: the kill switch cannot be triggered ({error.strerror}); run mm risk kill, or touch it"
        ) from error


def _limits(folders: Folders, symbol: str, metrics: str) -> None:
    st.subheader("Limits", anchor=False)
    source, values = _bounds(folders, symbol)
    st.caption(f"Bounds: {source}.")

    @st.fragment(run_every=REFRESH_S if metrics else None)
    def use() -> None:
        gate.enter()
        used: dict[str, float] = {}
        if metrics:
            with one_line():
                used = {
                    name.lower(): share
                    for name, share in live_view.metrics_of(metrics).get("mm_risk_used_ratio", {}).items()
                }
        rows = [
            {
                "limit": knob.variable,
                "bound": NONE if values.get(knob.name) is None else shown(values[knob.name]),
                "used": used.get(knob.name),
                "share": percent(used[knob.name]) if knob.name in used else "–",
                "effect": knob.help,
            }
            for knob in knobs(Risk)
        ]
        bar = st.column_config.ProgressColumn("used", min_value=0.0, max_value=1.0, format="percent")
        columns = {
            "limit": st.column_config.TextColumn(width=185),
            "used": bar,
            "effect": st.column_config.TextColumn(width=760),
        }
        schema = {
            "limit": pl.String,
            "bound": pl.String,
            "used": pl.Float64,
            "share": pl.String,
            "effect": pl.String,
        }
        table = pl.DataFrame(rows, schema=schema)
        if not metrics:
            table = table.drop("used", "share")
        st.dataframe(table, hide_index=True, column_config=columns, height="content")
        if not metrics:
            st.caption(
                "Current use requires a metrics page: start a shadow or trade with METRICS_PORT, and enter its address."
            )

    use()


def _bounds(folders: Folders, symbol: str) -> tuple[str, dict[str, Any]]:
    folder = audit_folder(folders.out_root, symbol)
    if logs := logs_of(folder) if folder.is_dir() else []:
        log = logs[-1]
        knobs_set = (first_row(log) or {}).get("knobs") or {}
        return f"the trade of {log.name}", {knob.name: _plain(knobs_set.get(knob.name)) for knob in knobs(Risk)}
    runs = [run for run in folders.runs(*LIMITED) if run.manifest["symbol"] == symbol]
    if runs:
        return f"{runs[0].manifest['kind']} {runs[0].manifest['run_id']}", {
            knob.name: runs[0].knob(knob.name) for knob in knobs(Risk)
        }
    return "defaults of mm shadow and mm trade; no finished run has others", dict(LIVE_DEFAULTS)


def _plain(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value
