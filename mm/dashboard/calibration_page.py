"""Calibration: points, curve and intervals of a fit; A and k of a schedule over the day."""

import math

import numpy as np
import polars as pl
import streamlit as st

from mm.calibration.goodness import residuals
from mm.clock import iso
from mm.dashboard import charts
from mm.dashboard.charts import Bars, Trace, Zoom
from mm.dashboard.sources import Folders, label_of, one_line
from mm.errors import BrokenFile
from mm.numbers import duration, number
from mm.report.calibration_charts import curve_area
from mm.report.curve import curves
from mm.report.frame import fitted_interval
from mm.report.svg import Plot
from mm.run_folder import RunFolder

KINDS = ("calibration", "schedule", "walkforward")
BOTH_SIDES = (("bid", 1, charts.BUY), ("ask", -1, charts.SELL))
NORMAL_95 = 1.96


def show(folders: Folders) -> None:
    """Draw the page; ``?run=RUN_ID`` chooses a calibration, a schedule or a walk-forward."""
    st.title("Calibration")
    runs = folders.menu(*KINDS)
    selected = folders.choice(st.query_params.get("run"), runs) or next(iter(runs), None)
    selected = st.session_state.setdefault("calibration", selected)
    if selected is None:
        st.info(f"No calibration below {folders.out_root}: create one with mm calibrate or mm schedule.")
        return
    labels = {key: label_of(run) for key, run in runs.items()}
    names = list(dict.fromkeys([selected, *runs]))
    name = st.selectbox("Run", names, key="calibration", format_func=lambda one: labels.get(one, one))
    with one_line():
        found = folders.run(name)
        try:
            if found.manifest["kind"] == "calibration":
                _fit(RunFolder(found))
            else:
                _schedule(RunFolder(found))
        except (LookupError, TypeError, ValueError) as error:
            why = " ".join(f"{type(error).__name__} {error}".split())
            raise BrokenFile(f"{found.folder}: not the files of a calibration ({why}); make the run again") from error


def _fit(run: RunFolder) -> None:
    """Draw the points of a fit with their exact intervals, and its curve with its band."""
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
    area = curve_area(points, fit)
    if area is None:
        st.info("No fills at any distance, and no fit.")
    else:
        st.vega_lite_chart(spec=charts.chart(_curve_layers(run, area), 380), width="stretch")
    for note in fit.warnings:
        st.caption(note)


def _curve_layers(run: RunFolder, area: Plot) -> list[charts.Spec]:
    """Return points, curve and band within the rates of *area*, since values outside would flatten them."""
    fit, points, layers, far = run.fit, run.fit.points, list[charts.Spec](), area.x[1] / 1.04
    powers = range(int(area.y[0]), int(area.y[1]) + 1)
    axis = {"title": None, "values": [10.0**power for power in powers]}
    y = charts.quantity("rate", type="log", domain=[10.0 ** powers[0], 10.0 ** powers[-1]]) | {"axis": axis}
    x = {"field": "ticks", "type": "quantitative", "axis": {"title": "ticks from the reference", "format": "~g"}}
    sides = BOTH_SIDES if points is not None and points.side.any() else (("both sides", 0, charts.SELL),)
    colours = {name: colour for name, _, colour in sides} | {"fit": charts.MAIN}
    enc = {"x": x, "y": y, "color": charts.colours(colours)}
    if points is not None:
        for name, side, _ in sides:
            rows = residuals(points, fit.A, fit.k, side)
            rate, low, high = rows.rates()
            seen = rows.fills > 0
            table = {"ticks": rows.delta_ticks, "rate": rate, "low": low, "high": high, "fills": rows.fills}
            frame = pl.DataFrame({**{key: column[seen] for key, column in table.items()}, "name": name})
            tip = [{"field": key} for key in ("name", *table)]
            bars = {**enc, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
            layers.append(charts.layer(frame, {"type": "rule", "clip": True}, bars))
            dots = {"type": "point", "filled": True, "size": 45}
            layers.append(charts.layer(frame, dots, {**enc, "tooltip": tip}))
    found, band = curves(fit, far)
    for line in found:
        frame = pl.DataFrame({"ticks": line.delta_ticks, "rate": 10**line.rate, "name": "fit"})
        dash = [4, 3] if line.kind == "dash" else [1, 0]
        layers.append(charts.layer(frame, {"type": "line", "strokeDash": dash, "strokeWidth": 1.5, "clip": True}, enc))
    if band is not None:
        frame = pl.DataFrame({"ticks": band[0], "low": 10 ** band[1], "rate": 10 ** band[2]})
        shade = {"type": "area", "opacity": 0.18, "color": charts.MAIN, "clip": True}
        layers.insert(0, charts.layer(frame, shade, {"x": x, "y": y, "y2": {"field": "low"}}))
    return layers


def _schedule(run: RunFolder) -> None:
    """Draw A and k of each segment with their naive 95 % intervals, and their source."""
    segments = run.schedule.segments
    if not segments:
        st.info("There are no segments: the day is not longer than the training window.")
        return
    zoom = Zoom(f"schedule {run.found.manifest['run_id']}", (segments[0].start_us, segments[-1].end_us))
    sources, oldest = run.schedule.sources, run.schedule.oldest_s
    first, second, third = st.columns(3)
    first.metric("Segments", len(segments))
    second.metric("Fitted", sources.pop("fitted"))
    age = "" if oldest is None else f"; carried up to {duration(oldest)} old"
    second.caption(", ".join(f"{count} {name}" for name, count in sources.items()) + age)
    third.metric("Fills", f"{sum(one.n_fills or 0 for one in segments):,}")
    zoom.bar()
    us = np.array([one.start_us for one in segments] + [segments[-1].end_us], dtype=np.int64)
    for name, unit in (("A", "1/s"), ("k", "1/tick")):
        value = np.array([math.nan if getattr(one, name) is None else getattr(one, name) for one in segments])
        off = np.array([_error(one, name) for one in segments])
        low, high = (value * np.exp(sign * off) if name == "A" else value + sign * off for sign in (-1, 1))
        traces = [Trace(f"{name}, {unit}", us, _to_end(value), charts.MAIN)]
        traces += [
            Trace(f"95 %, naive, {end}", us, _to_end(values), charts.SOFT)
            for end, values in (("low", low), ("high", high))
        ]
        carried = [one for one in segments if one.source != "fitted" and getattr(one, name) is not None]
        since, until = (
            np.array([getattr(one, end) for one in carried], dtype=np.int64) for end in ("start_us", "end_us")
        )
        held = np.array([getattr(one, name) for one in carried], dtype=np.float64)
        marks = [Bars("not fitted here", since, until, held, charts.SELL)] if carried else []
        zoom.draw(f"{name} through the day, {unit}", charts.over_time(traces, zoom.span, marks, height=200))
    rows = [
        {"begins": iso(one.start_us)[11:19], "A": one.A, "k": one.k, "fills": one.n_fills, "status": one.status,
         "source": one.source, "reason": one.reason or ""}
        for one in segments
    ]  # fmt: skip
    st.dataframe(pl.DataFrame(rows, infer_schema_length=None), hide_index=True)


def _to_end(values: charts.Floats) -> charts.Floats:
    """Return the values with the last one repeated, which is valid until the end."""
    return np.append(values, values[-1:])


def _error(segment: object, name: str) -> float:
    """Return the half-width of a segment's 95 % interval of ln A, or of k."""
    error = getattr(segment, "se_logA" if name == "A" else "se_k")
    return math.nan if error is None else NORMAL_95 * float(error)
