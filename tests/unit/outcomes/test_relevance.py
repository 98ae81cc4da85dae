"""How much a question says about a text."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.outcomes.relevance import gains, others_of
from steerdose.study.endpoints import Relevance

OPTIONS = Relevance(tokens=4, fewest=1, others=2, size=0.05, batch_size=5)


@pytest.mark.parametrize(("n", "count"), [(24, 3), (80, 3), (4, 3), (5, 2), (2, 1)])
def test_every_other_question_serves_equally_often_and_none_for_itself(n, count):
    names = [f"q{i}" for i in range(n)]
    found = others_of(names, count)
    assert all(len(set(others)) == count and name not in others for name, others in found.items())
    assert set(Counter(other for others in found.values() for other in others).values()) == {count}


def test_too_few_questions_are_refused():
    with pytest.raises(SteerdoseError, match="3 other questions are wanted beside each, there are 2"):
        others_of(["a", "b", "c"], 3)


def test_the_gain_is_the_difference_of_two_mean_nlls():
    loaded = tiny.loaded()
    prompts = {"a": (5, 9, 17), "b": (30, 31), "c": (100, 20, 7, 8)}
    texts = {"a": [40, 41, 42, 43], "b": [50], "c": [60, 61]}

    def nll(name, ids):
        """Of each token, from one forward over the plain text."""
        with torch.inference_mode():
            log_p = loaded.model(torch.tensor([[*prompts[name], *ids]])).logits[0].log_softmax(-1)
        return [-float(log_p[len(prompts[name]) - 1 + i, token]) for i, token in enumerate(ids)]

    rows = [{"prompt_id": name, "token_id": ids, "nll": nll(name, ids)} for name, ids in texts.items()]
    found = gains(loaded, pl.DataFrame(rows), prompts, OPTIONS)
    for (name, ids), gain in zip(texts.items(), found, strict=True):
        behind = [np.mean(nll(other, ids)) for other in prompts if other != name]
        assert gain == pytest.approx(np.mean(behind) - np.mean(nll(name, ids)), abs=1e-5)
