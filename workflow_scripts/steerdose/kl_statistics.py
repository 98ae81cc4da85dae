"""Statistics of per-token KL: what the dose is calibrated on, and what a trajectory is judged by."""

from collections.abc import Sequence

import numpy as np

from .errors import NoTokensError

PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
STATISTICS = ("mean", "p50", "rmse", "p90", "p95", "p99", "max")


def kl_statistics(kl: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return `STATISTICS` of KL values (nats), over all prompts x tokens or along one trajectory, and n_tokens.

    Percentiles interpolate linearly; rmse = sqrt(mean of squares).
    """
    values = np.asarray(kl, dtype=np.float64)
    if not len(values):
        raise NoTokensError(
            "every rollout ended at its first token, so there is no KL to take a statistic of; "
            "check models.<name>.chat_template and the prompts"
        )
    found = {
        "mean": values.mean(),
        "rmse": np.sqrt(np.square(values).mean()),
        "max": values.max(),
        **dict(zip(PERCENTILES, np.percentile(values, list(PERCENTILES.values())), strict=True)),
    }
    return {**{name: float(found[name]) for name in STATISTICS}, "n_tokens": len(values)}
