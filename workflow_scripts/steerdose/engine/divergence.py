"""What is kept of two next-token distributions: their KL divergence, and how surprising and how sharp they are."""

import torch
from torch import Tensor

KL_ROWS = 8  # rows whose logits fit a CPU's second-level cache together


def divergence(steered: Tensor, base: Tensor, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return KL(steered || base), NLL and entropy from logits (rows, vocabulary), (rows,) each, in nats.

    NLL: -log p_base(token), of a token (rows,). entropy: of the steered distribution. Terms with p_steered = 0 are 0.
    """
    log_p = steered.float() - steered.float().logsumexp(-1, keepdim=True)
    log_q = base.float() - base.float().logsumexp(-1, keepdim=True)
    p = log_p.exp()
    nll = -log_q.gather(-1, token[:, None])[:, 0]
    entropy = (p * log_p).sum(-1)
    kl = (p * log_q.sub_(log_p)).sum(-1)  # not einsum: its dot product adds naively and loses 1e-4 of the value
    if not torch.isfinite(kl).all():  # a model may rule tokens out with -inf: 0 * (-inf + inf) is 0 here
        kl, entropy = (torch.where(p > 0, p * logs, 0.0).sum(-1) for logs in (log_q, log_p))
    return kl.neg_().clamp_min_(0.0), nll, entropy.neg_().clamp_min_(0.0)
