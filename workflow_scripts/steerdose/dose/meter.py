"""How far interventions move the model on prompts: the KL of greedy rollouts, and its statistics."""

import logging
import math
from collections.abc import Sequence
from typing import Any

from steerdose.dose.kl_statistics import STATISTICS, kl_statistics
from steerdose.engine.generate import generate
from steerdose.engine.requests import ask
from steerdose.errors import NonFiniteLogitsError, NoTokensError
from steerdose.model.loading import LoadedModel
from steerdose.steering.intervention import Intervention
from steerdose.study.config import Calibration, Measure
from steerdose.study.texts import Prompt

log = logging.getLogger(__name__)
Tokens = list[list[float]]  # KL of every token, nats, a list a prompt


def measured_kl(
    loaded: LoadedModel, prompts: Sequence[Prompt], intervention: Intervention, measure: Measure, description: str
) -> Tokens:
    """Return the KL of every token of greedy rollouts.

    Raises NonFiniteLogitsError where the intervention is too strong for the model's arithmetic.
    """
    trajectories = generate(
        loaded,
        [ask(loaded.tokenizer, prompt.id, prompt.prompt, intervention) for prompt in prompts],
        window=measure.max_new_tokens,
        batch_size=measure.batch_size,
        description=description,
    )
    return [trajectory.kl for trajectory in trajectories]


class Meter:
    """Measures interventions on the calibration prompts, and keeps a row for every evaluation.

    A search looks at the first `calibration.n_search_prompts` of them; what it finds is measured on all.
    """

    def __init__(self, loaded: LoadedModel, prompts: Sequence[Prompt], options: Calibration) -> None:
        self.loaded, self.options = loaded, options
        self.few, self.others = prompts[: options.n_search_prompts], prompts[options.n_search_prompts :]
        self.rows: list[dict[str, Any]] = []
        self.kl: dict[tuple[str, float], Tokens] = {}  # on the first prompts, by sign and coefficient

    def search(self, sign: str, intervention: Intervention) -> float:
        """Measure on the first prompts; infinity, with a row without statistics, where it is far too strong."""
        try:
            kl = self._kl(self.few, sign, intervention)
            value = self._keep("search", sign, intervention, kl)
        except (NonFiniteLogitsError, NoTokensError) as error:
            log.warning("coefficient %.5g is far too strong: %s", intervention.coefficient, error)
            self._row("search", sign, intervention, dict.fromkeys((*STATISTICS, "n_tokens")))
            return math.inf
        self.kl[sign, intervention.coefficient] = kl
        return value

    def whole(self, sign: str, intervention: Intervention) -> tuple[float, Tokens]:
        """Measure on all prompts, of which the first are not read again; return the statistic and the tokens' KL."""
        known = self.kl.get((sign, intervention.coefficient))
        kl = [*(known or self._kl(self.few, sign, intervention)), *self._kl(self.others, sign, intervention)]
        return self._keep("calibration", sign, intervention, kl), kl

    def values(self, sign: str) -> dict[float, float]:
        """Return the statistic that the search found at each |coefficient|."""
        name = self.options.statistic
        found = [row for row in self.rows if row["sign"] == sign and row["split"] == "search"]
        return {abs(row["coefficient"]): math.inf if row[name] is None else row[name] for row in found}

    def _kl(self, prompts: Sequence[Prompt], sign: str, intervention: Intervention) -> Tokens:
        if not prompts:
            return []
        return measured_kl(self.loaded, prompts, intervention, self.options, f"{sign} {intervention.coefficient:.4g}")

    def _keep(self, split: str, sign: str, intervention: Intervention, kl: Tokens) -> float:
        row = self._row(split, sign, intervention, kl_statistics([value for values in kl for value in values]))
        what = "the prompt" if intervention.system else f"coefficient {intervention.coefficient:.5g}"
        log.info("%s %s: %s gives %.4g on %d prompts", sign, split, what, row[self.options.statistic], len(kl))
        return float(row[self.options.statistic])

    def _row(self, split: str, sign: str, intervention: Intervention, statistics: dict[str, Any]) -> dict[str, Any]:
        step = 1 + sum(row["sign"] == sign and row["split"] == split for row in self.rows)
        place = {"coefficient": intervention.tabled_coefficient, "sign": sign, "split": split, "step": step}
        self.rows.append({**place, **statistics})
        return self.rows[-1]
