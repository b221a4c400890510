"""Backtest: every knob of ``mm backtest`` as a control, progress and result; grids with their ranking."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import polars as pl
import streamlit as st

from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.verdict import words
from mm.backtest.run_terms import of_all_legs, quoting_of
from mm.backtest.summary_text import bounds_text, sign_of_mean
from mm.base.doors import TRADE
from mm.base.knobs import REQUIRED, Knob, shown
from mm.base.numbers import number, probability, signed
from mm.cli.frame import command_named, known_knobs
from mm.cli.options import KnobOption
from mm.dashboard import gate
from mm.dashboard.charts import draw
from mm.dashboard.jobs import StartedCommand, words_of
from mm.dashboard.sources import Folders, label_of, one_line
from mm.errors import UsageError, said_by
from mm.instrument import assets_of
from mm.report.figures import heat
from mm.runs.find import FITS, LAST

PLACED = ("data_root", "out_root", "out_dir", "log_root", "log_level")  # the dashboard sets the folders itself
MODELS = {"quote_model": ("quote", "quote_params_json"), "fill_model": ("fill", "fill_params_json")}
POLL_S = 0.5
COLUMNS = 4
GRID_HELP = "One axis per line, such as GAMMA=0.01,0.1,1"


def show(folders: Folders) -> None:
    st.title("Backtest")
    backtest, sweep = command_named("backtest"), command_named("sweep")
    options = [param for param in backtest.params if isinstance(param, KnobOption) and param.knob.name not in PLACED]
    texts = _controls(options, folders)
    first, second, _ = st.columns([1, 1, 2])
    if first.button("Run backtest", type="primary", width="stretch"):
        with one_line():
            gate.need(TRADE)
            _start("backtest", texts, known_knobs(backtest), folders)
    with st.expander("A grid of backtests"):
        ranked = {knob.name: knob for knob in known_knobs(sweep)}["rank_by"]
        grid = st.text_area("Grid", key="sweep grid", help=GRID_HELP, placeholder="GAMMA=0.01,0.1,1", height=80)
        rank_by = st.selectbox("Ranked by", ranked.reader.words, key="sweep rank_by", help=ranked.help)
        if st.button("Run sweep"):
            with one_line():
                gate.need(TRADE)
                axes = ";".join(line.strip() for line in grid.splitlines() if line.strip())
                _start("sweep", {**texts, "grid": axes, "rank_by": rank_by}, known_knobs(sweep), folders)
    if second.button("Stop", disabled=not _running(), width="stretch") and _running():
        with one_line():
            gate.need(TRADE)
            st.session_state["job"].end()
    if "job" in st.session_state:
        _follow(folders)
    _grid(folders)


def _running() -> bool:
    return "job" in st.session_state and st.session_state["job"].running


# The form


def _controls(options: Sequence[KnobOption], folders: Folders) -> dict[str, str]:
    texts: dict[str, str] = {}
    common = [option for option in options if option.common and option.knob.name not in (*MODELS, *_params())]
    texts |= _row([option.knob for option in common], folders, texts)
    named = {option.knob.name: option.knob for option in options}
    for (name, (kind, params)), column in zip(MODELS.items(), st.columns(2), strict=True):
        with column:
            texts |= _model(named[name], named[params], kind)
    rest = [option for option in options if not option.common and option.knob.name not in (*MODELS, *_params())]
    for title in dict.fromkeys(option.heading for option in rest):
        with st.expander(title):
            texts |= _row([option.knob for option in rest if option.heading == title], folders, texts)
    return {name: text for name, text in texts.items() if text}


def _params() -> list[str]:
    return [params for _, params in MODELS.values()]


def _row(knobs: Sequence[Knob], folders: Folders, before: Mapping[str, str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for place in range(0, len(knobs), COLUMNS):
        for knob, column in zip(knobs[place : place + COLUMNS], st.columns(COLUMNS), strict=False):
            with column:
                texts[knob.name] = _control(knob, _words(knob, folders, {**before, **texts}))
    return texts


def _words(knob: Knob, folders: Folders, texts: Mapping[str, str]) -> list[str]:
    if knob.name == "symbol":
        return folders.symbols()
    if knob.name == "day":
        return folders.days(texts.get("symbol", "").upper())
    if knob.name == "fill_params_file":
        runs = folders.menu(*FITS).items()
        files = {str(run.folder): str(run.folder / FITS[run.manifest["kind"]]) for _, run in runs}
        return [LAST, *(files.get(key, key) for key, _ in runs)]
    return list(knob.reader.words)


def _control(knob: Knob, words: Sequence[str]) -> str:
    key, free = f"knob {knob.name}", not knob.reader.words
    if key not in st.session_state and (selected := st.query_params.get(knob.name)):
        st.session_state[key] = selected
    default = "" if knob.default in (None, REQUIRED) else shown(knob.default)
    placeholder = "required" if knob.default is REQUIRED else default
    if not words:
        return st.text_input(_label(knob), key=key, placeholder=placeholder, help=f"{knob.help} [{knob.variable}]")
    here = st.session_state.get(key)
    choices = [*words, here] if here and here not in words else words
    choice = st.selectbox(
        _label(knob),
        choices,
        index=0 if knob.name == "symbol" and words else None,
        key=key,
        placeholder=placeholder or "–",
        accept_new_options=free,
        help=f"{knob.help} [{knob.variable}]",
    )
    return choice or ""


def _label(knob: Knob) -> str:
    return (knob.alias or knob.flag).removeprefix("--")


def _model(knob: Knob, given: Knob, kind: str) -> dict[str, str]:
    models = {model["name"]: model for model in _models() if model["kind"] == kind}
    name = _control(knob, list(models))
    model = models.get(name or str(knob.default))
    with st.expander(f"Parameters of {name or knob.default}"):
        if model is None or given.name in st.query_params:
            return {knob.name: name, given.name: _control(given, ())}
        st.caption(model["text"])
        values = {}
        for place in range(0, len(model["parameters"]), COLUMNS // 2):
            rows = model["parameters"][place : place + COLUMNS // 2]
            for row, column in zip(rows, st.columns(COLUMNS // 2), strict=False):
                unit = f", {row['unit']}" if row["unit"] else ""
                placeholder = "required" if row["required"] else "" if row["default"] is None else shown(row["default"])
                key = f"parameter {model['name']} {row['name']}"
                text = column.text_input(row["name"] + unit, key=key, placeholder=placeholder, help=row["meaning"])
                if text.strip():
                    values[row["name"]] = _json_value(text.strip())
    return {knob.name: name, given.name: json.dumps(values) if values else ""}


def _json_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@st.cache_data(show_spinner="Reading the list of models …")
def _models() -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "mm", "models", "--json"]
    done = subprocess.run(words, capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=60)
    models: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return models


# The run


def _start(command: str, texts: Mapping[str, str], knobs: Sequence[Knob], folders: Folders) -> None:
    if _running():
        raise UsageError(f"{st.session_state['job'].name} is still running; wait for it, or stop it")
    placed = {"data_root": str(folders.data_root), "out_root": str(folders.out_root)}
    labels = {knob.name: _label(knob) for knob in knobs}
    with said_by(lambda name: labels.get(name, name)):
        words = words_of(command, {**texts, **placed}, knobs)
    st.session_state["job"] = StartedCommand(words, f"{command} of {texts['symbol']} {texts['day']}")


def _follow(folders: Folders) -> None:
    job: StartedCommand = st.session_state["job"]

    @st.fragment(run_every=POLL_S if job.running else None)
    def progress() -> None:
        if job.running:
            doing, share = job.share
            st.progress(share, f"{job.name}: {doing}")
            st.code(job.line, language="bash")
        elif st.session_state.get("drawn") != id(job):
            st.session_state["drawn"] = id(job)
            folders.list_again()
            st.rerun()

    progress()
    if job.running:
        return
    st.code(job.line, language="bash")
    folder = job.folder()
    if job.code:
        st.error(f"Exit code {job.code}: {job.error or 'no reason given'}", icon=":material/error:")
    if folder is not None:
        here = folder.resolve()
        names = (key for key, run in folders.menu().items() if run.folder.resolve() == here)
        _result(job.answer(), next(names, str(folder)))


def _result(answer: Mapping[str, Any], name: str) -> None:
    if "rows" in answer:
        st.success(f"Sweep {name}: {len(answer['rows'])} points, below.")
        st.session_state["sweep shown"] = name
        return
    pnl, fills, drawdown, link = st.columns(4, vertical_alignment="center")
    pnl.metric("PnL of the quoting", signed(quoting_of(answer)), help=sign_of_mean(Summary.read(answer)))
    pnl.caption(sign_of_mean(Summary.read(answer)))
    fills.metric("Fills", f"{answer.get('n_fills', 0):,}")
    drawdown.metric("Max drawdown", number(of_all_legs(answer).get("max_drawdown")))
    link.markdown(f"[Open the run {name}](/runs?run={quote(name)})")


# Grids


def _grid(folders: Folders) -> None:
    """Show the best point with its deflated figure, the ranking, and a heat map over two axes."""
    sweeps = folders.menu("sweep")
    st.subheader("Grids", anchor=False)
    if not sweeps:
        st.caption(f"No sweeps below {folders.out_root}.")
        return
    names = list(sweeps)
    selected = (
        st.session_state.pop("sweep shown", None) or st.session_state.get("sweep") or st.query_params.get("sweep")
    )
    selected = folders.choice(selected, sweeps)
    st.session_state["sweep"] = selected if selected in names else names[0]
    name = st.selectbox("Sweep", names, key="sweep", format_func=lambda run_id: label_of(sweeps[run_id]))
    with one_line():
        content = sweeps[name].sweep
        rows = content["rows"]
        _best(content)
        axes = [axis["name"] for axis in content["axes"]]
        kept = [
            *axes,
            "status",
            "pnl_lower95",
            "tied",
            "pnl_quoting",
            "pnl_hold",
            "max_drawdown",
            "n_fills",
            "fill_ratio",
        ]
        frame = pl.DataFrame(
            [
                {"rank": row.get("rank"), "point": row.get("point"), **{column: row.get(column) for column in kept}}
                for row in rows
            ],
            infer_schema_length=None,
        )
        left, right = st.columns(2)
        left.dataframe(frame, hide_index=True, height=360)
        with right:
            _heat_map(
                rows, {axis["name"]: [str(value) for value in axis["values"]] for axis in content["axes"]}, content
            )


MONEY = ("pnl_lower95", "pnl_quoting", "max_drawdown")  # ranks in the quote asset


def _best(content: Mapping[str, Any]) -> None:
    best = content.get("best")
    if not best:
        st.warning("No point of this grid has a result; see the status of each.")
        return
    rank_by, asset = content["rank_by"], assets_of(content.get("symbol", ""))[1]
    unit = f", {asset}" if asset else ""
    figure, deflated, pnl, trials = st.columns(4)
    if rank_by == "pnl_lower95":
        allowed = "Allows for the choice and for losses not seen yet; its own, which does not, is {}."
        own = number(best.get(rank_by), 4)
        figure.metric(f"Bound of the chosen{unit}", number(best.get("pnl_lower95_chosen"), 4), help=allowed.format(own))
    else:
        figure.metric(f"Best {rank_by}{unit}", number(best.get(rank_by), 4))
    why = "Probability that the best is better than the best of as many without skill (deflated Sharpe ratio)."
    deflated.metric("Deflated Sharpe", probability(content.get("deflated_sharpe")), help=why)
    pnl.metric("Its quoting PnL" + unit, signed(quoting_of(best)))
    independent = number(content.get("independent_trials"), 2)
    trials.metric(
        "Trials",
        content.get("n_trials", content.get("trials")),
        help=f"Per fill assumption; {independent} independent ones.",
    )
    st.caption(f"Its sum is {words(best.get('verdict'), best.get('n_days', 1))}")
    if said := bounds_text(Summary.read({**best, "quote_asset": asset})):
        st.caption(f"Its bounds: {said}")
    st.code(best["command"], language="bash")
    for line in content.get("warnings", []):
        st.caption(line)


def _heat_map(rows: Sequence[Mapping[str, Any]], values: Mapping[str, list[str]], content: Mapping[str, Any]) -> None:
    rank_by, axes = content["rank_by"], list(values)
    if not axes:
        return
    first, second = st.columns(2)
    across = first.selectbox("Across", axes, key=f"across {axes}")
    others = [axis for axis in axes if axis != across]
    up = second.selectbox("Up", others, key=f"up {axes} {across}") if others else None
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:  # the best first
        place = (str(row.get(across)), str(row.get(up)) if up else "")
        if isinstance(row.get(rank_by), int | float):
            value = {"across": place[0], "up": place[1], "value": float(row[rank_by]), "point": str(row["point"])}
            cells.setdefault(place, value)
    if not cells:
        st.caption(f"No point has a {rank_by}.")
        return
    down = values[up] if up else [""]
    table = [
        [cell["value"] if (cell := cells.get((column, row))) else None for column in values[across]] for row in down
    ]
    draw(heat((across, values[across]), (up or "", down), table))
