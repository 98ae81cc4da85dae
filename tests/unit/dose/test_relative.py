"""The relative dose against norms that are known."""

import pytest
import tiny
import torch
from steerdose.dose.relative import last_edited, relative_dose
from steerdose.make.captures import modules_of_blocks
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.steering.edits import EDITS
from steerdose.steering.steering import Steering
from steerdose.study.texts import Prompt

Add, Ablate = EDITS["Add"], EDITS["Ablate"]
PROMPTS = [Prompt(f"p{i}", "c", "calibration", text) for i, text in enumerate(("Who are you?", "What is true here?"))]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_model(str(tiny.resolved(tmp_path_factory.mktemp("tiny"))))


def streams(loaded, block):
    """The unsteered residual stream behind a block, (tokens of all prompts, width)."""
    found = []
    for prompt in PROMPTS:
        ids = torch.tensor([chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt.prompt))])
        with torch.inference_mode():
            found.append(loaded.model(ids, output_hidden_states=True).hidden_states[block + 1][0])
    return torch.cat(found)


def test_an_added_direction_is_as_long_as_it_is(loaded):
    blocks = modules_of_blocks(loaded.model, "residual")
    v = torch.randn(loaded.model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    steering = Steering("s", ((blocks[1], Add(v)),), {})
    found = relative_dose(loaded, PROMPTS, steering, 3.0)
    assert last_edited(loaded.model, steering) == 1
    assert found[0] == 0
    expected = (3 * v.norm() / streams(loaded, 1).norm(dim=-1)).median()
    assert found[1] == pytest.approx(float(expected), rel=1e-5)
    assert len(found) == len(blocks)


def test_a_removed_direction_is_the_share_of_the_stream_that_lay_along_it(loaded):
    blocks = modules_of_blocks(loaded.model, "residual")
    v = torch.nn.functional.normalize(torch.ones(loaded.model.config.hidden_size), dim=0)
    found = relative_dose(loaded, PROMPTS, Steering("s", ((blocks[0], Ablate(v)),), {}), 1.0)
    h = streams(loaded, 0)
    assert found[0] == pytest.approx(float(((h @ v).abs() / h.norm(dim=-1)).median()), rel=1e-4)


def test_an_edit_inside_a_block_counts_as_that_block(loaded):
    steering = Steering("s", (("model.layers.0.mlp.down_proj", Add(torch.ones(loaded.model.config.hidden_size))),), {})
    assert last_edited(loaded.model, steering) == 0
