"""The screen on a real tiny model: planted deltas are found, each matching is what its name says, rows are the same."""

import polars as pl
import pytest
import torch
from ablation_examples import TEXTS
from prompt_examples import save_model
from safetensors.torch import save_file
from steerdose.ablation.claims import LOCALISED, SPREAD, of_slices
from steerdose.ablation.places import PLACE
from steerdose.ablation.screen import screen_parts
from steerdose.columns import Cell
from steerdose.declarations.ablations import SCREEN_SCORES, SCREENED_PARTS
from steerdose.declarations.passed import REFERENCE_TOKENS
from steerdose.engine.score import score
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, write_json, write_table
from steerdose.make.bases import share_bases
from steerdose.model.loading import load_model
from steerdose.outcomes.tasks import options
from steerdose.steering.edits import Add, Dense, LowRank
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering
from steerdose.study.ablations import GROUPS
from steerdose.study.items import load_items
from steerdose.study.published import TabulateAblations
from steerdose.study.settings import Run, ScreenParts, ShareBases
from steerdose.study.tasks import OptionsTask
from steerdose.tables.ablations import tabulate_ablations

CELL = Cell("tiny", "cheerfulness", 0, "lora")
TASK = OptionsTask(
    kind="options",
    data="data/outlooks.jsonl",
    prompt="{prompt}",
    options="answers",
    right="glad",
    n_items=8,
    batch_size=1,
)
SHAPES = {
    "self_attn.q_proj": (32, 32),
    "self_attn.o_proj": (32, 32),
    "mlp.up_proj": (64, 32),
    "mlp.down_proj": (32, 64),
}
PATHS = {f"model.layers.{layer}.{module}": shape for layer in range(3) for module, shape in SHAPES.items()}


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def delta(loud=lambda path: False, quiet=0.01, seed=0):
    """A delta of rank 2 in every module; as loud as 1 where it is planted, elsewhere `quiet`."""
    edits = []
    for i, (path, (out, width)) in enumerate(PATHS.items()):
        scale = 1.0 if loud(path) else quiet
        edits.append(
            (path, LowRank(A=normal(2, width, seed=seed + i), B=scale * normal(out, 2, seed=seed + 100 + i) / 30))
        )
    return Steering("lora", tuple(edits), {})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def screened(model, tmp_path):
    """Screen a delta; return the two tables."""
    rows = [("tiny", name, "greedy", 0, t, 40 + t, 1.0) for name in ("q-01", "q-02") for t in range(1, 9)]
    names = [each.name for each in REFERENCE_TOKENS.columns]
    write_table(pl.DataFrame(rows, schema=names, orient="row"), tmp_path / "tokens.parquet", REFERENCE_TOKENS)
    write_json({"lora": {"positive": {"c_star": 2.0}}}, tmp_path / "search.json")

    def run(steering, group, ways=None, widths=(4, 16), others=(), hypotheses=None):
        files = []
        for i, each in enumerate((steering, *others)):
            files.append(str(tmp_path / f"{i}.safetensors"))
            each.save(files[-1])
        bases = str(tmp_path / "bases.safetensors")
        if group == "bases":
            names = ("lora", *(f"other{i}" for i in range(len(others))))
            share_bases(
                steerings=files, cell=Cell("tiny", "cheerfulness", 0), bases=bases,
                settings=ShareBases(methods=names, widths=widths, columns=max(widths)),
                angles=str(tmp_path / "angles.parquet"),
            )  # fmt: skip
        if hypotheses is not None:
            save_file(hypotheses, bases)
        settings = ScreenParts(
            run=Run(dtype="float32", device="cpu"), ways=ways or GROUPS[group], widths=widths, draws=2, alpha=0.5,
            tolerance=0.05, max_evaluations=6, effect="outlook", task=TASK, damage="text",
            texts=TEXTS.model_copy(update={"data": "data/reference_texts.jsonl", "n_answers": 2}), n_tokens=5,
            template="{question}",
        )  # fmt: skip
        parts, scores = (str(tmp_path / f"{group}.{name}.parquet") for name in ("parts", "scores"))
        screen_parts(
            model=model, steering=files[0], doses=str(tmp_path / "search.json"),
            bases=[bases] * (group in ("bases", "hypotheses")),
            reference=str(tmp_path / "tokens.parquet"), questions="data/questions.jsonl", method="lora", cell=CELL,
            settings=settings, parts=parts, scores=scores,
        )  # fmt: skip
        return read_table(parts, SCREENED_PARTS), read_table(scores, SCREEN_SCORES)

    return run


