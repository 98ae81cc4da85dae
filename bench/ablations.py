"""A screen's reading of one part of a weight delta, against the same texts through the engine's other ways, in one run.

Run with `make bench`, or python bench/ablations.py. Deltas of rank 16 in all linear layers of 15 blocks, as `lora` has.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests"), str(ROOT / "bench")]

import torch  # noqa: E402
import yaml  # noqa: E402
from engine import MODEL, timed  # noqa: E402
from reference.rollout import steered_copy  # noqa: E402
from reference.scores import read_text  # noqa: E402
from steerdose.engine.replay import Replay  # noqa: E402
from steerdose.engine.score import score  # noqa: E402
from steerdose.model.loading import load_model  # noqa: E402
from steerdose.outcomes.scores import TASKS  # noqa: E402
from steerdose.steering.edits import Dense, Edit, LowRank  # noqa: E402
from steerdose.steering.intervention import UNSTEERED, Intervention  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.items import load_items  # noqa: E402
from steerdose.study.load import load_study  # noqa: E402

RANK, BLOCKS, SCALE = 16, range(9, 24), 1e-3


def delta(model: torch.nn.Module, dense: bool, blocks: range) -> Steering:
    """Return a random delta in all linear layers of some blocks."""
    generator, edits = torch.Generator().manual_seed(0), []
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and any(f".layers.{block}." in path for block in blocks):
            out, into = module.weight.shape
            B, A = (torch.randn(*shape, generator=generator) for shape in ((out, RANK), (RANK, into)))
            edit: Edit = Dense(SCALE * B @ A) if dense else LowRank(A=A, B=SCALE * B)
            edits.append((path, edit))
    return Steering("part", tuple(edits), {})


def main() -> None:
    """Print seconds a part, and ratios."""
    torch.set_num_threads(2)
    study = load_study(yaml.safe_load((ROOT / "config.yaml").read_text()))
    loaded = load_model(MODEL)
    plain = load_model(MODEL, train=True)
    task = study.read_task("outlook").model_copy(update={"n_items": study.ablations.n_items})
    items = TASKS[task.kind].items(loaded.tokenizer, load_items(task), task, [UNSTEERED])
    replay = Replay(loaded, items)
    n_tokens = sum(len(pack.ids) for pack in replay.packs)
    print(f"{len(items)} texts of {study.ablations.n_items} items, {n_tokens} packed tokens")
    one = range(20, 21)
    for name, blocks, dense in (("15 blocks", BLOCKS, False), ("15, dense", BLOCKS, True), ("block 20", one, False)):
        steering = delta(loaded.model, dense, blocks)
        chosen, copy = [Intervention(steering, 1.0)], steered_copy(plain.model, steering, 1.0)
        ways = {
            "replay": lambda each=steering: replay.read(each, 1.0),
            "score": lambda each=chosen: score(loaded, each, items, batch_rows=len(items)),
            "one text at a time": lambda model=copy: [
                read_text(model, list(item.ids[None]), [], item.n_scored) for item in items
            ],
        }
        seconds = {way: timed(work)[0] for way, work in ways.items()}
        others = ", ".join(f"{seconds[way] / seconds['replay']:.1f} x {way}" for way in list(ways)[1:])
        print(f"{name:12s} {seconds['replay']:6.2f} s a part   {others}", flush=True)


if __name__ == "__main__":
    main()
