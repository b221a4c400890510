"""The account's own commission rates at the door of a trade: used, said, followed; rebates in every output."""

import json
import re
from decimal import Decimal

import pytest
from trading_box import Venue, ended
from usdm_box import contract_box

from serving import serving

UNSET = {"MAKER_FEE_RATE": "0.001", "TAKER_FEE_RATE": "0.001"}
"""The defaults, which is what a knob is that was not set."""
TRADED = 2


def fees(box, maker, taker):
    box.post("/sim/fees", json.dumps({"maker": maker, "taker": taker}))


def traded(box, **variables):
    """Trade until there are some fills, and end; return what was logged."""
    with box.trader(**variables) as trader:
        box.filled(TRADED, trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    return text


def knobs(box):
    return json.loads((box.folders()[-1] / "run_manifest.json").read_text())["knobs"]


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with contract_box(tmp_path_factory.mktemp("fees")) as found:
        yield found


def test_account_of_contracts_has_its_own_rates_and_the_quotes_of_its_backtest(box):
    """Nothing was set: the run's fees are the account's; the model quotes by what it was given, as in its backtest."""
    params = {"A": 1.0, "k": 0.5, "adverse_ticks": 0.0}
    text = traded(box, QUOTE_MODEL="expected_value", QUOTE_PARAMS_JSON=json.dumps(params), **UNSET)
    assert "fee_differs" not in text
    shown = knobs(box)
    assert {name: Decimal(shown[f"{name}_fee_rate"]["value"]) for name in ("maker", "taker")} == {
        "maker": Decimal("0.0002"),
        "taker": Decimal("0.0005"),
    }
    assert {shown[name]["source"] for name in ("maker_fee_rate", "taker_fee_rate")} == {"account"}
    assert json.loads(shown["quote_params_json"]["value"]) == params


def test_configured_fee_that_differs_is_said_and_kept(box):
    """The other one is equal, and nothing is said of it."""
    text = traded(box, MAKER_FEE_RATE="0.0003", TAKER_FEE_RATE="0.0005")
    (line,) = re.findall(r".*fee_differs.*", text)
    assert "MAKER_FEE_RATE" in line
    assert "0.0003" in line
    assert "0.0002" in line
    assert knobs(box)["maker_fee_rate"] == {"value": "0.0003", "source": "environment"}


@pytest.mark.slow
def test_rebate_is_income_everywhere(tmp_path):
    """A maker is paid .01 %: in the exchange's books, the ledger, the run's fees, and the wallet."""
    with contract_box(tmp_path) as box:
        fees(box, "-0.0001", "0.0004")
        text = traded(box, **UNSET)
        assert "fee_rates_unknown" not in text
        box.check_books()
        trades = box.account()["trades"]
        paid = sum(Decimal(one["commission"]) for one in trades)
        assert paid < 0
        assert abs(paid + sum(Decimal(one["quoteQty"]) for one in trades) / 10_000) < Decimal("1e-6")
        summary = json.loads((box.folders()[-1] / "summary.json").read_text())
        assert abs(Decimal(str(summary["fees"])) - paid) < Decimal("1e-6")
        assert Decimal(knobs(box)["maker_fee_rate"]["value"]) == Decimal("-0.0001")
        for row in box.rows("fill"):
            assert Decimal(row["commission"]) < 0


def logged(box):
    return "".join(path.read_text() for path in box.folder.glob("out/logs/**/run.log"))


@pytest.mark.slow
def test_rates_that_change_are_said_at_the_next_reconcile(tmp_path):
    """Another tier of the account, in the middle of a trade."""
    with contract_box(tmp_path) as box, box.trader(RECONCILE_INTERVAL_S="5", **UNSET) as trader:
        box.until(lambda: box.account()["openOrders"], "orders", process=trader)
        fees(box, "0.0001", "0.0005")
        box.until(lambda: "fee_rates_changed" in logged(box), "the line", process=trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    assert re.search(r"fee_rates_changed.*0\.0002 to 0\.0001", text), text


@pytest.mark.parametrize("maker", ["0.00075", "-0.00005"])
def test_spot_asks_for_its_rates_too(tmp_path, maker):
    """A rebate is paid in what a fill receives."""
    with serving("--scenario", "zero_intelligence", "--seed", "7") as (_, ready):
        box = Venue(tmp_path, ready)
        fees(box, maker, "0.001")
        strategy = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}', "QUOTE_QTY": "0.2"}
        traded(box, **strategy)
        assert Decimal(knobs(box)["maker_fee_rate"]["value"]) == Decimal(maker)
        for row in box.rows("fill"):
            assert (Decimal(row["commission"]) < 0) == (Decimal(maker) < 0)
