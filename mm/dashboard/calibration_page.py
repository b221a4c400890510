"""Calibration: points, curve and intervals of a fit; A and k of a schedule over the day."""

import polars as pl
import streamlit as st

from mm.base.numbers import duration, number, significant
from mm.clock import iso
from mm.dashboard.charts import draw
from mm.dashboard.sources import Folders, label_of, one_line
from mm.report.calibration_charts import curve_figure
from mm.report.frame import fitted_interval
from mm.report.segment_charts import parameters_figure
from mm.report.walkforward import segments_of
from mm.runs.finished import RunFolder

KINDS = ("calibration", "schedule", "walkforward")


def show(folders: Folders) -> None:
    st.title("Calibration")
    runs = folders.menu(*KINDS)
    selected = folders.choice(st.query_params.get("run"), runs) or next(iter(runs), None)
    selected = st.session_state.setdefault("calibration", selected)
    if selected is None:
        st.info(f"No calibration below {folders.out_root}: create one with mm calibrate or mm schedule.")
        return
    labels = {key: label_of(run) for key, run in runs.items()}
    names = list(dict.fromkeys([selected, *runs]))
    name = st.selectbox("Run", names, key="calibration", format_func=lambda run_id: labels.get(run_id, run_id))
    with one_line():
        run = folders.run(name)
        with run.readable():
            (_fit if run.kind == "calibration" else _schedule)(run)


def _fit(run: RunFolder) -> None:
    fit, points = run.fit, run.fit.points
    tiles = (
        ("A, 1/s", number(fit.A), fitted_interval(fit, "A")),
        ("k, 1/tick", number(fit.k), fitted_interval(fit, "k")),
        ("Fills", number(fit.n_fills, 9), f"in {number(fit.exposure_s)} s of resting orders"),
        ("Status", str(fit.status), str(fit.reason or "")),
    )
    for (name, value, why), column in zip(tiles, st.columns(4), strict=True):
        column.metric(name, value)
        column.caption(why)
    st.markdown("**Intensity by distance**, fills per second of one resting order, with 95 % intervals")
    figure = curve_figure(points, fit)
    if figure is None:
        st.info("No fills at any distance, and no fit.")
    else:
        draw(figure)
    for note in fit.warnings:
        st.caption(note)


def _schedule(run: RunFolder) -> None:
    segments = run.schedule.segments
    if not segments:
        st.info("There are no segments: the day is not longer than the training window.")
        return
    sources, oldest = run.schedule.sources, run.schedule.oldest_s
    first, second, third = st.columns(3)
    first.metric("Segments", len(segments))
    second.metric("Fitted", sources.pop("fitted"))
    age = "" if oldest is None else f"; carried up to {duration(oldest)} old"
    second.caption(", ".join(f"{count} {name}" for name, count in sources.items()) + age)
    third.metric("Fills", f"{sum(segment.n_fills or 0 for segment in segments):,}")
    figure = parameters_figure(segments_of(run.schedule))
    if figure is not None:
        draw(figure)
    rows = [
        {
            "begins, UTC": iso(segment.start_us)[11:19],
            "A, 1/s": significant(segment.A),
            "k, 1/tick": significant(segment.k),
            "fills": segment.n_fills,
            "status": segment.status,
            "source": segment.source,
            "reason": segment.reason or "",
        }
        for segment in segments
    ]
    st.dataframe(pl.DataFrame(rows, infer_schema_length=None), hide_index=True)
