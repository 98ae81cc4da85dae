"""The coordinates of S-space: modes of a linear layer, and of all layers of a block that touch the residual stream."""

import pytest
import torch
from contrast_examples import WIDTH, Block, normal
from steerdose.errors import SteerdoseError
from steerdose.make.modes import block_modes, singular_modes
from steerdose.model.linear import linear_weight, residual_role
from torch import nn
from transformers.pytorch_utils import Conv1D


def test_the_modes_of_a_linear_layer_are_its_singular_modes():
    layer = nn.Linear(12, 20)
    U, values, bias = singular_modes(layer)
    assert U.shape == (20, 12)
    assert torch.equal(bias, layer.bias.detach())
    W = layer.weight.detach().double()
    torch.testing.assert_close(U * values**2 @ U.T, W @ W.T)
    y = layer(normal(torch.Generator().manual_seed(2), 8, 12)).detach().double()
    torch.testing.assert_close((y - bias) @ U @ U.T + bias, y, atol=1e-6, rtol=1e-6)


def test_modes_without_singular_value_are_left_out_and_a_missing_bias_is_zero():
    layer = nn.Linear(12, 20, bias=False)
    layer.weight.data = torch.ones(20, 1) @ torch.ones(1, 12)
    U, values, bias = singular_modes(layer)
    assert U.shape == (20, 1)
    assert values.tolist() == pytest.approx([240**0.5])
    assert not bias.any()


def test_a_conv1d_is_read_as_the_linear_layer_that_it_is():
    conv = Conv1D(20, 12)
    assert torch.equal(linear_weight(conv), conv.weight.detach().double().T)
    assert singular_modes(conv)[0].shape == (20, 12)


def test_the_modes_of_a_block_are_those_of_its_readers_and_writers():
    block = Block(torch.Generator().manual_seed(3))
    vectors, roots, bias = block_modes(block, WIDTH)
    W = {name: layer.weight.detach().double() for name, layer in block.named_children()}
    gram = sum(W[n] @ W[n].T for n in ("down_proj", "o_proj")) + sum(W[n].T @ W[n] for n in ("up_proj", "q_proj"))
    torch.testing.assert_close(vectors * roots**2 @ vectors.T, gram)
    assert not bias.any()


def test_roles_come_from_shapes_and_square_layers_from_names():
    assert residual_role("mlp.anything", (8, 24), 8) == "writer"
    assert residual_role("mlp.anything", (24, 8), 8) == "reader"
    assert residual_role("attention.q_b", (24, 12), 8) == "inner"
    assert residual_role("attention.norm_mix", (24, 24), 8) == "inner"
    assert residual_role("self_attn.o_proj", (8, 8), 8) == "writer"
    assert residual_role("self_attn.k_proj", (8, 8), 8) == "reader"
    with pytest.raises(SteerdoseError, match=r"cannot be told whether the square layer 'attn.mystery' reads .*sspace"):
        residual_role("attn.mystery", (8, 8), 8)
