"""The simple quote models and the steps in plain Python, from docs/models.md alone, with nested models.

A model is given as (name, parameters); inner models of ``mixed`` and ``steps`` are given in their parameters likewise.
"""

import math
from dataclasses import replace
from functools import cache

from scipy.optimize import minimize_scalar

from mm import Quotes
from mm.backtest.models import QUOTE_MODELS, QUOTE_STEPS


def compiled(name, params):
    """Return the package's model."""
    if name == "steps":
        around = [lambda inner, one=one: QUOTE_STEPS[one[0]](inner=inner, **one[1]) for one in params["steps"]]
        return QUOTE_MODELS["steps"](model=compiled(*params["model"]), steps=around)
    if name == "mixed":
        return QUOTE_MODELS["mixed"](models=[(compiled(*inner), weight) for *inner, weight in params["models"]])
    return QUOTE_MODELS[name](**params)


def plain(name, params, tick_lot=1.0):
    """Return an object with ``quote(view)`` that behaves like the model."""
    return Plain(plain_quote(name, params, tick_lot))


class Plain:
    def __init__(self, quote):
        self.quote = quote


def plain_quote(name, params, tick_lot):
    if name == "steps":
        quote = plain_quote(*params["model"], tick_lot)
        for step, step_params in params["steps"]:
            quote = (
                Widening(quote, tick_lot, **step_params) if step == "widen" else around(quote, STEPS[step], step_params)
            )
        return quote
    if name == "mixed":
        return mixture([(plain_quote(*inner, tick_lot), weight) for *inner, weight in params["models"]])
    return lambda view: MODELS[name](view, **params)


# Models


def clips_held(view):
    return (view.inventory_lots - view.target_lots) / view.quote_lots


def both(view, centre, delta, skew_ticks=0.0, q_max=math.inf):
    q = clips_held(view)
    centre = centre - skew_ticks * q
    return Quotes(centre - delta if q < q_max else None, centre + delta if q > -q_max else None)


def inventory_skew(view, delta_ticks, **skew):
    return both(view, view.mid2_ticks / 2, delta_ticks, **skew)


def imbalance(view, delta_ticks, shift_ticks, **skew):
    lean = (view.bid_lots - view.ask_lots) / (view.bid_lots + view.ask_lots)
    return both(view, view.mid2_ticks / 2 + shift_ticks * lean, delta_ticks, **skew)


def microprice(view, delta_ticks, **skew):
    fair = view.bid_ticks * view.ask_lots + view.ask_ticks * view.bid_lots
    return both(view, fair / (view.bid_lots + view.ask_lots), delta_ticks, **skew)


def adaptive_spread(view, least_ticks, per_sigma, sigma=None, **skew):
    sigma = view.sigma_ticks if sigma is None else sigma
    return None if math.isnan(sigma) else both(view, view.mid2_ticks / 2, least_ticks + per_sigma * sigma, **skew)


def symmetric(view, k, gamma=0.1, sigma=None, horizon_s=30.0, mode="rolling"):
    sigma = view.sigma_ticks if sigma is None else sigma
    if math.isnan(sigma):
        return None
    half = math.log1p(gamma / k) / gamma
    half += gamma * sigma**2 * horizon_s / (4 if mode == "session" else 2)
    return both(view, view.mid2_ticks / 2, half)


def expected_value(view, *, A, k, horizon_s=1.0, adverse_ticks=0.0, fee_ticks=0.0, skew_ticks=0.0, q_max=math.inf):
    q, mid, costs = clips_held(view), view.mid2_ticks / 2, adverse_ticks + fee_ticks
    bid, ask = (best_distance(costs + sign * skew_ticks * q, A, k, horizon_s) for sign in (1, -1))
    return Quotes(mid - bid if q < q_max else None, mid + ask if q > -q_max else None)


@cache
def best_distance(costs, A, k, horizon_s):
    """Return the distance at which a numerical search finds the largest expected value."""

    def loss(delta):
        return math.expm1(-A * horizon_s * math.exp(-k * delta)) * (delta - costs)

    far = max(math.log(A * horizon_s) / k, costs) + 8 / k + 1
    found = minimize_scalar(loss, bounds=(costs, far), method="bounded", options={"xatol": 1e-9})
    return found.x


MODELS = {
    "adaptive_spread": adaptive_spread,
    "expected_value": expected_value,
    "fixed_spread": lambda view, delta_ticks: both(view, view.mid2_ticks / 2, delta_ticks),
    "imbalance": imbalance,
    "inventory_skew": inventory_skew,
    "microprice": microprice,
    "symmetric": symmetric,
}


