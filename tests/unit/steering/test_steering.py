"""The context manager, the file format and the self-test."""

import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.model.architecture import find_blocks
from steerdose.steering import steering as module
from steerdose.steering.edits import Ablate, Add, Dense, LowRank
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering, steer

IDS = torch.tensor([[5, 6, 7, 8]] * 3)
LINEAR = "model.layers.1.mlp.down_proj"


def unit(width, seed=0):
    v = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return v / v.norm()


@pytest.fixture
def model():
    return tiny.model()


def everything(model):
    """One edit of every kind, stacked."""
    block = find_blocks(model)[0]
    low_rank = LowRank(A=torch.randn(2, 64), B=torch.randn(32, 2))
    edits = (
        (LINEAR, low_rank),
        (LINEAR, Dense(torch.randn(32, 64))),
        (block, Add(unit(32))),
        (block, Ablate(unit(32))),
    )
    return Steering("everything", edits, {"behavior": "none"})


def test_rows_with_coefficient_0_equal_the_unsteered_model_exactly(model):
    with torch.inference_mode():
        base = model(IDS).logits
        with steer(model, everything(model), torch.tensor([0.0, 1.0, 0.0])):
            steered = model(IDS).logits
    assert torch.equal(steered[0], base[0])
    assert torch.equal(steered[2], base[2])
    assert not torch.allclose(steered[1], base[1])


def test_contexts_nest_and_restore_on_any_exception(model):
    checksum = [parameter.clone() for parameter in model.parameters()]
    with torch.inference_mode():
        base = model(IDS).logits
        one, two = (Steering(str(i), ((LINEAR, LowRank(torch.randn(1, 64), torch.randn(32, 1))),), {}) for i in (1, 2))
        both = Steering("both", one.edits + two.edits, {})
        with steer(model, one, 0.5), steer(model, two, 0.5):
            nested = model(IDS).logits
        with steer(model, both, 0.5):
            torch.testing.assert_close(model(IDS).logits, nested)
        with pytest.raises(KeyError), steer(model, both, 1.0):
            raise KeyError
        assert torch.equal(model(IDS).logits, base)
    assert all(torch.equal(a, b) for a, b in zip(checksum, model.parameters(), strict=True))
    assert not any(module._forward_hooks for module in model.modules())


def test_the_dial_turns_while_the_context_is_open(model):
    with torch.inference_mode(), steer(model, everything(model), 0.0) as dial:
        base = model(IDS).logits
        dial.coefficient = 1.0
        assert not torch.allclose(model(IDS).logits, base)
        dial.coefficient = 0.0
        assert torch.equal(model(IDS).logits, base)


def test_save_and_load_are_exact(model, tmp_path):
    saved = everything(model)
    saved.save(tmp_path / "s.safetensors")
    loaded = Steering.load(tmp_path / "s.safetensors")
    assert (loaded.method, loaded.metadata) == (saved.method, saved.metadata)
    for (path, edit), (other_path, other) in zip(saved.edits, loaded.edits, strict=True):
        assert path == other_path
        assert type(edit) is type(other)
        assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in edit.tensors().items())


def test_equal_steerings_are_equal_files_whatever_is_in_their_metadata(model, tmp_path):
    """The library itself writes metadata in an order that differs from call to call."""
    metadata = {f"key{i}": f'"{i}" \\ \n ü \x01 \x7f' for i in range(20)}
    edits = everything(model).edits
    for i, each in enumerate((metadata, dict(reversed(metadata.items())))):
        Steering("s", edits, each).save(tmp_path / f"{i}.safetensors")
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()
    assert Steering.load(tmp_path / "0.safetensors").metadata == metadata


def test_wrong_steerings_are_refused_with_the_remedy(model, tmp_path, monkeypatch):
    with pytest.raises(SteerdoseError, match="no edits"):
        Steering("empty", (), {})
    with pytest.raises(SteerdoseError, match="not finite"):
        Steering("nan", ((LINEAR, Add(torch.tensor([torch.nan, 1.0]))),), {})
    with pytest.raises(SteerdoseError, match="all zeros"):
        Steering("zero", ((LINEAR, Add(torch.zeros(3))),), {})
    foreign = Steering("foreign", (("transformer.h.1.mlp.c_proj", Add(unit(32))),), {})
    with (
        pytest.raises(SteerdoseError, match=r"lacks: \['transformer.h.1.mlp.c_proj'\].*for example.*Fit"),
        steer(model, foreign, 1.0),
    ):
        pass
    wide = Steering("wide", ((LINEAR, Add(unit(33))),), {})
    with pytest.raises(SteerdoseError, match="33 wide, the module's output 32"), steer(model, wide, 1.0):
        model(IDS)
    with pytest.raises(SteerdoseError, match="must be finite"), steer(model, everything(model), torch.inf):
        pass
    monkeypatch.setattr(module, "FORMAT_VERSION", "0")
    everything(model).save(tmp_path / "old.safetensors")
    monkeypatch.undo()
    with pytest.raises(SteerdoseError, match="format 1: rebuild it"):
        Steering.load(tmp_path / "old.safetensors")


