"""`mm fit` on tables: known results, the priority of statuses, and malformed tables."""

import json
import math
from pathlib import Path

import pytest
from lab import Done, Lab, mm

pytestmark = pytest.mark.slow  # a process for each case

HEAD = "delta_ticks,exposure_s,fills\n"
FIVE = HEAD + "1,1000,62\n2,1000,45\n3,1000,38\n5,1000,22\n8,1000,9\n"


def fitted(lab: Lab, name: str, table: str, *flags: str) -> Done:
    def make(folder: Path) -> None:
        (folder / "points.csv").write_bytes(table.encode())
        done = mm("fit", "points.csv", "--json", *flags, cwd=folder)
        (folder / "done.json").write_text(json.dumps([done.code, done.out, done.err]))

    folder = lab.once(f"fit/{name}", make)
    return Done(*json.loads((folder / "done.json").read_text()), folder)


def near(value: float, expected: float, tolerance: float = 1e-5) -> bool:
    return math.isclose(value, expected, rel_tol=tolerance)


def test_fit_of_five_buckets_matches_reference_values(lab: Lab) -> None:
    """The reference case of the literature: A .0804067, k .265780, se .041437, deviance .257623."""
    fit = fitted(lab, "five", FIVE).last
    assert near(fit["A"], 0.0804067)
    assert near(fit["k"], 0.265780)
    assert near(fit["se_k"], 0.041437, 1e-4)
    assert near(fit["deviance"], 0.257623)
    assert (fit["df_resid"], fit["n_fills"], fit["status"], fit["usable"]) == (3, 176, "ok", True)
    assert near(fit["logA"], math.log(fit["A"]), 1e-9)
    means = {delta: 1000 * fit["A"] * math.exp(-fit["k"] * delta) for delta in (1, 2, 3, 5, 8)}
    assert near(sum(means.values()), 176, 1e-9)
    assert near(sum(delta * mean for delta, mean in means.items()), 62 + 90 + 114 + 110 + 72, 1e-9)
    pivot = fit["pivot_delta"]
    assert near(pivot, sum(delta * mean for delta, mean in means.items()) / 176, 1e-9)
    assert near(fit["lambda_at_pivot"], fit["A"] * math.exp(-fit["k"] * pivot), 1e-9)
    assert near(fit["se_log_lambda_at_pivot"], 1 / math.sqrt(176), 1e-9)
    assert near(fit["pearson_chi2"], sum((n - means[d]) ** 2 / means[d] for d, n in FIVE_COUNTS), 1e-9)


FIVE_COUNTS = [(1, 62), (2, 45), (3, 38), (5, 22), (8, 9)]


def test_bucket_without_fills_is_not_dropped(lab: Lab) -> None:
    """A bucket with zero fills at 13 ticks makes k larger; dropping it would bias the fit."""
    assert fitted(lab, "zero", f"{FIVE}13,1000,0\n").last["k"] > fitted(lab, "five", FIVE).last["k"] + 0.01


def test_rows_of_equal_distance_and_both_sides_are_summed(lab: Lab) -> None:
    """The same fills, split over sides and rows with reordered columns, give the same A, k and deviance."""
    split = "fills,side,delta_ticks,exposure_s\n" + "".join(
        f"{n // 2},bid,{d},400\n{n - n // 2},ask,{d},600\n" for d, n in reversed(FIVE_COUNTS)
    )
    one, two = fitted(lab, "five", FIVE).last, fitted(lab, "split", split).last
    for key in ("A", "k", "se_k", "deviance", "df_resid", "n_fills", "exposure_s"):
        assert near(one[key], two[key], 1e-9), key
    assert two["sides"]["bid"]["n_fills"] + two["sides"]["ask"]["n_fills"] == 176


