"""Steps that a GPU can record: the same numbers as others on every architecture, and nothing in them that waits.

A recording keeps what Python knew at its first token. Here, without a GPU, a static step runs its Python again, but its
cache tells it the length of that first token for ever, so that a model that asks is found.
"""

from dataclasses import replace
from unittest.mock import MagicMock

import pytest
import tiny
import torch
from engine_examples import END, PROBES, PROMPTS, direction, low_rank
from steerdose.engine import static
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request
from steerdose.errors import SteerdoseError
from steerdose.model.architecture import is_cacheable
from steerdose.model.loading import load_model
from steerdose.steering.intervention import Intervention
from steerdose.study.settings import Run
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero", "bincount")
KINDS = [kind for kind in tiny.CONFIGS if is_cacheable(tiny.loaded(kind).model)]


class Recorder(TorchDispatchMode):
    """Operations that copy a number from a GPU to Python, or whose result has a size that only the GPU knows."""

    def __init__(self):
        super().__init__()
        self.waits = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masked = function is torch.ops.aten.index.Tensor and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if function.overloadpacket.__name__ in WAITS or masked:
            self.waits.add(str(function))
        return function(*args, **(kwargs or {}))


@pytest.fixture
def steps(monkeypatch):
    """The static steps that are taken: what waited in each."""
    found, forward = [], static.StaticStep._forward

    def watched(step):
        with Recorder() as recorder:
            logits = forward(step)
        found.append(recorder.waits)
        return logits

    monkeypatch.setattr(static.StaticStep, "_forward", watched)
    return found


def rolled(loaded, steering, ends=END, window=24):
    wanted = [
        Request(f"p{i}", ids, Intervention(steering, c)) for i, ids in enumerate(PROMPTS) for c in (0.0, 1.0, -2.0)
    ]
    plan = ForkPlan(PROBES, fork_times(window, count=6))
    return generate(loaded, wanted, window=window, end_ids=ends, batch_size=9, plan=plan)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.token_ids == other.token_ids
        assert one.kl == pytest.approx(other.kl, abs=1e-5)
        assert [f.pmass for f in one.forks] == pytest.approx([f.pmass for f in other.forks], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_static_steps_compute_the_same_and_wait_for_nothing(kind, steps):
    loaded = tiny.loaded(kind)
    expected = rolled(loaded, direction(loaded.model))
    assert not steps
    assert_same(rolled(replace(loaded, graphs=True), direction(loaded.model)), expected)
    assert steps
    assert set().union(*steps) == set()


def test_what_waits_is_seen():
    with Recorder() as recorder:
        x = torch.arange(3.0)
        assert x[x > 1].sum().item() == 2
    assert recorder.waits == {"aten.index.Tensor", "aten._local_scalar_dense.default"}


def test_rows_that_leave_make_the_rest_steady_anew(steps):
    loaded = tiny.loaded()
    steering = low_rank(loaded.model, "model.layers.1.mlp.down_proj")
    free = [token for each in rolled(loaded, steering) for token in each.token_ids[8:16]]
    ends = frozenset([max(free, key=free.count)])
    expected = rolled(loaded, steering, ends)
    assert len({len(each.token_ids) for each in expected}) > 1, "rows end at different tokens"
    assert_same(rolled(replace(loaded, graphs=True), steering, ends), expected)
    assert 0 < len(steps) < 24


def test_a_length_that_a_model_asks_for_is_the_one_of_the_recording():
    """The guard of this file: a model whose numbers hang on the length of its cache is wrong here, as on a GPU."""
    loaded = tiny.loaded()
    attention = loaded.model.model.layers[2].self_attn

    def asks(_module, args, kwargs):
        length = kwargs["past_key_values"].get_seq_length()
        return args, {**kwargs, "hidden_states": kwargs["hidden_states"] * (1 + length / 10)}

    handle = attention.register_forward_pre_hook(asks, with_kwargs=True)
    steering = direction(loaded.model)
    kl = [rolled(each, steering)[1].kl for each in (loaded, replace(loaded, graphs=True))]
    handle.remove()
    assert max(abs(one - other) for one, other in zip(*kl, strict=False)) > 1e-3


def test_a_model_whose_masks_cannot_be_made_before_goes_without(monkeypatch, caplog):
    loaded = tiny.loaded()
    expected = rolled(loaded, direction(loaded.model))
    monkeypatch.setattr(static, "create_masks_for_generate", lambda *, attention_mask, **_: attention_mask)
    assert_same(rolled(replace(loaded, graphs=True), direction(loaded.model)), expected)
    assert [record.message for record in caplog.records if "cuda_graphs" in record.message] == [
        "cuda_graphs: this model goes without: its masks are not made before it runs"
    ]


def test_nothing_is_recorded_without_a_gpu(tmp_path):
    assert not load_model(tiny.resolved(tmp_path), Run(cuda_graphs=True)).graphs


def test_what_cannot_be_recorded_says_so_and_memory_that_is_short_is_no_such_thing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "Stream", MagicMock)
    for error, raised in (
        (RuntimeError("operation not permitted when stream is capturing"), SteerdoseError),
        (torch.OutOfMemoryError("out of memory"), torch.OutOfMemoryError),
    ):

        def current(error=error):
            raise error

        monkeypatch.setattr(torch.cuda, "current_stream", current)
        with pytest.raises(raised, match=str(error)[:10]):
            static.recorded(lambda: torch.zeros(1))
