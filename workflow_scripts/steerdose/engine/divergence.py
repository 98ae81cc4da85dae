"""The KL divergence of two next-token distributions."""

import torch
from torch import Tensor

KL_ROWS = 8  # rows whose logits fit a CPU's second-level cache together


def kl_divergence(steered: Tensor, base: Tensor) -> Tensor:
    """KL(steered || base) in nats from logits (rows, vocabulary); terms with p_steered = 0 count as 0."""
    log_p = steered.float() - steered.float().logsumexp(-1, keepdim=True)
    log_q = base.float() - base.float().logsumexp(-1, keepdim=True)
    p = log_p.exp()
    kl = (p * log_p.sub_(log_q)).sum(-1)  # not einsum: its dot product adds naively and loses 1e-4 of the value
    if not torch.isfinite(kl).all():  # a model may rule tokens out with -inf: 0 * (-inf + inf) is 0 here
        kl = torch.where(p > 0, p * log_p, 0.0).sum(-1)
    return kl.clamp_min_(0.0)