def mixture(parts):
    def quote(view):
        answers = [with_lots(view, inner(view)) for inner, _ in parts]
        weights = [weight for _, weight in parts]
        prices = [mean([getattr(answer, side) for answer in answers], weights) for side in ("bid_ticks", "ask_ticks")]
        lots = [min(getattr(answer, side) for answer in answers) for side in ("bid_lots", "ask_lots")]
        return Quotes(*prices, *lots)

    return quote


def mean(prices, weights):
    if None in prices:
        return None
    difference = sum(weight * (price - prices[0]) for price, weight in zip(prices, weights, strict=True))
    return prices[0] + difference / sum(weights)


def with_lots(view, answer):
    """Return an answer with all lots filled in."""
    answer = answer or Quotes(None, None)
    lots = [view.quote_lots if lots is None else lots for lots in (answer.bid_lots, answer.ask_lots)]
    return replace(answer, bid_lots=lots[0], ask_lots=lots[1])


# Steps


def around(inner, step, params):
    return lambda view: step(view, inner, **params)


def inventory_bound(view, inner, q_max):
    answer, most = with_lots(view, inner(view)), math.floor(q_max * view.quote_lots)
    bid_lots = max(min(answer.bid_lots, most - view.inventory_lots + view.target_lots), 0)
    ask_lots = max(min(answer.ask_lots, most + view.inventory_lots - view.target_lots), 0)
    return without_empty(replace(answer, bid_lots=bid_lots, ask_lots=ask_lots))


def fushimi_size(view, inner, eta):
    answer, q = with_lots(view, inner(view)), clips_held(view)
    bid_lots = math.floor(answer.bid_lots * (math.exp(-eta * q) if q > 0 else 1))
    ask_lots = math.floor(answer.ask_lots * (math.exp(eta * q) if q < 0 else 1))
    return without_empty(replace(answer, bid_lots=bid_lots, ask_lots=ask_lots))


def without_empty(answer):
    bid, ask = (price if lots else None for price, lots in zip(prices(answer), sizes(answer), strict=True))
    return replace(answer, bid_ticks=bid, ask_ticks=ask)


def prices(answer):
    return answer.bid_ticks, answer.ask_ticks


def sizes(answer):
    return answer.bid_lots, answer.ask_lots


def post_only(view, inner):
    answer = with_lots(view, inner(view))
    bid, ask_price = prices(answer)
    return replace(
        answer,
        bid_ticks=None if bid is None or answer.bid_kind == "MARKET" else min(bid, view.ask_ticks - 1),
        ask_ticks=None if ask_price is None or answer.ask_kind == "MARKET" else max(ask_price, view.bid_ticks + 1),
        bid_kind="LIMIT_MAKER",
        ask_kind="LIMIT_MAKER",
    )


def least_spread(view, inner, ticks):
    answer = with_lots(view, inner(view))
    bid, ask_price = prices(answer)
    if bid is None or ask_price is None or "MARKET" in (answer.bid_kind, answer.ask_kind):
        return answer
    missing = max(ticks - (ask_price - bid), 0) / 2
    return replace(answer, bid_ticks=bid - missing, ask_ticks=ask_price + missing)


def round_to(view, inner, ticks):
    answer = with_lots(view, inner(view))
    bid, ask_price = prices(answer)
    return replace(
        answer,
        bid_ticks=None if bid is None else math.floor(bid / ticks) * ticks,
        ask_ticks=None if ask_price is None else math.ceil(ask_price / ticks) * ticks,
    )


STEPS = {
    "fushimi_size": fushimi_size,
    "inventory_bound": inventory_bound,
    "least_spread": least_spread,
    "post_only": post_only,
    "round_to": round_to,
}


class Widening:
    def __init__(self, inner, tick_lot, extra_ticks, inventory=math.inf, loss=math.inf, recover=0.5):
        self.inner, self.tick_lot, self.extra_ticks, self.recover = inner, tick_lot, extra_ticks, recover
        self.bands, self.left, self.highest = {"inventory": inventory, "loss": loss}, set(), -math.inf

    def __call__(self, view):
        answer = with_lots(view, self.inner(view))
        owned = (view.cash / self.tick_lot + view.inventory_lots * view.mid2_ticks / 2) / view.quote_lots
        self.highest = max(self.highest, owned)
        for name, value in (("inventory", abs(clips_held(view))), ("loss", self.highest - owned)):
            if value > self.bands[name]:
                self.left.add(name)
            elif value <= self.recover * self.bands[name]:
                self.left.discard(name)
        extra = self.extra_ticks if self.left else 0
        bid, ask = prices(answer)
        return replace(
            answer,
            bid_ticks=None if bid is None else bid - extra,
            ask_ticks=None if ask is None else ask + extra,
        )