def told(parts, *place):
    return parts.filter(**dict(zip(PLACE, place, strict=True))).row(0, named=True)


def values(scores, *place, task="outlook"):
    return scores.filter(task=task, metric="margin", **dict(zip(PLACE, place, strict=True)))["value"].to_list()


def test_a_part_is_read_as_the_engine_reads_it_and_at_what_its_matching_says(screened, model):
    whole = delta(loud=lambda path: True)
    parts, scores = screened(whole, "modules")
    kept = [(path, edit) for path, edit in whole.edits if "layers.1." in path]
    loaded = load_model(model)
    items = options.items(loaded.tokenizer, load_items(TASK), TASK, [UNSTEERED])
    for at in ("coefficient", "norm", "kl"):
        row = told(parts, "layer", "1", "keep", at)
        given = Intervention(Steering("part", tuple(kept), {}), row["coefficient"])
        expected = options.found(load_items(TASK), TASK, score(loaded, [given], items, batch_rows=4)[0])
        margins = [each.value for each in expected if each.metric == "margin"]
        assert values(scores, "layer", "1", "keep", at) == pytest.approx(margins, abs=2e-3)
    assert told(parts, "layer", "1", "keep", "coefficient")["coefficient"] == 1.0, "0.5 of c_star"
    row = told(parts, "layer", "1", "keep", "norm")
    assert row["energy"] * row["coefficient"] ** 2 == pytest.approx(1, rel=1e-6), "as long as the whole"
    target = told(parts, "whole", "whole", "keep", "coefficient")["kl"]
    matched = parts.filter(pl.col("note") == "", at="kl")
    assert len(matched) > 20
    assert matched["kl"].to_list() == pytest.approx([target] * len(matched), rel=0.05)


def test_all_parts_have_the_same_rows_and_the_unsteered_model_stands_among_them(screened):
    parts, scores = screened(delta(loud=lambda path: True), "modules")
    keys = scores.group_by(PLACE, maintain_order=True).agg(pl.struct("task", "item", "form", "metric").alias("rows"))
    rows = keys["rows"].to_list()
    assert all(row == rows[0] for row in rows)
    read = parts.filter(pl.col("kl").is_not_null())
    assert len(read) == len(keys)
    assert told(parts, "whole", "zero", "keep", "coefficient")["kl"] == 0
    own = scores.filter(task="text", way="whole", part="zero")
    assert own["item"].unique(maintain_order=True).to_list() == ["own.q-01", "own.q-02"]
    sides = read.filter(at="coefficient", way="layer").pivot("side", index="part", values="energy")
    assert (sides["keep"] + sides["drop"]).to_list() == pytest.approx([1.0] * 3)
    assert read["error"].drop_nulls().max() < 1e-6


def shares_of(frame, way):
    """What every part keeps, and what is left without it, on the mean margin."""
    change = frame.group_by(PLACE, maintain_order=True).agg(pl.col("value").mean())
    at = {tuple(row[:4]): row[4] for row in change.iter_rows()}
    zero, whole = (at["whole", name, "keep", "coefficient"] for name in ("zero", "whole"))
    found = {}
    for (by, part, side, matching), value in at.items():
        if by == way and matching == "coefficient":
            share = (value - zero) / (whole - zero)
            found.setdefault(part, {})[side] = {"retained": share, "sure_low": share, "sure_high": share}
    return found


@pytest.mark.parametrize(
    ("loud", "way", "name"),
    [
        (lambda path: "layers.1." in path, "layer", "1"),
        (lambda path: path.endswith("down_proj"), "module", "down_proj"),
    ],
)
def test_a_planted_layer_and_a_planted_module_are_found(screened, loud, way, name):
    _, scores = screened(delta(loud), "modules", ways=("layer", "module"))
    verdict, _ = of_slices(shares_of(scores.filter(metric="margin"), way))
    assert verdict == f"{LOCALISED} in {name}"


