from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.base.knobs import REQUIRED, Knob, day_list, knobs, shown
from mm.cli.task_knobs import GROUPS
from mm.clock import next_day, parse_day
from mm.errors import UsageError
from mm.play import knobs as c

EVERY = [one for group in GROUPS for one in knobs(group)]
BY_NAME = {one.name: one for one in EVERY}


def read(name: str, text: str):
    return BY_NAME[name].read(text)


def test_no_two_knobs_share_a_name_or_a_flag():
    """A name means the same knob in the whole project."""
    assert len({knob.name for knob in EVERY}) == len({knob.flag for knob in EVERY}) == len(EVERY)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_every_default_passes_its_own_check(one: Knob):
    """The default shown in the help can be typed."""
    if one.default not in (REQUIRED, None):
        assert one.read(shown(one.default)) == one.default
    assert one.help.endswith(".")


def test_core_document_flags_are_unchanged():
    """The commands printed there work letter for letter."""
    flags = {BY_NAME[name].flag for name in ("calib_method", "calib_deltas", "calib_dwell_ms", "fit_method")}
    assert flags == {"--method", "--deltas", "--dwell-ms", "--fit-method"}


def test_knobs_that_do_not_change_a_result_are_listed():
    """Two runs that differ only in these have the same digest."""
    not_relevant = {knob.name for knob in EVERY if not knob.matters}
    places = {"data_root", "out_root", "out_dir", "log_root", "fill_params_file", "queue_exponent_file", "save_path"}
    places.add("stress_moves")  # what is on record; the outputs have what came of it
    places |= {
        "ws_url",
        "rest_url",
        "fetch_url",
        "plotlyjs",
        "bybit_book_archive",
        "bybit_trades_archive",
        "bybit_rest",
    }
    execution = {
        "jobs",
        "cluster",
        "object_store",
        "reuse_points",
        "keep_runs",
        "max_download_mb",
        "symbols_per_process",
    }
    doors = {"tokens_file", "tls_cert_file", "tls_key_file", "allowed_hosts", "plain_http"}
    from_record = {"open_held_out", "stress_moves"}  # what earlier runs left below OUT_ROOT
    assert (
        not_relevant
        == places | from_record | execution | {"log_level", "run_id", "metrics_port", "metrics_host", "trust"} | doors
    )


def test_symbol_is_accepted_in_any_case():
    """The exchange's streams use lower case, its REST API upper case."""
    assert read("symbol", "btcusdt") == "BTCUSDT"
    for text in ("../x", "BTC/USDT", "", "a b", "-BTCUSDT", "--day"):
        with pytest.raises(UsageError, match="a symbol such as BTCUSDT"):
            read("symbol", text)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("20251216", ("20251216",)),
        ("20251216,20251218", ("20251216", "20251218")),
        ("20251230:20260102", ("20251230", "20251231", "20260101", "20260102")),
        ("20251216:20251216", ("20251216",)),
        ("2025-12-16", ("20251216",)),
    ],
)
def test_days_are_one_day_a_list_or_a_range(text, days):
    """Both ends of a range are included."""
    assert day_list(text) == days


@pytest.mark.parametrize(
    "text",
    ["2025-13-16", "20251316", "", "20251217,20251216", "20251216,20251216", "20251218:20251216", "20251216:", "1:2:3"],
)
def test_invalid_days_are_rejected(text):
    """A list out of order would carry inventory backwards."""
    with pytest.raises(UsageError, match=r"^day was .*YYYYMMDD"):
        read("day", text)


@pytest.mark.parametrize("text", ["20240732", "20250229", "20251216:20251301"])
def test_day_outside_the_calendar_is_named_in_the_error(text):
    """The messages of a date parser do not mention days."""
    with pytest.raises(UsageError, match=r"'\d{8}' is not a date of the calendar"):
        read("day", text)


def test_range_is_limited_to_ten_years():
    """A typing error in the year must not start a million days."""
    with pytest.raises(UsageError, match="at most 3660 days apart"):
        read("day", "20251216:99991216")


@given(st.dates(min_value=parse_day("20000101"), max_value=parse_day("20900101")), st.integers(0, 400))
def test_range_contains_every_day_between_its_ends(first, count):
    """No day is skipped at the end of a month or a year."""
    days = [first.strftime("%Y%m%d")]
    for _ in range(count):
        days.append(next_day(days[-1]))
    assert list(day_list(f"{days[0]}:{days[-1]}")) == days


def test_label_of_several_days_is_first_and_last():
    """The folder of a range is <FIRST>-<LAST>."""
    assert c.Day(symbol="X", day="20251216").label() == "20251216"
    assert c.Day(symbol="X", day="20251216:20251218").label() == "20251216-20251218"
    assert c.Day(symbol="X", day="20251216", data_root=Path("d")).folder("20251216") == Path("d/X/20251216")


def test_params_file_and_params_json_together_are_rejected():
    """Otherwise one of them would silently take precedence."""
    with pytest.raises(UsageError, match=r"fill_params_file 'f\.json' and fill_params_json"):
        c.Models(fill_params_file=Path("f.json"), fill_params_json='{"A": 1}')


def test_params_are_parsed_from_json():
    """Without JSON there are no parameters."""
    models = c.Models(fill_params_json='{"A": 1}')
    assert (models.fill_params(), models.quote_params()) == ({"A": 1}, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("order_latency_ms", "-1"),
        ("cancel_latency_ms", "inf"),
        ("requote_interval_ms", "0"),
        ("tick_size", "0"),
        ("quote_qty", "-1"),
        ("seed", "-1"),
        ("min_usable_deltas", "1"),
        ("run_id", "../up"),
        ("run_id", "x.partial"),
        ("run_id", ".hidden"),
        ("window_start", "24:00"),
        ("window_tz", "Berlin"),
        ("ws_url", "wss://stream.binance.com:9443/ws"),
        ("rest_url", "ftp://host"),
        ("fill_model", "my model"),
        ("top_n", "-1"),
    ],
)
def test_value_out_of_range_is_rejected(name, text):
    """A nonsensical value is an error before anything runs."""
    with pytest.raises(UsageError, match=f"^{name} was '{text}'"):
        read(name, text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("initial_inventory", "-5.50", "-5.5"),
        ("maker_fee_rate", "-0.0001", "-0.0001"),
        ("order_latency_ms", "0.25", 0.25),
        ("window_start", "always", "always"),
        ("window_end", "24:00", "24:00"),
        ("ws_url", "ws://127.0.0.1:8080/", "ws://127.0.0.1:8080"),
        ("fill_model", "my.models:Mine", "my.models:Mine"),
        ("log_level", "error", "ERROR"),
        ("ws_pair", "1", True),
    ],
)
def test_value_in_range_is_kept(name, text, value):
    """Fractions, rebates and short positions are valid."""
    assert read(name, text) == value
