"""Strategies for simple quote models, mixtures and steps as plain data (see ``plain_quotes.py``)."""

from hypothesis import strategies as st

SKEW = {"skew_ticks": st.sampled_from([0.0, 0.25, 0.7]), "q_max": st.sampled_from([0.5, 1.0, 3.0])}
SIGMA = {"sigma": st.sampled_from([0.0, 0.4, 1.7])}
DELTA = {"delta_ticks": st.sampled_from([0.0, 0.5, 1.0, 1.3, 2.0])}


def of(name, needed, optional=None):
    return st.tuples(st.just(name), st.fixed_dictionaries(needed, optional=optional or {}))


SIMPLE = st.one_of(
    of("fixed_spread", DELTA),
    of("inventory_skew", {**DELTA, "skew_ticks": SKEW["skew_ticks"]}, {"q_max": SKEW["q_max"]}),
    of("imbalance", {**DELTA, "shift_ticks": st.sampled_from([0.0, 0.6, 2.0])}, SKEW),
    of("microprice", DELTA, SKEW),
    of(
        "adaptive_spread",
        {"least_ticks": st.sampled_from([0.0, 0.4, 1.0]), "per_sigma": st.sampled_from([0.0, 0.3, 2.0])},
        SIGMA | SKEW,
    ),
    of(
        "symmetric",
        {"k": st.sampled_from([0.4, 1.1]), "gamma": st.sampled_from([0.01, 0.3])},
        {
            "horizon_s": st.sampled_from([0.5, 3.0]),
            "mode": st.sampled_from(["rolling", "session"]),
            **SIGMA,
        },
    ),
    of(
        "expected_value",
        {"A": st.sampled_from([0.05, 1.3, 40.0]), "k": st.sampled_from([0.3, 1.1])},
        {
            "horizon_s": st.sampled_from([0.3, 7.0]),
            "adverse_ticks": st.sampled_from([-0.4, 0.0, 0.7]),
            "fee_ticks": st.sampled_from([0.0, 0.3]),
            **SKEW,
        },
    ),
)

STEP = st.one_of(
    of("inventory_bound", {"q_max": st.sampled_from([0.4, 1.0, 2.5])}),
    of("fushimi_size", {"eta": st.sampled_from([0.0, 0.3, 2.0])}),
    of("post_only", {}),
    of("least_spread", {"ticks": st.sampled_from([0.0, 1.5, 3.0])}),
    of("round_to", {"ticks": st.sampled_from([1, 2, 3])}),
    of(
        "widen",
        {"extra_ticks": st.sampled_from([0.4, 2.0]), "inventory": st.sampled_from([0.4, 1.0])},
        {"loss": st.sampled_from([0.2, 1.0]), "recover": st.sampled_from([0.0, 0.5, 1.0])},
    ),
)


def mixed(models):
    parts = st.tuples(models, st.sampled_from([0.5, 1.0, 2.0])).map(lambda drawn: (*drawn[0], drawn[1]))
    return of("mixed", {"models": st.lists(parts, min_size=1, max_size=3)})


def stepped(models):
    return of("steps", {"model": models, "steps": st.lists(STEP, min_size=1, max_size=4)})


MODELS = st.one_of(SIMPLE, st.recursive(SIMPLE, lambda inner: st.one_of(mixed(inner), stepped(inner)), max_leaves=3))
