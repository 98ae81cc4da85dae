"""Deltas that nobody trained: each recipe against its closed form, and none of them ever reads a steering."""

import pytest
import torch
from prompt_examples import save_model
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.make.captures import Captured
from steerdose.make.construct import construct_delta
from steerdose.model.loading import load_model
from steerdose.steering.edits import matrix
from steerdose.steering.steering import Steering
from steerdose.study.methods import Constructed
from steerdose.study.settings import ConstructDelta

LAYERS, WIDTH, INNER, N = (1, 2), 32, 64, 200
BLOCKS = [f"model.layers.{i}" for i in range(3)]


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def captured(tmp_path):
    """Outputs whose personas differ by a known direction, and inputs with a known mean."""
    shift = {block: normal(WIDTH, seed=i) for i, block in enumerate(BLOCKS)}
    base = {block: normal(N, WIDTH, seed=10 + i) for i, block in enumerate(BLOCKS)}
    inputs = {f"{block}.mlp.down_proj.input": 0.5 + normal(N, INNER, seed=20 + i) for i, block in enumerate(BLOCKS)}
    prompts = tuple(map(str, range(N)))
    positive = {block: rows + shift[block] for block, rows in base.items()}
    Captured(tuple(BLOCKS), positive, base, prompts, "7").save(str(tmp_path / "residual.safetensors"))
    copies = {path: rows.clone() for path, rows in inputs.items()}
    Captured(tuple(inputs), inputs, copies, prompts, "7").save(str(tmp_path / "inputs.safetensors"))
    return shift, inputs


@pytest.fixture
def construct(model, captured, tmp_path, monkeypatch):
    monkeypatch.setattr(Steering, "n_loaded", 0)

    def run(recipe, **more):
        method = Constructed(kind="constructed", recipe=recipe, writer="mlp.down_proj", layer_range=(0.3, 1.0), **more)
        construct_delta(
            model=model, residual=str(tmp_path / "residual.safetensors"), inputs=str(tmp_path / "inputs.safetensors"),
            cell=Cell("tiny", "b", 0), settings=ConstructDelta(method=method), entry="made",
            steering=str(tmp_path / "made.safetensors"), geometry=str(tmp_path / "made.json"),
        )  # fmt: skip
        assert read_json(tmp_path / "made.json")["method"] == "made"
        found = Steering.load(tmp_path / "made.safetensors")
        monkeypatch.setattr(Steering, "n_loaded", 0)
        return {path: matrix(edit) for path, edit in found.edits}

    return run


def test_on_average_a_block_adds_the_difference_of_the_personas(construct, captured):
    shift, inputs = captured
    for recipe in ("outer", "least_squares"):
        found = construct(recipe)
        assert list(found) == [f"{BLOCKS[i]}.mlp.down_proj" for i in LAYERS]
        for i in LAYERS:
            X = inputs[f"{BLOCKS[i]}.mlp.down_proj.input"].double()
            added = (X @ found[f"{BLOCKS[i]}.mlp.down_proj"].T).mean(0)
            torch.testing.assert_close(added, shift[BLOCKS[i]].double(), atol=1e-4, rtol=1e-4)


def test_least_squares_is_that_of_a_solver(construct, captured):
    """Against `lstsq` on the stacked problem, up to the scale that gives v a mean of 1."""
    _, inputs = captured
    path = f"{BLOCKS[1]}.mlp.down_proj"
    X = inputs[f"{path}.input"].double()
    ridge = 0.3 * X.square().mean()
    stacked = torch.cat([X / N**0.5, ridge.sqrt() * torch.eye(INNER, dtype=torch.float64)])
    target = torch.cat([torch.ones(N, 1) / N**0.5, torch.zeros(INNER, 1)]).double()
    v = torch.linalg.lstsq(stacked, target).solution[:, 0]
    row = construct("least_squares", ridge=0.3)[path][0]
    assert torch.cosine_similarity(row, v, dim=0).abs() == pytest.approx(1, abs=1e-6)
    spread = [(X @ (matrix_ / (matrix_ @ X.mean(0)))).std() for matrix_ in (row, construct("outer")[path][0])]
    assert spread[0] < spread[1], "it adds the same at every input, as nearly as it can"


def test_outer_reads_what_the_weight_reads_most(construct, model):
    W = load_model(model, train=True).model.get_submodule(f"{BLOCKS[1]}.mlp.down_proj").weight.detach()
    v = torch.linalg.svd(W.double(), full_matrices=False).Vh[0]
    row = construct("outer")[f"{BLOCKS[1]}.mlp.down_proj"][0]
    assert torch.cosine_similarity(row, v, dim=0).abs() == pytest.approx(1, abs=1e-6)


def test_lm_head_writes_into_the_heads_rows_and_write_not_read_where_the_next_block_does_not_look(construct, model):
    whole = load_model(model, train=True).model
    V = torch.linalg.svd(whole.lm_head.weight.detach().double(), full_matrices=False).Vh[:4].T
    column = construct("lm_head", rank=4)[f"{BLOCKS[1]}.mlp.down_proj"]
    torch.testing.assert_close(V @ (V.T @ column), column, atol=1e-5, rtol=1e-4)
    block = whole.model.layers[2]
    readers = [
        block.self_attn.q_proj,
        block.self_attn.k_proj,
        block.self_attn.v_proj,
        block.mlp.gate_proj,
        block.mlp.up_proj,
    ]
    R = torch.linalg.svd(torch.cat([each.weight.detach().double() for each in readers])).Vh[:4].T
    hidden = construct("write_not_read", rank=4)[f"{BLOCKS[1]}.mlp.down_proj"]
    assert (R.T @ hidden).norm() < 1e-5 * hidden.norm()


def test_it_stops_where_a_steering_was_read_before(construct, tmp_path):
    construct("outer")
    Steering.load(tmp_path / "made.safetensors")
    with pytest.raises(SteerdoseError, match=r"methods\.made: a steering was read before it was constructed"):
        construct("outer")


def test_a_projection_that_leaves_nothing_is_refused(construct):
    with pytest.raises(SteerdoseError, match=r"write_not_read leaves nothing of the difference at model\.layers\.1"):
        construct("write_not_read", rank=WIDTH)
