"""Anyone's benchmark at a dose: the tasks of lm-evaluation-harness, run by its own HFLM over a steered model."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import coefficient_of
from steerdose.steering.steering import Steering, steer
from steerdose.study.config import LmEval
from steerdose.study.published import RunLmEval

KEPT = ("results", "groups", "n-samples", "n-shot", "versions", "higher_is_better")  # the rest is time and machine


def evaluate(loaded: LoadedModel, task: str, options: LmEval) -> dict[str, Any]:
    """Return what lm-eval finds of a task under the model as it is, steered or not: its own results, by its names.

    Raises SteerdoseError where lm-eval is not installed, or does not know the task, or cannot load its data.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise SteerdoseError(
            f"lm-evaluation-harness is an extra, and is not here ({error}): pip install -r requirements-lm-eval.txt"
        ) from error
    manager = TaskManager(include_path=options.include_path)
    if task not in manager.all_tasks:
        raise SteerdoseError(
            f"lm-eval has no task '{task}'; `lm-eval ls tasks` lists its own, and tasks of yours are read from the "
            f"folder lm_eval.include_path, now {options.include_path}"
        )
    over = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        device=str(loaded.device),
        batch_size=options.batch_size,
    )
    try:
        found = simple_evaluate(
            model=over,
            tasks=[task],
            num_fewshot=options.num_fewshot,
            limit=options.limit,
            apply_chat_template=options.chat_template,
            task_manager=manager,
            log_samples=False,
        )
    except (OSError, ValueError, ConnectionError) as error:
        raise SteerdoseError(f"lm-eval cannot run '{task}': {error}") from error
    assert found is not None, "only other ranks of a distributed run return None"
    return {name: found[name] for name in KEPT if found.get(name)}


def run_lm_eval(
    *,
    model: str,
    steering: list[str],
    calibration: str,
    cell: Cell,
    alpha: float,
    task: str,
    settings: RunLmEval,
    result: str,
) -> None:
    """Write what lm-eval finds of one task under one method at one dose, as JSON."""
    if settings.positions != "all":
        raise SteerdoseError(
            f"'{cell.method}' steers {settings.positions} tokens alone, and lm-eval does not say which these are; only "
            "methods with `positions: all` can be run"
        )
    coefficient = coefficient_of(alpha, read_json(calibration))
    loaded = load_model(model, settings.run)
    with steer(loaded.model, Steering.load(steering[0]).member(cell.method or ""), coefficient):
        found = evaluate(loaded, task, settings.options)
    dose = {**dict(zip(cell.names, cell.parts, strict=True)), "alpha": alpha, "coefficient": coefficient, "task": task}
    source = {"model_sha256": read_json(Path(model) / "source.json")["sha256"], "lm_eval": version("lm_eval")}
    write_json({**dose, **source, "options": settings.options.model_dump(), **found}, result)
