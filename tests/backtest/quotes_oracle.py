"""Optimal quotes from their control problems alone, by other methods than those of the compiled models.

A maker holds q units (at most Q either way) of an asset whose mid has volatility sigma and drift mu; an order at
distance d from the mid fills A·exp(-k·d) times per second, and each fill moves the mid against the maker by xi. The
value of the inventory beyond its marked value is theta(tau, q), with tau the time left. Its equation
(Hamilton-Jacobi-Bellman) is::

    d theta / d tau = mu q - risk(q) + H(bid's change of theta) + H(ask's change of theta)
    H(p) = sup over d of A exp(-k d) u(d + p),   u(x) = (1 - exp(-gamma x))/gamma, or x without risk aversion

and the best distance is where the sup is. Three methods solve it: the equation as it stands, integrated by an
adaptive solver; its linear form v = exp(k theta), by a series without subtraction; the long run, by a continued
fraction with sixty digits. All in ticks, seconds and units of inventory.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar


@dataclass(frozen=True)
class Problem:
    """A control problem.

    Attributes:
        k, A: The intensity of fills.
        Q: The largest inventory in units, either way.
        sigma, mu, xi: Volatility, drift, and move of the mid at each fill.
        gamma: Risk aversion of exponential utility; 0 for linear utility.
        phi: Running penalty phi·q² per second, in addition to gamma·sigma²/2·q² of the utility.
        alpha: Penalty alpha·q² at the end.
    """

    k: float
    A: float
    Q: int
    sigma: float = 0.0
    mu: float = 0.0
    xi: float = 0.0
    gamma: float = 0.0
    phi: float = 0.0
    alpha: float = 0.0

    @property
    def q(self):
        """Return every inventory."""
        return np.arange(-self.Q, self.Q + 1)

    @property
    def running(self):
        """Return the cost per second at each inventory."""
        return (self.phi + self.gamma * self.sigma**2 / 2) * self.q**2 - self.mu * self.q

    @property
    def markup(self):
        """Return the best distance if theta is constant."""
        return math.log1p(self.gamma / self.k) / self.gamma if self.gamma else 1 / self.k

    @property
    def eta(self):
        """Return k·H(0): how fast v spreads to its neighbours if fills do not move the mid."""
        if not self.gamma:
            return self.A / math.e
        ratio = self.gamma / self.k
        return self.A * math.exp(-(1 + 1 / ratio) * math.log1p(ratio))


def hamiltonian_by_search(problem, p):
    """Return the sup and its place, found numerically."""

    def negative_value(d):
        gain = d + p
        utility = -math.expm1(-problem.gamma * gain) / problem.gamma if problem.gamma else gain
        return -problem.A * math.exp(-problem.k * d) * utility

    found = minimize_scalar(negative_value, bounds=(-p - 1 / problem.k, -p + 20 / problem.k), method="bounded")
    return -found.fun, found.x


def theta_by_equation(problem, tau):
    """Return theta at each inventory, by integrating its own equation, to about 1e-9 absolute."""
    q, k = problem.q, problem.k

    def rate(_time, theta):
        change = np.zeros_like(theta)
        up = theta[1:] - theta[:-1] - problem.xi * q[1:]  # a bid's fill: one more, and the mid falls
        down = theta[:-1] - theta[1:] + problem.xi * q[:-1]
        change[:-1] += problem.eta / k * np.exp(k * up)
        change[1:] += problem.eta / k * np.exp(k * down)
        return change - problem.running

    start = -problem.alpha * q.astype(float) ** 2
    solved = solve_ivp(rate, (0, tau), start, method="LSODA", rtol=1e-11, atol=1e-12)
    assert solved.success, solved.message
    return solved.y[:, -1]


def theta_by_series(problem, tau):
    """Return theta at each inventory up to a constant, from v = exp(k·theta) by positive terms only.

    The impact of fills is included in v: with theta = w + xi·q²/2 the changes of both sides lose xi/2.
    """
    q, k = problem.q, problem.k
    eta = problem.eta * math.exp(-k * problem.xi / 2)
    drain = k * problem.running
    shift = drain.max()
    rates = np.diag(shift - drain) + eta * (np.eye(len(q), k=1) + np.eye(len(q), k=-1))
    halvings = max(0, math.ceil(math.log2(max(tau * (shift + 2 * eta - drain.min()), 1e-300))))
    start = -k * (problem.alpha + problem.xi / 2) * q.astype(float) ** 2
    terms = _log_exponential(rates, tau, halvings) + start
    top = terms.max(axis=1)
    return (top + np.log(np.exp(terms - top[:, None]).sum(axis=1))) / k + problem.xi / 2 * q**2


def _log_exponential(rates, tau, halvings):
    """Return the logarithms of exp(rates·tau) up to a constant; *rates* is tridiagonal and nowhere negative."""
    part = np.eye(len(rates))
    power = part.copy()
    for n in range(1, len(rates) + 30):  # from one bound to the other, and beyond
        power = power @ rates * (tau / 2**halvings / n)
        part += power
    for _ in range(halvings):
        part = part @ part
        part /= part.max()
    if part.min() > 1e-290:
        return np.log(part)
    with np.errstate(divide="ignore"):  # some entries underflow: repeat with logarithms
        inner, left, right = (np.log(np.diagonal(rates, at)) for at in (0, 1, -1))
        power = np.where(np.eye(len(rates)) > 0, 0.0, -np.inf)
    part = power.copy()
    for n in range(1, len(rates) + 30):
        moved = power + inner
        moved[:, 1:] = np.logaddexp(moved[:, 1:], power[:, :-1] + left)
        moved[:, :-1] = np.logaddexp(moved[:, :-1], power[:, 1:] + right)
        power = moved + math.log(tau / 2**halvings / n)
        part = np.logaddexp(part, power)
    for _ in range(halvings):
        part = np.array([np.logaddexp.reduce(row[:, None] + part, axis=0) for row in part])
        part -= part.max()
    return part


def long_run_theta(problem):
    """Return theta at each inventory up to a constant for an infinite horizon: with sixty digits, then a float.

    v is the ground state of a tridiagonal matrix: diagonal k·running, off-diagonal -eta. From either bound inwards the
    ratios of neighbours follow each other, and at the eigenvalue the two ends agree at the cheapest inventory.
    """
    with localcontext() as context:
        context.prec = 60
        eta = Decimal(problem.eta) * (Decimal(-problem.k) * Decimal(problem.xi) / 2).exp()
        drain = [Decimal(problem.k) * Decimal(cost) for cost in map(float, problem.running)]
        middle = drain.index(min(drain))

        def ratios(level, outwards):
            found, outer = [], Decimal(0)
            for cost in reversed(outwards):
                below = cost - level - eta * outer
                if below <= 0:
                    return None  # beyond the ground state of this end alone
                outer = eta / below
                found.append(outer)
            return found[::-1]

        def ends(level):
            return ratios(level, drain[middle + 1 :]), ratios(level, drain[:middle][::-1])

        low, high = drain[middle] - 2 * eta - 1, drain[middle]
        for _ in range(190):
            level = (low + high) / 2
            up, down = ends(level)
            inner = None if up is None or down is None else sum(up[:1]) + sum(down[:1])
            low, high = (level, high) if inner is not None and drain[middle] - level > eta * inner else (low, level)
        up, down = ends(low)
        theta = np.zeros(len(drain))
        theta[middle + 1 :] = np.cumsum([float(ratio.ln()) for ratio in up]) / problem.k
        theta[:middle] = np.cumsum([float(ratio.ln()) for ratio in down])[::-1] / problem.k
    return theta + problem.xi / 2 * problem.q**2


def distances(problem, theta):
    """Return the best distances of bid and ask at each inventory, infinite at the bounds."""
    q, infinite = problem.q, [math.inf]
    bid = problem.markup + theta[:-1] - theta[1:] + problem.xi * q[1:]
    ask = problem.markup + theta[1:] - theta[:-1] - problem.xi * q[:-1]
    return np.concatenate([bid, infinite]), np.concatenate([infinite, ask])


def closed_form(problem, q):
    """Return the long-run approximation of Guéant, Lehalle and Fernandez-Tapia, without bound (sections 4 and 5)."""
    ratio = problem.gamma / problem.k
    k, xi, variance = problem.k, problem.xi, problem.sigma**2
    steep = math.sqrt(variance * problem.gamma / (2 * k * problem.A) * (1 + ratio) ** (1 + 1 / ratio))
    steep *= math.exp(k * xi / 4)
    lean = problem.mu / (problem.gamma * variance)
    middle = problem.markup + xi / 2
    return middle + ((2 * q + 1) / 2 - lean) * steep, middle - ((2 * q - 1) / 2 - lean) * steep


def general_form(q, *, gamma, sigma, k, A, size, xi):
    """Return Guéant's closed form for orders of a *size* (arXiv 1605.01862, equations 4.6 and 4.7).

    *q* is in units, *xi* is gamma for exponential utility and 0 for a running penalty on variance alone.
    """
    if xi:
        ratio = xi * size / k
        markup, grown = math.log(1 + ratio) / (xi * size), (1 + ratio) ** (1 / ratio + 1)
    else:
        markup, grown = 1 / k, math.e
    steep = math.sqrt(gamma * sigma**2 / (2 * A * size * k) * grown)
    return markup + (2 * q + size) / 2 * steep, markup - (2 * q - size) / 2 * steep
