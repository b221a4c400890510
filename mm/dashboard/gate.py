"""The dashboard's gate: a visitor of a door with tokens gives one, and actions need its roles."""

import streamlit as st

from mm.base.doors import READ, Door
from mm.errors import SafetyError

_TOKEN = "token of the visitor"
_HEADERS = ("host", "origin", "authorization")
_doors: list[Door] = []  # of this process; streamlit runs its script anew for each visitor, and keeps modules


def guard(door: Door) -> None:
    _doors[:] = [door]


def enter() -> None:
    given = token()
    refusal = _door().refusal(READ, _headers(), str(st.context.ip_address or ""), "dashboard")
    if refusal is None:
        return
    st.title("mm")
    if given or refusal.status != 401:
        st.error(refusal.reason)
    if refusal.status == 401:
        text = st.text_input("Token", type="password", autocomplete="off", help="mm token add NAME --role read")
        if text and text != given:
            st.session_state[_TOKEN] = text
            st.rerun()
    st.stop()


def need(role: str) -> None:
    refusal = _door().refusal(role, _headers(), str(st.context.ip_address or ""), "dashboard")
    if refusal is not None:
        raise SafetyError(refusal.reason)


def token() -> str:
    return str(st.session_state.get(_TOKEN, ""))


def _door() -> Door:
    return _doors[0] if _doors else Door("127.0.0.1")


def _headers() -> list[tuple[bytes, bytes]]:
    sent = [(name.lower(), value) for name, value in st.context.headers.items() if name.lower() in _HEADERS]
    own = [("authorization", f"Bearer {text}")] if (text := token()) else []
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in (*sent, *own)]
