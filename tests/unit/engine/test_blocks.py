"""Blocks of prompts: whole prompts, never more rows than fit, and cheap to import where jobs are planned."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steerdose.engine import blocks as module
from steerdose.engine.blocks import blocks


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


@given(st.integers(0, 60), st.integers(1, 12), st.integers(1, 40), st.integers(0, 60))
def test_a_study_cut_where_a_block_begins_has_the_same_blocks(n_prompts, rows_per_prompt, batch_size, where):
    whole = blocks(n_prompts, rows_per_prompt, batch_size)
    assert [i for block in whole for i in block] == list(range(n_prompts))
    cut = min(where, len(whole))
    start = whole[cut].start if cut < len(whole) else n_prompts
    parts = [range(0, start), range(start, n_prompts)]
    again = [
        range(part.start + block.start, part.start + block.stop)
        for part in parts
        for block in blocks(len(part), rows_per_prompt, batch_size)
    ]
    assert again == whole


def test_planning_imports_no_torch():
    library = Path(module.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(library)!r}); import {module.__name__}; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
