"""The steering's built-in self-test: it runs before every calibration and costs a handful of short forwards."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from steerdose.errors import SteerdoseError
from steerdose.model.architecture import is_cacheable
from steerdose.model.experts import RoutedLinear, opened_experts
from steerdose.steering.steering import Steering, steer

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}  # of logits, cached against uncached
DECODED = 2


def check_steering(model: Any, steering: Steering, prompt: Sequence[int], coefficient: float = 1.0) -> None:
    """Raise SteerdoseError unless the steering does what it says on this model.

    Checked: a row with coefficient 0 equals the unsteered model exactly; every edit fires on each prompt token and on
    each decoded token, but for edits of experts, which read only some; cached and uncached logits agree; after the
    context the model is exactly as before.
    """
    device = model.device
    ids = torch.tensor([list(prompt)] * 2, device=device)
    doses = torch.tensor([0.0, coefficient])
    paths = [path for path, _ in steering.edits]
    with torch.inference_mode(), opened_experts(model, paths):
        every = [path for path in paths if not isinstance(model.get_submodule(path), RoutedLinear)]  # reads each token
        before, hooks = model(ids, logits_to_keep=1).logits, _hooks(model)
        with steer(model, steering, doses) as dial:
            steered = model(ids, logits_to_keep=1).logits
            _require(torch.equal(steered[0], before[0]), steering, "coefficient 0 changes the logits")
            silent = [path for path in every if dial.fired[path] < ids.shape[1]]
            _require(not silent, steering, f"the edits at {silent[:3]} do not fire on every prompt token")
            if is_cacheable(model):
                cached, whole = _decode(model, ids)
                dial.fired.clear()
                uncached = model(whole, logits_to_keep=1).logits[:, -1]
                silent = [path for path in every if dial.fired[path] < whole.shape[1]]
                _require(not silent, steering, f"the edits at {silent[:3]} do not fire on every decoded token")
                # Where coefficient 1 is far too strong both overflow; calibration then looks for a smaller one.
                finite = uncached.isfinite()
                gap = float((cached - uncached)[finite].abs().max())
                close = gap <= TOLERANCE.get(cached.dtype, 0.5) * max(1.0, float(uncached[finite].abs().max()))
                _require(
                    close and torch.equal(cached.isfinite(), finite),
                    steering,
                    f"cached and uncached logits differ by {gap:.3g}",
                )
        restored = torch.equal(model(ids, logits_to_keep=1).logits, before) and _hooks(model) == hooks
        _require(restored, steering, "the model is not restored after the context")


def _decode(model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Decode a few tokens with the model's own cache; return the last logits and all ids that they rest on."""
    out = model(ids, use_cache=True, logits_to_keep=1)
    for _ in range(DECODED):
        ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], -1)
        out = model(ids[:, -1:], past_key_values=out.past_key_values, use_cache=True)
    return out.logits[:, -1], ids


def _hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def _require(holds: bool, steering: Steering, problem: str) -> None:
    if not holds:
        raise SteerdoseError(f"self-test of steering '{steering.method}' failed: {problem}; do not trust its results")