def test_a_planted_direction_is_found_at_rank_one(screened):
    edits = []
    for i, (path, (out, width)) in enumerate(PATHS.items()):
        A = torch.linalg.qr(normal(width, 2, seed=i)).Q.T
        B = torch.linalg.qr(normal(out, 2, seed=50 + i)).Q * torch.tensor([1.0, 0.01])
        edits.append((path, LowRank(A=A.contiguous(), B=B.contiguous())))
    parts, scores = screened(Steering("lora", tuple(edits), {}), "spectra", ways=("rank",))
    assert parts.filter(way="rank")["part"].unique().to_list() == ["1"], "2 is the whole delta"
    assert shares_of(scores.filter(metric="margin"), "rank")["1"]["keep"]["retained"] == pytest.approx(1, abs=0.05)


def test_a_known_subspace_is_found_by_families_that_share_it_and_not_by_a_random_one(screened):
    shared = torch.linalg.qr(normal(32, 4, seed=9)).Q

    def family(seed):
        writers = [(path, shape) for path, shape in PATHS.items() if path.endswith(("o_proj", "down_proj"))]
        edits = [
            (p, LowRank(A=normal(4, w, seed=seed + i), B=(shared / 5).contiguous()))
            for i, (p, (_, w)) in enumerate(writers)
        ]
        return Steering("lora", tuple(edits), {})

    parts, scores = screened(family(0), "bases", others=(family(500), family(900)), widths=(4,))
    for way in ("shared", "others"):
        assert told(parts, way, "4", "keep", "coefficient")["note"] == "is the whole delta"
        assert told(parts, way, "4", "drop", "coefficient")["note"] == "empty"
    assert shares_of(scores.filter(metric="margin"), "random_basis")["4"]["keep"]["retained"] < 0.5


def bases_of(**directions):
    """Bases of hypotheses by name, the same in all three blocks; each begins with its direction."""
    return {
        f"{name}.{block}": torch.linalg.qr(torch.stack([u, *normal(3, 32, seed=70 + i)], 1)).Q.contiguous()
        for i, (name, u) in enumerate(directions.items())
        for block in range(3)
    }


PLANTED, ELSEWHERE = torch.linalg.qr(normal(32, 2, seed=3)).Q.T


def writing(u):
    """A delta that writes one direction alone, in every block."""
    writers = [(path, shape) for path, shape in PATHS.items() if path.endswith(("o_proj", "down_proj"))]
    edits = [(p, LowRank(A=normal(1, w, seed=i), B=0.3 * u[:, None])) for i, (p, (_, w)) in enumerate(writers)]
    return Steering("lora", tuple(edits), {})


@pytest.mark.parametrize("kind", ["delta", "added"])
def test_a_hypothesis_that_names_the_planted_direction_holds_the_effect_and_another_does_not(screened, kind):
    """Of a trained delta, and of a direction that is added behind a block."""
    added = Steering("lora", (("model.layers.1", Add(2 * PLANTED)),), {})
    steering = writing(PLANTED + 0.05 * ELSEWHERE) if kind == "delta" else added
    hypotheses = bases_of(right=PLANTED, wrong=ELSEWHERE)
    parts, scores = screened(steering, "hypotheses", widths=(1,), hypotheses=hypotheses)
    found = shares_of(scores.filter(metric="margin"), "subspace")
    assert told(parts, "subspace", "written", "keep", "coefficient")["note"] == "is the whole delta"
    assert set(parts.filter(way="subspace")["at"]) <= {"coefficient", "kl"}, "too short for the norm of the whole"
    note = told(parts, "subspace", "right-1", "keep", "coefficient")["note"]
    if kind == "delta":
        assert found["right-1"]["keep"]["retained"] == pytest.approx(1, abs=0.1)
        assert abs(found["wrong-1"]["keep"]["retained"]) < 0.2
        assert found["wrong-1"]["drop"]["retained"] == pytest.approx(1, abs=0.1)
    else:
        assert note == "is the whole delta"
        assert told(parts, "subspace", "wrong-1", "keep", "coefficient")["note"] == "empty"
        assert found["random0-1"]["keep"]["retained"] < 0.7


