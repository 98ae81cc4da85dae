"""Random controls: same kinds, same norms, other directions."""

import pytest
import torch
from edit_examples import example
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.make.controls import draw_control, randomise
from steerdose.steering.edits import EDITS, Add, Dense, Edit, LowRank, Rotate
from steerdose.steering.steering import Steering
from steerdose.study.methods import Random
from steerdose.study.settings import DrawControl


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def overall_norm(edit):
    """The norm of B A for factors, of the matrix, or of each direction."""
    if isinstance(edit, LowRank):
        return (edit.B @ edit.A).norm()
    if isinstance(edit, Dense):
        return edit.dW.norm()
    if isinstance(edit, Rotate):
        return torch.stack([edit.b1, edit.b2]).norm(dim=-1)
    return torch.cat([edit.tensors()[name].norm(dim=-1).flatten() for name in edit.directions])


@pytest.mark.parametrize("name", EDITS)
def test_a_control_has_the_kind_and_norm_and_another_direction(name):
    edit = example(name)
    first, again, second = (randomise(edit, generator(seed)) for seed in (0, 0, 1))
    assert type(first) is type(edit)
    assert first.width == edit.width
    for key, tensor in edit.tensors().items():
        drawn = first.tensors()[key]
        assert (drawn.shape, drawn.dtype) == (tensor.shape, tensor.dtype)
        assert torch.equal(drawn, again.tensors()[key])
        kept = edit.directions and key not in edit.directions
        assert torch.equal(drawn, tensor) == bool(kept)
        assert torch.equal(drawn, second.tensors()[key]) == bool(kept)
    torch.testing.assert_close(overall_norm(first), overall_norm(edit), atol=1e-6, rtol=1e-5)


def test_a_random_plane_is_orthonormal():
    plane = randomise(example("Rotate"), generator())
    assert plane.b1 @ plane.b2 == pytest.approx(0, abs=1e-6)


def test_random_directions_lie_everywhere():
    edit = Add(torch.eye(200)[0] * 7)
    drawn = torch.stack([randomise(edit, generator(seed)).v for seed in range(100)])
    assert (torch.cosine_similarity(drawn[:, None], drawn[None], dim=-1) - torch.eye(100)).abs().max() < 0.5
    assert drawn.mean(0).norm() < 2


def test_an_edit_without_directions_has_no_control():
    with pytest.raises(SteerdoseError, match="no random control of the edit Edit"):
        randomise(Edit(), generator())


def test_the_draw_depends_on_cell_source_and_number(tmp_path):
    Steering("lora", (("a", example("Add")), ("b", example("LowRank"))), {"model_sha256": "5"}).save(tmp_path / "s")

    def draw(number=0, of="lora", entry="control", cell=("m", "b", 0)):
        settings = DrawControl(method=Random(kind="random", of=of, draw=number))
        draw_control(
            source=str(tmp_path / "s"), cell=Cell(*cell), settings=settings, entry=entry,
            steering=str(tmp_path / "r"), geometry=str(tmp_path / "g"),
        )  # fmt: skip
        return Steering.load(tmp_path / "r")

    first = draw()
    assert first.method == "control"
    assert first.metadata["model_sha256"] == "5"
    assert [first.metadata[key] for key in ("model", "behavior", "seed")] == ["m", "b", "0"]
    assert DrawControl.parse(first.metadata["config"]).method.of == "lora"
    assert [path for path, _ in first.edits] == ["a", "b"]
    assert read_json(tmp_path / "g") == {"method": "control", "modules": first.describe()}
    norms = [[entry["norm"] for entry in s.describe()] for s in (first, Steering.load(tmp_path / "s"))]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    v = first.edits[0][1].v
    assert torch.equal(draw(entry="renamed").edits[0][1].v, v)
    cells = [("m", "b", 1), ("m", "c", 0), ("n", "b", 0)]
    others = [draw(number=1), draw(of="pissa"), *(draw(cell=cell) for cell in cells)]
    assert not any(torch.equal(other.edits[0][1].v, v) for other in others)