class Renamed(torch.nn.Linear):
    def forward(self, states):
        return super().forward(states)


class Wrapped(torch.nn.Linear):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


class Nameless(torch.nn.Linear):
    def forward(self, **given):
        return super().forward(given["anything"])


class Caller(torch.nn.Module):
    """Calls its linear layer, whose input is as wide as its output, by keyword or by position."""

    def __init__(self, kind, keyword):
        super().__init__()
        self.inner, self.keyword = kind(8, 8), keyword

    def forward(self, x):
        return self.inner(**{self.keyword: x}) if self.keyword else self.inner(x)


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [(torch.nn.Linear, None), (torch.nn.Linear, "input"), (Renamed, "states"), (Wrapped, "input")],
)
def test_the_input_of_a_module_is_found_however_it_is_called(kind, keyword):
    torch.manual_seed(0)
    caller, x = Caller(kind, keyword), torch.randn(2, 3, 8)
    edit = LowRank(A=torch.randn(2, 8), B=torch.randn(8, 2))
    weight = caller.inner.weight + 0.5 * edit.B @ edit.A
    with torch.no_grad(), steer(caller, Steering("delta", (("inner", edit),), {}), 0.5):
        torch.testing.assert_close(caller(x), x @ weight.T + caller.inner.bias)


def test_a_module_whose_input_cannot_be_told_is_refused():
    steering = Steering("delta", (("inner", LowRank(A=torch.randn(2, 8), B=torch.randn(8, 2))),), {})
    message = r"^inner was called without .* \(by keyword: \['anything'\]\).*choose another module"
    with steer(caller := Caller(Nameless, "anything"), steering, 0.5), pytest.raises(SteerdoseError, match=message):
        caller(torch.randn(2, 3, 8))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "mistral", "gemma3", "mamba"])
def test_the_self_test_passes_on_every_architecture(kind):
    model = tiny.model(kind)
    check_steering(model, Steering("add", ((find_blocks(model)[1], Add(unit(32))),), {}), [5, 6, 7])


class NotZero(Add):
    def apply(self, x, y, c):
        return y + self.v


class LastTokenOnly(Add):
    """Fires on every call, but edits by position: what is cached differs from what is recomputed."""

    def apply(self, x, y, c):
        edited = y.clone()
        edited[:, -1] += 50 * c[:, 0] * self.v
        return edited


@pytest.mark.parametrize(
    ("edit", "problem"),
    [(NotZero, "coefficient 0 changes the logits"), (LastTokenOnly, "cached and uncached logits differ")],
)
def test_the_self_test_finds_broken_edits(model, edit, problem):
    with pytest.raises(SteerdoseError, match=problem):
        check_steering(model, Steering("broken", ((find_blocks(model)[0], edit(unit(32))),), {}), [5, 6, 7])


def test_the_self_test_finds_a_module_that_never_runs(model):
    model.spare = torch.nn.Linear(32, 32)
    with pytest.raises(SteerdoseError, match="do not fire on every prompt token"):
        check_steering(model, Steering("dead", (("spare", Add(unit(32))),), {}), [5, 6, 7])


def test_the_self_test_finds_a_model_that_is_not_restored(model, monkeypatch):
    block = dict(model.named_modules())[find_blocks(model)[0]]
    monkeypatch.setattr(module, "_hook", lambda path, edit, dial: _leave_behind(block, dial, path, edit))
    with pytest.raises(SteerdoseError, match="not restored"):
        check_steering(model, Steering("leaky", ((find_blocks(model)[0], Add(unit(32))),), {}), [5, 6, 7])


def _leave_behind(block, dial, path, edit):
    def hook(_module, _args, _kwargs, output):
        dial.fired[path] += output.shape[-2]
        if not block.__dict__.get("marked"):
            block.marked = True
            block.register_forward_hook(lambda *_: None)

    return hook