#: Unusable tables: the table, the status with the highest priority, and whether a finite maximum exists.
UNUSABLE = {
    "no fills": (f"{HEAD}1,1000,0\n2,1000,0\n3,1000,0\n", "no_fills", False),
    "two distances": (f"{HEAD}1,1000,50\n2,1000,30\n", "too_few_deltas", True),
    "nearest only": (f"{HEAD}1,1000,30\n2,1000,0\n3,1000,0\n", "boundary_k_pos", False),
    "farthest only": (f"{HEAD}1,1000,0\n2,1000,0\n3,1000,30\n", "boundary_k_neg", False),
    "rising": (f"{HEAD}1,1000,10\n2,1000,20\n3,1000,50\n", "k_nonpositive", True),
    "rising at two distances": (f"{HEAD}1,1000,10\n2,1000,30\n", "too_few_deltas", True),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_table_exits_4_with_status(lab: Lab, name: str) -> None:
    """Estimates are null, `mle` has values if a finite maximum exists, and the output is printed."""
    table, status, finite = UNUSABLE[name]
    done = fitted(lab, name, table)
    assert done.code == 4
    assert len(done.err.splitlines()) == 1
    fit = done.last
    assert (fit["status"], fit["usable"]) == (status, False)
    assert fit["reason"]
    for key in ("A", "k", "logA", "se_logA", "se_k", "cov_logA_k", "ci95_A", "ci95_k"):
        assert fit[key] is None, key
    assert (fit["mle"]["k"] is not None) == finite


def test_few_fills_and_poor_fit_are_usable_with_warning(lab: Lab) -> None:
    """Real flow is rarely exactly exponential: exit 0, with a status and a warning; without a decay, exit 4."""
    few = fitted(lab, "few", f"{HEAD}1,100,5\n2,100,3\n3,100,1\n")
    poor = fitted(lab, "poor", f"{HEAD}1,1000,500\n2,1000,10\n3,1000,400\n4,1000,100\n")
    flat = fitted(lab, "flat", f"{HEAD}1,100,9\n2,100,0\n3,100,0\n4,100,9\n")
    for done, status, code in ((few, "few_fills", 0), (poor, "poor_fit", 0), (flat, "k_nonpositive", 4)):
        assert (done.code, done.last["status"], done.last["usable"]) == (code, status, code == 0)
        assert bool(done.last["warnings"]) == (code == 0)


MALFORMED = {
    "no such column": ("delta_ticks,fills\n1,2\n", ":1:", "exposure_s"),
    "words": (f"{HEAD}1,abc,2\n", ":2:", "abc"),
    "negative seconds": (f"{HEAD}1,10,1\n2,-5,2\n3,10,1\n", ":3:", "-5"),
    "fills in no time": (f"{HEAD}1,0,5\n2,10,3\n", ":2:", "0"),
    "nan": (f"{HEAD}1,nan,2\n", ":2:", "nan"),
    "short row": (f"{HEAD}1,10\n", ":2:", "2"),
    "unknown side": ("delta_ticks,side,exposure_s,fills\n1,left,10,2\n", ":2:", "left"),
    "empty": ("", "points.csv", "delta_ticks"),
    "semicolons": (FIVE.replace(",", ";"), ":1:", "delta_ticks"),
    "empty cell": (f"{HEAD}1,,2\n", ":2:", "exposure_s"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_table_exits_3_with_row(lab: Lab, name: str) -> None:
    """Exit 3, one line with file, line and value; nothing on stdout."""
    table, where, value = MALFORMED[name]
    done = fitted(lab, f"bad {name}", table)
    assert done.code == 3, done
    (line,) = done.err.splitlines()
    assert "points.csv" in line
    assert where in line
    assert value in line
    assert done.out == ""


def test_limits_apply_only_on_request(lab: Lab) -> None:
    """Contract §5: `mm fit` applies minimum exposure and maximum distance only on request."""
    short = f"{HEAD}1,4,20\n2,4,12\n3,4,6\n60,4,0\n"
    free, capped = fitted(lab, "free", short), fitted(lab, "asked", short, "--max-delta-ticks", "50")
    assert free.last["max_delta_ticks"] == 60
    assert capped.last["max_delta_ticks"] == 3
    limited = fitted(lab, "limited", short, "--min-exposure-s", "5")
    assert limited.code == 4
    assert limited.last["status"] in {"too_little_exposure", "too_few_deltas"}


def test_firth_and_log_linear_estimators_match_their_definitions(lab: Lab) -> None:
    """Firth shrinks k; log_linear is the weighted line through ln(n/T) without empty buckets."""
    mle = fitted(lab, "five", FIVE).last
    firth = fitted(lab, "firth", FIVE, "--fit-method", "poisson_firth").last
    line = fitted(lab, "line", FIVE, "--fit-method", "log_linear").last
    assert firth["k"] < mle["k"]
    assert near(firth["k"], mle["firth"]["k"], 1e-9)
    points = [(d, math.log(n / 1000), n) for d, n in FIVE_COUNTS]
    total = sum(n for _, _, n in points)
    mean_d, mean_y = (sum(n * (d, y)[which] for d, y, n in points) / total for which in (0, 1))
    slope = sum(n * (d - mean_d) * (y - mean_y) for d, y, n in points) / sum(
        n * (d - mean_d) ** 2 for d, _, n in points
    )
    assert near(line["k"], -slope, 1e-9)
    assert near(line["A"], math.exp(mean_y - slope * mean_d), 1e-9)
    assert near(mle["log_linear"]["k"], -slope, 1e-9)
    assert (firth["fit_method"], line["fit_method"]) == ("poisson_firth", "log_linear")
