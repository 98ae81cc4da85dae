"""Every task of the config under one method at six doses, against reading or writing one row at a time, in one run.

Run with `make bench`; a smaller run: python bench/tasks.py --tasks honesty text --rows 3.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests"), str(ROOT / "bench")]

import torch  # noqa: E402
import yaml  # noqa: E402
from engine import DOSE, MODEL, timed  # noqa: E402
from reference.rollout import generate_one, steered_copy  # noqa: E402
from reference.scores import read_text  # noqa: E402
from steerdose.engine.generate import generate  # noqa: E402
from steerdose.engine.requests import ask  # noqa: E402
from steerdose.model.architecture import find_blocks  # noqa: E402
from steerdose.model.chat import end_ids  # noqa: E402
from steerdose.model.loading import LoadedModel, load_model  # noqa: E402
from steerdose.outcomes.scores import TASKS, readings  # noqa: E402
from steerdose.steering.edits import Add  # noqa: E402
from steerdose.steering.intervention import Intervention  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.items import load_items  # noqa: E402
from steerdose.study.load import load_study  # noqa: E402
from steerdose.study.tasks import ReadTask, WritingTask  # noqa: E402

ALPHAS = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


def reading(plain: LoadedModel, loaded: LoadedModel, task: ReadTask, doses: Sequence[Intervention], n_rows: int):
    """Return seconds for all rows of a task, how many these are, and seconds a row of the obvious script."""
    rows = load_items(task)
    seconds, _ = timed(lambda: readings(loaded, rows, doses, task))
    items = TASKS[task.kind].items(loaded.tokenizer, rows, task, doses)
    some = items[:: max(1, len(items) // n_rows)][:n_rows]
    copies = [steered_copy(plain.model, each.steering, each.coefficient) for each in doses]
    alone, _ = timed(
        lambda: [
            read_text(copy, list(item.ids[None]), [list(answer) for answer in item.answers], item.n_scored)
            for copy in copies
            for item in some
        ]
    )
    return seconds, len(items) * len(doses), alone / (len(some) * len(doses))


def writing(plain: LoadedModel, loaded: LoadedModel, task: WritingTask, doses: Sequence[Intervention], n_rows: int):
    """As `reading`, of texts that the model writes. The script's twin and its KL are left out of its time."""
    rows = load_items(task)
    requests = [ask(loaded.tokenizer, row["id"], row["prompt"], each) for row in rows for each in doses]
    seconds, _ = timed(lambda: generate(loaded, requests, window=task.window, batch_size=task.batch_size * len(doses)))
    some = requests[:: max(1, len(requests) // n_rows)][:n_rows]
    ends = end_ids(loaded.tokenizer, loaded.model.generation_config)

    def script() -> None:
        for each in some:
            copy = steered_copy(plain.model, each.intervention.steering, each.intervention.coefficient)
            generate_one(plain.model, copy, list(each.ids), task.window, ends, {}, [])

    alone, _ = timed(script)
    return seconds, len(requests), alone / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = load_study(yaml.safe_load((ROOT / "config.yaml").read_text())).tasks
    parser.add_argument("--tasks", nargs="+", default=list(tasks), choices=list(tasks))
    parser.add_argument("--rows", type=int, default=4, help="of the obvious script, at each dose: it is slow")
    given = parser.parse_args()
    plain, loaded = load_model(MODEL, train=True), load_model(MODEL)
    v = torch.randn(plain.model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    steering = Steering("random", ((find_blocks(plain.model)[18], Add(v / v.norm())),), {})
    doses = [Intervention(steering, DOSE * alpha, alpha=alpha) for alpha in ALPHAS]
    print(f"{len(ALPHAS)} doses of one method, {torch.get_num_threads()} threads\n")
    every, scripted = 0.0, 0.0
    for name in given.tasks:
        measure = writing if isinstance(tasks[name], WritingTask) else reading
        seconds, n_rows, alone = measure(plain, loaded, tasks[name], doses, given.rows)
        every, scripted = every + seconds, scripted + alone * n_rows
        print(f"{name:<16}{n_rows:>6} rows{seconds:>8.1f} s{n_rows / seconds:>9.1f} rows/s"
              f"{alone * n_rows / seconds:>8.1f} x one row at a time", flush=True)  # fmt: skip
    print(f"{'all':<16}{'':>11}{every:>8.1f} s{'':>16}{scripted / every:>8.1f} x one row at a time")


if __name__ == "__main__":
    main()
