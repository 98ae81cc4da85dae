"""`python subspace_jobs.py FOLDER`: bases, sweep and table of a planted delta on a tiny model, as jobs write them."""

import sys
from pathlib import Path

from prompt_examples import save_model
from safetensors.torch import save_file
from steerdose.columns import Cell
from steerdose.files import write_json
from steerdose.steering.edits import LowRank
from steerdose.steering.steering import Steering
from steerdose.study.published import TabulateSubspaces
from steerdose.study.settings import BuildSubspaces, Run, SweepSubspaces
from steerdose.study.subspaces import Switches
from steerdose.subspaces.build import build_subspaces
from steerdose.subspaces.sweep import sweep_subspaces
from steerdose.tables.subspaces import tabulate_subspaces
from subspace_examples import normal, sites, view

PROMPTS = Path(__file__).parents[1] / "data/prompts.jsonl"


def run(folder: Path, layer_range: tuple[float, float] = (0.3, 1.0)) -> None:
    """Write all files of a study of one cell into a folder; the delta edits block 1 of 3."""
    files = {
        name: str(folder / name) for name in ("sites", "bases", "told", "steering", "scores", "summary", "recovered")
    }
    residual = view()
    save_file({name: value.contiguous() for name, value in vars(sites(residual)).items()}, files["sites"])
    model, cell = save_model(folder / "model"), Cell("tiny", "b", 0)
    build_subspaces(
        model=model, sites=files["sites"], cell=cell,
        settings=BuildSubspaces(layer_range=layer_range, switches=Switches(), columns=4),
        bases=files["bases"], told=files["told"],
    )  # fmt: skip
    path = residual.blocks[1].sources["down"][0]
    metadata = {"positive": "x", "negative": "y"}
    edit = LowRank(A=normal(2, 64, seed=1), B=0.3 * normal(32, 2, seed=2))
    Steering("lora", ((path, edit),), metadata).save(files["steering"])
    write_json({"lora": {"positive": {"c_star": 1.0}, "negative": {"c_star": 1.0}}}, folder / "doses")
    sweep_subspaces(
        model=model, steering=files["steering"], doses=str(folder / "doses"), bases=files["bases"], told=files["told"],
        prompts=str(PROMPTS), method="lora", cell=cell.of("lora"),
        settings=SweepSubspaces(
            run=Run(dtype="float32", device="cpu"), batch_size=4, n_heldout=3, widths=(1, 4), alpha=1.0, exact=True
        ),
        scores=files["scores"], summary=files["summary"], recovered=files["recovered"],
    )  # fmt: skip
    outputs = {name: str(folder / f"subspaces.{name}") for name in ("csv", "html")}
    tabulate_subspaces(
        summaries=[files["summary"]], prompts=[files["recovered"]],
        settings=TabulateSubspaces(methods=("lora",), confidence=0.95), caption="c",
        table=str(folder / "subspaces.parquet"),
        **outputs,
    )  # fmt: skip


if __name__ == "__main__":
    run(Path(sys.argv[1]))
