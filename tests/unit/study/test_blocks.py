"""How prompts are cut into batches and jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steerdose.study.blocks import blocks, spans

SIZES = {"n_prompts": st.integers(1, 300), "rows_per_prompt": st.integers(1, 20), "batch_size": st.integers(1, 200)}


@given(**SIZES)
def test_batches_hold_every_prompt_once_in_order_and_as_many_as_fit(n_prompts, rows_per_prompt, batch_size):
    found = blocks(n_prompts, rows_per_prompt, batch_size)
    assert [prompt for block in found for prompt in block] == list(range(n_prompts))
    assert len({len(block) for block in found[:-1]}) <= 1
    for block in found:
        assert len(block) == 1 or len(block) * rows_per_prompt <= batch_size
    for block in found[:-1]:
        assert (len(block) + 1) * rows_per_prompt > batch_size, "one more prompt would have fitted"


@given(**SIZES, batches=st.none() | st.integers(1, 10))
def test_jobs_are_cut_between_batches_alone(n_prompts, rows_per_prompt, batch_size, batches):
    whole = blocks(n_prompts, rows_per_prompt, batch_size)
    jobs = spans(n_prompts, rows_per_prompt, batch_size, batches)
    assert [prompt for first, last in jobs for prompt in range(first, last)] == list(range(n_prompts))
    if batches is None:
        assert jobs == [(0, n_prompts)]
        return
    cut = [blocks(last - first, rows_per_prompt, batch_size) for first, last in jobs]
    moved = [
        [range(first + block.start, first + block.stop) for block in found]
        for (first, _), found in zip(jobs, cut, strict=True)
    ]
    assert [block for found in moved for block in found] == whole, "a job batches its prompts as one job of all does"
    assert {len(found) for found in moved[:-1]} <= {batches}
    assert len(moved[-1]) <= batches


@pytest.mark.parametrize(
    ("n_prompts", "rows_per_prompt", "batch_size", "sizes"),
    [
        (12, 6, 108, [12]),
        (20, 1, 96, [20]),
        (20, 6, 108, [18, 2]),
        (3, 9, 4, [1, 1, 1]),
        (4, 2, 5, [2, 2]),
        (0, 3, 9, []),
    ],
)
def test_blocks_by_hand(n_prompts, rows_per_prompt, batch_size, sizes):
    assert [len(block) for block in blocks(n_prompts, rows_per_prompt, batch_size)] == sizes
