"""What a model's architecture says: its blocks by depth."""

import pytest
from steerdose.model.architecture import block_at, layer_range


def test_layers_are_chosen_by_depth():
    assert layer_range(28, (0.3, 0.8)) == list(range(8, 22))
    assert layer_range(30, (0.0, 1.0)) == list(range(30))


@pytest.mark.parametrize(
    ("depth", "n_blocks", "block"), [(0.6, 30, 18), (0.6, 28, 17), (0.6, 3, 2), (0.29, 100, 29), (0, 3, 0), (1, 3, 2)]
)
def test_a_block_is_chosen_by_depth(depth, n_blocks, block):
    assert block_at(depth, n_blocks) == block


@pytest.mark.parametrize("n_blocks", [3, 12, 28, 30, 32])
@pytest.mark.parametrize("depth", [0.0, 0.3, 0.4, 0.5, 0.6, 0.8])
def test_a_block_and_the_beginning_of_a_range_at_the_same_depth_are_the_same(n_blocks, depth):
    assert layer_range(n_blocks, (depth, 1.0))[0] == block_at(depth, n_blocks)