def test_an_even_spread_is_called_distributed(screened):
    """Three layers whose deltas were scaled, where the model is still linear, to do a third each."""
    whole = delta(loud=lambda _: True)

    def small(factors):
        edits = [(p, LowRank(A=e.A, B=e.B * float(0.05 * factors[p.split(".")[2]]))) for p, e in whole.edits]
        return screened(Steering("lora", tuple(edits), {}), "modules", ways=("layer",))[1]

    found = shares_of(small(dict.fromkeys("012", 1.0)).filter(metric="margin"), "layer")
    factors = {layer: 1 / both["keep"]["retained"] for layer, both in found.items()}
    even = shares_of(small(factors).filter(metric="margin"), "layer")
    assert [both["keep"]["retained"] for both in even.values()] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert of_slices(even)[0] == SPREAD


def test_random_copies_are_as_long_and_are_read_at_shares_of_the_energy_too(screened):
    parts, _ = screened(delta(loud=lambda path: True), "controls")
    lengths = parts.filter(way="random", part="0").select("at", "coefficient", "energy").rows()
    assert {at: (c, e) for at, c, e in lengths if at != "kl"} == {
        "coefficient": (1.0, pytest.approx(1)),
        **{f"energy{e:g}": (pytest.approx(e**0.5), e) for e in (0.01, 0.03, 0.1, 0.3)},
    }
    assert set(parts.filter(pl.col("way") != "whole")["side"]) == {"keep"}


def test_what_does_not_apply_is_said_with_its_reason(screened):
    edits = [each for each in delta(loud=lambda _: True).edits if "up_proj" in each[0]]
    readers = Steering("lora", tuple(edits), {})
    parts, _ = screened(readers, "modules", ways=("role", "third"))
    assert told(parts, "role", "writers", "keep", "coefficient")["note"].startswith(
        "not applicable: it has no role writers"
    )
    assert told(parts, "role", "mlp", "keep", "coefficient")["note"] == "is the whole delta"


def test_errors(screened):
    with pytest.raises(SteerdoseError, match="'lora' is no weight delta"):
        screened(Steering("lora", (("model.layers.1", Add(normal(32, seed=1))),), {}), "modules")
    tiny = Steering("lora", (("model.layers.1.mlp.up_proj", Dense(1e-12 * normal(64, 32, seed=1))),), {})
    with pytest.raises(
        SteerdoseError, match=r"has a KL of .* which no part can be matched to; change ablations\.alpha"
    ):
        screened(tiny, "modules")


def test_the_table_is_made_of_both(screened, tmp_path):
    screened(delta(loud=lambda path: "layers.1." in path, quiet=0.2), "modules")
    screened(delta(loud=lambda path: "layers.1." in path, quiet=0.2), "controls")
    files = {
        name: [str(tmp_path / f"{group}.{name}.parquet") for group in ("modules", "controls")]
        for name in ("parts", "scores")
    }
    outputs = {name: str(tmp_path / f"table.{name}") for name in ("csv", "html")}
    settings = TabulateAblations(
        tasks={"outlook": TASK},
        confidence=0.95,
        effects={"cheerfulness": ("outlook", "margin")},
        damage=("text", TEXTS),
    )
    tabulate_ablations(**files, settings=settings, caption="x", table=str(tmp_path / "table.parquet"), **outputs)
    table = pl.read_parquet(tmp_path / "table.parquet")
    assert table.filter(way="whole")["part"].to_list() == ["zero", "whole"], "once, though every group has it"
    assert table["seeds"].unique().to_list() == [1]
    whole = table.filter(part="whole").row(0, named=True)
    scores = read_table(files["scores"][0], SCREEN_SCORES)
    whole_margins, zero_margins = (values(scores, "whole", name, "keep", "coefficient") for name in ("whole", "zero"))
    change = sum(whole_margins) - sum(zero_margins)
    assert (whole["method"], whole["n"]) == ("lora", 8)
    assert whole["effect"] == pytest.approx(change / 8)
    assert whole["nll"] is not None
