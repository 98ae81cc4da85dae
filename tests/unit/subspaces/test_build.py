"""The jobs of the sweep: captures, bases and scores as files, made without a delta in sight."""

import pytest
import tiny
import torch
from prompt_examples import save_model
from safetensors.torch import load_file, save_file
from steerdose.columns import Cell
from steerdose.declarations.subspaces import SUBSPACE_BASES
from steerdose.errors import SteerdoseError
from steerdose.files import read_table
from steerdose.model.residual import residual_view
from steerdose.steering.steering import Steering
from steerdose.study.settings import BuildSubspaces
from steerdose.study.subspaces import LEGACY, Subspaces, Switches
from steerdose.subspaces.bases import read_subspaces
from steerdose.subspaces.build import build_subspaces
from steerdose.subspaces.captures import clean_ids
from steerdose.subspaces.registry import HYPOTHESES
from subspace_examples import sites

CELL = Cell("tiny", "b", 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def build(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Steering, "n_loaded", 0)
    view = residual_view(tiny.model(), tiny.tokenizer())
    save_file({name: value.contiguous() for name, value in vars(sites(view)).items()}, tmp_path / "sites.safetensors")

    def run(name="one", switches=None, layers=(0.0, 1.0)):
        paths = {"bases": str(tmp_path / f"{name}.safetensors"), "told": str(tmp_path / f"{name}.parquet")}
        settings = BuildSubspaces(layer_range=layers, switches=switches or Switches(), columns=4)
        build_subspaces(model=model, sites=str(tmp_path / "sites.safetensors"), cell=CELL, settings=settings, **paths)
        return paths

    return run


def test_every_hypothesis_has_a_row_a_block_and_a_basis_where_it_applies(build):
    paths = build()
    told, tensors = read_table(paths["told"], SUBSPACE_BASES), load_file(paths["bases"])
    assert set(told["subspace"]) == set(HYPOTHESES)
    assert len(told) == 3 * len(HYPOTHESES)
    applies = told.filter(~told["status"].str.starts_with("not applicable"))
    assert {f"{name}.{block}" for name, block in applies.select("subspace", "block").iter_rows()} == set(tensors)
    assert told.filter(subspace="write_not_lm_head_read")["status"][0].startswith("not applicable: 32 forbidden")


def test_what_was_written_is_read_again_with_its_kind(build):
    paths = build()
    tensors, found = load_file(paths["bases"]), read_subspaces(**paths)
    for each in found:
        own = HYPOTHESES[each.name]
        assert (each.family, each.axis, each.scope) == (own.family, own.axis, own.scope)
        if each.basis is None:
            assert each.status.startswith("not applicable")
        else:
            torch.testing.assert_close(each.basis.Q.float(), tensors[f"{each.name}.{each.block}"])


def test_of_some_blocks_the_bases_are_those_of_all(build):
    paths, own = build("all"), build("some", layers=(0.3, 0.7))
    assert set(read_table(own["told"], SUBSPACE_BASES)["block"]) == {1}
    every = load_file(paths["bases"])
    for name, basis in load_file(own["bases"]).items():
        torch.testing.assert_close(basis, every[name])


def test_two_runs_write_the_same_bytes(build, tmp_path):
    build("one")
    build("two")
    for kind in ("safetensors", "parquet"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_the_published_definitions_give_other_bases(build):
    one, other = (load_file(build(name, switches)["bases"]) for name, switches in (("a", Switches()), ("b", LEGACY)))
    assert not torch.equal(one["TaskDiff_contrast.1"], other["TaskDiff_contrast.1"])
    assert torch.equal(one["diff_in_means.1"], other["diff_in_means.1"])


def test_bases_are_not_built_where_a_steering_was_read(build, monkeypatch):
    monkeypatch.setattr(Steering, "n_loaded", 1)
    with pytest.raises(SteerdoseError, match="they must not see any"):
        build()


def test_single_switches_stand_above_the_mode():
    asked = Subspaces(mode="legacy", switches={"balanced": True})
    assert asked.definitions == LEGACY.model_copy(update={"balanced": True})
    with pytest.raises(ValueError, match="there are center_contrasts"):
        Subspaces(switches={"centre": True})


def test_a_clean_prompt_is_rendered_like_the_personas_or_raw_as_published():
    tokenizer = tiny.tokenizer()
    assert tokenizer.decode(clean_ids(tokenizer, "Hello", rendered=True)).endswith("assistant\n")
    assert tokenizer.decode(clean_ids(tokenizer, "Hello", rendered=False)) == "Hello"
