"""Notes on a page: ranked by what a reader does with them, each once."""

from drawn_runs import page_of, result_of
from journals import seeded
from mm.report.frame import notes
from mm.report.ranks import ACT, DETAIL, KNOW, rank_of
from pages import read


def test_note_with_a_way_out_is_to_act_on():
    """Others are to know; why a number is null, or time excluded, is a detail."""
    ranks = {
        "fee_not_earned: the fees are more than the spread; set MAKER_FEE_RATE to your account's rate": ACT,
        "fit_in_sample: the PnL is in-sample; give a fit of earlier days, or run mm walkforward": ACT,
        "3 fills had no valid book; the PnL marks them at the last valid mid": KNOW,
        "no_next_move: nothing is concluded from this PnL (no verdict, interval or rank)": KNOW,
        "null: sharpe: fewer than two periods": DETAIL,
        "excluded: 20251216 08:00 to 09:00: the book was lost": DETAIL,
    }
    assert {line: rank_of(line) for line in ranks} == ranks


def test_every_note_is_shown_once():
    """Also one that is said twice, or is a warning and a detail."""
    html = notes(["a thing; set IT", "a thing; set IT", "known"], ["known", "of the fit"])
    read(f"<html><body>{html}</body></html>")
    assert [html.count(line) for line in ("a thing; set IT", "known", "of the fit")] == [1, 1, 1]
    assert html.index("What to do") < html.index("What to know") < html.index("1 detail")
    assert notes([]) == ""


def test_reason_of_a_poor_fit_is_on_the_page_once():
    """It is a note; the assumptions say what the curve is, in a sentence."""
    reason, warning = "deviance 102.7 on 3 df", "fills come in bursts"
    fit = {
        "A": 0.02,
        "k": 1.5,
        "path": "poisson_fit.json",
        "status": "poor_fit",
        "reason": reason,
        "warnings": [warning],
    }
    fit |= {"shape": "monotone", "min_delta_ticks": 0.5, "max_delta_ticks": 16.0}
    result = result_of(seeded(200), fit=fit)
    html = page_of(result)
    assert html.count(reason) == 1
    assert html.count(warning) == 1
    assert "Orders fill by a monotone curve, near λ = 0.02/s" in html
