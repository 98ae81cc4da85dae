"""Imports of every format: the names of formats and models, and sources that hold none of them."""

from typing import get_args

import numpy as np
import pytest
import torch
from import_examples import HUB, llama_fixture, refuse, take_fixture, vector  # noqa: F401
from steerdose.exchange.read import FORMATS
from steerdose.exchange.target import architecture, model_name
from steerdose.study.methods import Import


def test_the_formats_are_those_that_a_config_may_name():
    assert get_args(Import.model_fields["format"].annotation) == tuple(FORMATS)


@pytest.mark.parametrize("kind", list(FORMATS))
def test_empty_directories_and_foreign_files_are_refused(take, tmp_path, kind):
    (tmp_path / "empty").mkdir()
    refuse(take, "must hold one file ending in|holds no .safetensors weights", kind, tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("hello")
    refuse(take, "does not end in|is a file; give the directory", kind, tmp_path / "notes.txt")
    np.savez(tmp_path / "whole.npz", **{"0": vector(1).numpy()})
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    refuse(take, "does not end in|is a file|not a readable safetensors or npz", kind, tmp_path / "cut.npz")
    for suffix in FORMATS[kind].suffixes or (".safetensors",):
        broken = tmp_path / f"broken{suffix}"
        broken.mkdir()
        (broken / f"model{suffix}").write_text("no tensors at all")
        refuse(take, "readable|does not load", kind, broken)


def test_a_source_that_is_neither_there_nor_on_the_hub(take):
    refuse(take, "correct methods.theirs.positive", "vectors", "./nowhere.npz")


def test_chosen_layers_are_applied_and_no_others(take, tmp_path):
    np.savez(tmp_path / "all.npz", **{str(i): vector(i).numpy() for i in range(3)})
    whole, geometry = take("vectors", tmp_path / "all.npz")
    assert [path for path, _ in whole.edits] == [f"model.layers.{i}" for i in range(3)]
    some, geometry = take("vectors", tmp_path / "all.npz", layers=[2, 0])
    assert [path for path, _ in some.edits] == ["model.layers.0", "model.layers.2"]
    assert geometry["n_held"] == 3
    assert [each["module"] for each in geometry["modules"]] == ["model.layers.0", "model.layers.2"]
    span, _ = take("vectors", tmp_path / "all.npz", layers=["1-2"])
    torch.testing.assert_close(span.edits[0][1].v, vector(1))
    np.savez(tmp_path / "two.npz", **{str(i): vector(i).numpy() for i in range(2)})
    refuse(take, r"layers \[2\]: it changes nothing there; it has edits in the layers \[0, 1\]", "vectors",
           tmp_path / "two.npz", layers=["1-2"])  # fmt: skip


def test_names_of_models_and_architectures():
    for name in ("pypi://x==1/x/SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct/", HUB):
        assert model_name(name) in ("smollm2-135m-instruct", "tiny-llama")
    assert model_name("a/b-7B-Q4_K_M.gguf") == "b-7b"
    spellings = {"gpt_neox": "gptneox", "gptneox": "gptneox", "gemma3_text": "gemma3", "mistral": "llama"}
    assert {name: architecture(name) for name in spellings} == spellings
