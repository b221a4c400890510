"""Page: the page of a run, as its folder has it."""

import streamlit as st

from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import sign_of_mean
from mm.dashboard.look import page_of, show_page
from mm.dashboard.sources import Folders, label_of, one_line
from mm.errors import DataError
from mm.runs.finished import RunFolder


def show(folders: Folders) -> None:
    runs = {key: run for key, run in folders.menu().items() if page_of(run)}
    wanted = folders.choice(st.query_params.get("run"), runs)
    if not runs and wanted is None:
        st.info(f"No run below {folders.out_root} has a page: start one on Backtest.")
        return
    name = st.session_state.setdefault("page run", wanted or next(iter(runs)))
    names = list(dict.fromkeys([name, *runs]))
    labels = {key: label_of(run) for key, run in runs.items()}
    chosen = st.selectbox("Run", names, format_func=lambda name: labels.get(name, name), key="page run")
    st.query_params["run"] = chosen
    with one_line():
        run = folders.run(chosen)
        path = page_of(run)
        if path is None:
            raise DataError(f"{run.folder} has no page; mm report {run.run_id} draws it")
        _say_what_is_known_now(run)
        show_page(path)


def _say_what_is_known_now(run: RunFolder) -> None:
    """The page is as old as the run; its verdict may allow for fewer trials than are on record."""
    now = run.now
    if now.get("verdict") and (sign := sign_of_mean(Summary.read(now))) != sign_of_mean(Summary.read(run.summary)):
        st.caption(f"Beside what is on record now: {sign}. mm report {run.run_id} draws the page again.")
