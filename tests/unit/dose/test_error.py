"""How well prompts fix a dose."""

import numpy as np
import pytest
from steerdose.dose.error import dose_interval, log_slope
from steerdose.dose.kl_statistics import STATISTICS, statistics_along


@pytest.mark.parametrize(
    ("evaluations", "dose", "slope"),
    [
        ({1.0: 1.0, 2.0: 4.0}, 1.0, 2.0),
        ({1.0: 1.0, 2.0: 4.0, 1.1: 1.1}, 1.0, 1.0),
        ({1.0: 1.0, 2.0: 1.01}, 1.0, 0.5),
        ({1.0: 1.0}, 1.0, 2.0),
        ({1.0: 1.0, 2.0: np.inf}, 1.0, 2.0),
    ],
    ids=["square", "nearest", "flat", "alone", "too_strong"],
)
def test_the_slope_is_that_to_the_nearest_evaluation(evaluations, dose, slope):
    assert log_slope(evaluations, dose) == pytest.approx(slope)


def test_equal_prompts_leave_no_doubt_and_the_slope_moves_the_dose():
    assert dose_interval([[1.0, 4.0]] * 5, "max", 4.0, 3.0, 2.0) == pytest.approx((3.0, 3.0))
    assert dose_interval([[1.0, 4.0]] * 5, "max", 1.0, 3.0, 2.0) == pytest.approx((1.5, 1.5))


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 60])
def test_the_interval_holds_the_true_dose(n):
    """Prompts differ, tokens are heavy-tailed, and the KL grows with the square of the dose: p95 of 32 tokens each."""
    generator = np.random.default_rng(n)

    def kl(prompts):
        return generator.lognormal(0, 0.4, (prompts, 1)) * generator.lognormal(-1, 1.2, (prompts, 32))

    truth = statistics_along(kl(20_000).ravel())[STATISTICS.index("p95")]
    held = 0
    for _ in range(100):
        low, high = dose_interval(kl(n).tolist(), "p95", truth, 1.0, 2.0)
        held += low <= 1.0 <= high
    assert 88 <= held <= 100
