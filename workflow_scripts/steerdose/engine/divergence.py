"""What is kept of two next-token distributions: their KL divergence, and how surprising and how sharp they are."""

import torch
from torch import Tensor

KL_ROWS = 8  # rows whose logits fit a CPU's second-level cache together


def divergence(steered: Tensor, base: Tensor, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return KL(steered || base), NLL and entropy from logits (rows, vocabulary), (rows,) each, in nats.

    NLL: -log p_base(token), of a token (rows,). entropy: of the steered distribution. Terms with p_steered = 0 are 0.
    """
    log_p, log_q = (logits.float() - logits.float().logsumexp(-1, keepdim=True) for logits in (steered, base))
    p = log_p.exp()
    nll = -log_q.gather(-1, token[:, None])[:, 0]
    entropy = _mean(p, log_p)
    return _mean(p, log_q.sub_(log_p)).neg_().clamp_min_(0.0), nll, entropy.neg_().clamp_min_(0.0)


def divergence_from(logits: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the KL to a distribution whose log-probabilities are known, and the log of the sum of the exponentials.

    logits, log_q: (rows, vocabulary); (rows,) each, the same to the last bit as that of `divergence`.
    """
    kl, totals = [], []
    n_rows = KL_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    for part, q in zip(logits.split(n_rows), log_q.split(n_rows), strict=True):
        totals.append(part.logsumexp(-1))
        log_p = part - totals[-1][:, None]
        kl.append(_mean(log_p.exp(), q - log_p).neg_().clamp_min_(0.0))
    return torch.cat(kl), torch.cat(totals)


def _mean(p: Tensor, values: Tensor) -> Tensor:
    """Return the mean of values under p, (rows,)."""
    found = (p * values).sum(-1)  # not einsum: its dot product adds naively and loses 1e-4 of the value
    if not torch.isfinite(found).all():  # a model may rule tokens out with -inf: 0 * (-inf + inf) is 0 here
        found = torch.where(p > 0, p * values, 0.0).sum(-1)
    return found
