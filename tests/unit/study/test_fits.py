"""What does not fit a model is said before any job, from the headers of its files."""

import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.model.experts import open_experts
from steerdose.study.fits import _blocks
from steerdose.study.load import load_study
from study_examples import ROOT, changed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tiny model of three blocks, with the project's data beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    tiny.save(tmp_path / "here")
    return tmp_path


def refused(**changes):
    with pytest.raises(SteerdoseError) as caught:
        load_study(changed(**{"models.smollm2.source": "here", **changes}))
    return str(caught.value)


def test_a_model_that_fits_is_fine(folder):
    assert load_study(changed(**{"models.smollm2.source": "here"}))


def test_target_modules_that_no_block_has_are_named_with_those_that_are_there(folder):
    said = refused(**{"methods.lora.target_modules": ["q_proj", "q_prj"]})
    assert "methods.lora.target_modules: ['q_prj'] are in no block of smollm2; it has ['down_proj', 'gate_proj'" in said


def test_a_layer_range_between_two_blocks_is_named(folder):
    said = refused(**{"methods.lora.layer_range": [0.4, 0.45]})
    assert "methods.lora.layer_range: holds none of the 3 blocks of smollm2; give a wider one" in said


def test_a_part_of_a_block_that_is_not_there_is_named(folder):
    entry = {"kind": "parts", "of": "lora", "by": "layer", "names": ["1-4"]}
    changes = {"methods.p": entry, "study.methods": ["lora", "p"], "methods.lora.layer_range": [0.0, 1.0]}
    assert "methods.p.names: ['3', '4']: smollm2 has blocks 0 to 2" in refused(**changes)


@pytest.mark.parametrize("header", [b"", b"\xff" * 20, (9).to_bytes(8, "little") + b"not json}"])
def test_a_header_that_cannot_be_read_is_left_to_the_job_that_reads_it(folder, header):
    (folder / "here/model.safetensors").write_bytes(header)
    assert load_study(changed(**{"models.smollm2.source": "here", "methods.lora.target_modules": ["q_prj"]}))


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3", "qwen3_next"])
def test_experts_have_the_names_of_opened_ones_and_all_others_their_own(tmp_path, kind):
    """Files hold experts one by one or fused, under names that transformers changes as it loads them."""
    model = tiny.model(kind)
    open_experts(model)
    trained = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    said = {path.rsplit(".", 1)[-1] for block in _blocks(tiny.save(tmp_path, kind)) for path in block}
    assert trained - {"lm_head"} <= said
