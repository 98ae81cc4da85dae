"""lm-evaluation-harness' own definitions of ARC and TriviaQA on local items, with steerdose in between and without."""

import importlib.util
import json
from pathlib import Path

import lm_eval
import pytest
import tiny
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.exchange.harness import run_lm_eval
from steerdose.files import read_json, write_json
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Add
from steerdose.steering.steering import Steering
from steerdose.study.config import LmEval
from steerdose.study.published import RunLmEval
from steerdose.study.settings import Run

THEIRS = Path(importlib.util.find_spec("lm_eval").origin).parent / "tasks"
FACTS = [
    ("ice", "cold", "hot"),
    ("fire", "hot", "wet"),
    ("water", "wet", "dry"),
    ("sand", "dry", "loud"),
    ("a drum", "loud", "cold"),
]
ARC = [
    {
        "id": name, "question": f"What is {name}?", "answerKey": "AB"[i % 2],
        "choices": {"label": ["A", "B"], "text": [right, wrong] if i % 2 == 0 else [wrong, right]},
    }
    for i, (name, right, wrong) in enumerate(FACTS)
]  # fmt: skip
TRIVIA = [{"question": f"What is {name}", "answer": {"aliases": [right]}} for name, right, _ in FACTS]
TASKS = {"arc_here": ("arc/arc_easy.yaml", ARC), "trivia_here": ("triviaqa/default.yaml", TRIVIA)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, a steering that matters at coefficient 8, and a folder of two tasks."""
    folder = tmp_path_factory.mktemp("harness")
    model = tiny.save(folder / "model")
    write_json({"sha256": "0", "trust_remote_code": False}, model / "source.json")
    (folder / "tasks").mkdir()
    for name, (theirs, rows) in TASKS.items():
        data = folder / f"tasks/{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines = (THEIRS / theirs).read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("task:", "dataset_", "tag:", "  - ai2_arc"))]
        splits = "".join(f"    {split}: {data}\n" for split in ("train", "validation", "test"))
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n{splits}"
        (folder / f"tasks/{name}.yaml").write_text(head + "\n".join(kept) + "\n")
    v = torch.randn(32, generator=torch.Generator().manual_seed(0))
    Steering("push", ((find_blocks(tiny.model())[1], Add(v / v.norm())),), {}).save(folder / "push.safetensors")
    write_json({sign: {"c_star": 8.0} for sign in ("positive", "negative")}, folder / "push.json")
    return folder


def run(place, task, alpha, positions="all", **options):
    options = LmEval(include_path=str(place / "tasks"), **options)
    settings = RunLmEval(run=Run(dtype="float32", device="cpu"), positions=positions, options=options)
    run_lm_eval(
        model=str(place / "model"), steering=[str(place / "push.safetensors")], calibration=str(place / "push.json"),
        cell=Cell("tiny", "honesty", 0, "push"), alpha=alpha, task=task, settings=settings,
        result=str(place / "found.json"),
    )  # fmt: skip
    return read_json(place / "found.json")


def alone(place, task):
    """What lm-eval says of the directory, without any of our code."""
    found = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(place / "model"), "dtype": "float32"}, tasks=[task], device="cpu",
        task_manager=TaskManager(include_path=str(place / "tasks"), include_defaults=False), batch_size=8,
    )  # fmt: skip
    return found["results"][task], found["samples"][task]


@pytest.mark.parametrize("task", TASKS)
def test_at_coefficient_0_the_numbers_are_those_of_lm_eval_itself(place, task):
    found = run(place, task, 0.0)
    expected, samples = alone(place, task)
    assert len(samples) == 5
    assert found["results"][task] == pytest.approx(expected, abs=1e-4)
    assert found["coefficient"] == 0
    assert found["n-samples"][task]["effective"] == 5
    assert not {"date", "total_evaluation_time_seconds"} & {*found}, "two runs have the same bytes"


def test_log_likelihoods_at_a_dose_are_those_of_the_steered_model(place, monkeypatch):
    """Against the vector added to the block's output by hand, one request at a time."""
    read, theirs = {}, HFLM._loglikelihood_tokens

    def kept(self, requests, **more):
        found = theirs(self, requests, **more)
        for (_, before, behind), (value, _) in zip(requests, found, strict=True):
            read[(*before, *behind)] = (len(before), value)
        return found

    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", kept)
    found = run(place, "arc_here", 1.0, limit=4)
    monkeypatch.undo()
    assert found["n-samples"]["arc_here"]["effective"] == 4
    plain, shift = tiny.model(), 8.0 * Steering.load(place / "push.safetensors").edits[0][1].v
    unsteered = {ids: own_log_p(plain, ids, start) for ids, (start, _) in read.items()}
    plain.get_submodule(find_blocks(plain)[1]).register_forward_hook(
        lambda _module, _args, output: (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift
    )
    assert len(read) == 8
    for ids, (start, value) in read.items():
        assert value == pytest.approx(own_log_p(plain, ids, start), abs=1e-4)
        assert abs(value - unsteered[ids]) > 0.01, "the steering must do something"


@torch.inference_mode()
def own_log_p(model, ids, start):
    log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(log_p[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_what_cannot_be_run_says_what_to_do(place):
    with pytest.raises(SteerdoseError, match="lm-eval has no task 'arc_hear'.*include_path"):
        run(place, "arc_hear", 0.0)
    with pytest.raises(SteerdoseError, match="steers generated tokens alone"):
        run(place, "arc_here", 0.0, positions="generated")
