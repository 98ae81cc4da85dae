"""How the next token is chosen: the likeliest, or drawn from the steered distribution."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steerdose.engine.requests import Request
from steerdose.seeds import seed_from
from steerdose.study.rollout import Decoding


class Chooser:
    """Chooses the tokens of requests, greedily or by sampling as each one says.

    A token is drawn with one uniform number, which depends on nothing but the prompt's id, the sample and the place in
    the text. So neither batch nor job changes a sample, and one sample of a prompt has the same numbers at every dose
    (common random numbers), which makes doses easier to compare than independent draws would.
    """

    def __init__(self, requests: Sequence[Request], window: int) -> None:
        self.requests = requests
        self.uniform = torch.zeros(len(requests), window, dtype=torch.double)
        for row, request in enumerate(requests):
            if request.decoding:
                seed = seed_from("decoding", request.prompt_id, request.sample)
                self.uniform[row] = torch.from_numpy(np.random.default_rng(seed).random(window))

    def choose(self, logits: Tensor, owners: Tensor, t: int) -> Tensor:
        """Return token t (from 1) of requests `owners` (rows,) from their logits (rows, vocabulary), on the CPU."""
        token = logits.argmax(-1)
        given = [self.requests[owner].decoding for owner in owners.tolist()]
        for decoding in dict.fromkeys(each for each in given if each):
            rows = torch.tensor([i for i, each in enumerate(given) if each == decoding])
            uniform = self.uniform[owners[rows], t - 1].to(logits.device)
            token[rows.to(token.device)] = draw(logits[rows.to(logits.device)], uniform, decoding)
        return token.cpu()


def draw(logits: Tensor, uniform: Tensor, decoding: Decoding) -> Tensor:
    """Return the tokens at which the distribution function of each row exceeds its uniform number, (rows,).

    Tokens stand in the order of the vocabulary; with top_p below 1 in that of falling probability, of which the first
    that together have top_p are left (the nucleus of Holtzman et al. 2020, arXiv:1904.09751). Double precision, since
    in single the last ten thousands of a vocabulary add up to nothing.
    """
    p = (logits.double() / decoding.temperature).softmax(-1)
    order = None
    if decoding.top_p < 1:
        p, order = p.sort(dim=-1, descending=True, stable=True)
        p = torch.where(p.cumsum(-1) - p < decoding.top_p, p, 0.0)
    cumulative = p.cumsum(-1)
    found = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)
    found = found.clamp_max((p > 0).sum(-1, keepdim=True) - 1 if order is not None else p.shape[-1] - 1)
    return (found if order is None else order.gather(-1, found))[:, 0]
