"""The draws of the order flows: the published generator, and Poisson draws of every mean."""

import math

import pytest

from mm.sim.flow._queues import Draws


def test_units_are_those_of_splitmix64():
    """The first outputs for the seed 1234567, as published with the generator."""
    outputs = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    draws = Draws(1234567)
    assert [draws.unit() for _ in outputs] == [((z >> 11) + 0.5) / 2**53 for z in outputs]
    later, shifted = Draws(7), Draws((7 + 5_000 * 0x9E3779B97F4A7C15) % 2**64)
    for _ in range(5_000):
        later.unit()
    assert later.unit() == shifted.unit()


@pytest.mark.parametrize("mean", [0.008, 0.7, 9.9, 10.0, 80.0, 5_000.0])
def test_differences_of_poisson_draws_have_twice_their_variance(mean):
    """By inversion and by rejection; the mean of the difference is 0."""
    draws, count = Draws(3), 20_000
    moves = [draws.move(mean) for _ in range(count)]
    assert sum(moves) / count == pytest.approx(0, abs=4 * math.sqrt(2 * mean / count))
    assert sum(k * k for k in moves) / count == pytest.approx(
        2 * mean, abs=5 * math.sqrt(2 * (mean + 4 * mean**2) / count)
    )
