"""A text's log-probabilities the obvious way: one text, one forward, every logit, effective weights in the model."""

import torch
from torch import Tensor, nn


@torch.inference_mode()
def read_text(model: nn.Module, ids: list[int], answers: list[list[int]], n_scored: int) -> tuple[list, list]:
    """Return the log of each answer set's summed mass behind the text, and the log-mass of its last tokens."""
    p: Tensor = model(torch.tensor([ids])).logits[0].double().softmax(-1)
    mass = [sum(p[-1, token] for token in answer) for answer in answers]
    own = [p[place - 1, ids[place]] for place in range(len(ids) - n_scored, len(ids))]
    return [float(value.log()) for value in mass], [float(value.log()) for value in own]
