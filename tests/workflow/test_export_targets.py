"""Exports are file targets: one command from nothing to the file, and the consumer's own code reads it."""

import json
import re

import gguf
import peft
import pytest
import torch
import transformers
from steerdose.declarations.passed import CURVE, SUMMARIES
from steerdose.files import read_json, read_table
from steerdose.steering.edits import Add
from steerdose.steering.steering import Steering, steer
from transformers import AutoModelForCausalLM

CELL = "results/tiny/honesty/seed0"
IDS = torch.tensor([[5, 6, 7, 8, 200, 31]])


def test_one_target_makes_everything_that_it_needs(fresh):
    done = fresh.snakemake("-n", "--resources", "gpu=1", "--", "results/export/smollm2.honesty.seed0.lora.alpha1/peft")
    jobs = [
        "resolve_model",
        "generate_pairs",
        "train_adapter",
        "merge_diff",
        "calibrate_alpha",
        "audit_dose",
        "gather_calibration",
        "export_peft",
    ]
    table = (done.stdout + done.stderr).partition("Job stats:")[2].partition("total")[0]
    assert sorted(line.split()[0] for line in table.splitlines()[3:] if line) == sorted(jobs)


@pytest.mark.parametrize("target", ["lora.alpha1e3/peft", "lora.alpha/peft", "lora.alpha1/gguf", "nothing.alpha1/peft"])
def test_what_is_no_dose_format_or_method_is_no_target(fresh, target):
    done = fresh.snakemake("-n", f"results/export/tiny.honesty.seed0.{target}", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"no rule makes 'results/export/tiny.honesty.seed0.{target}'" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_exports_of_a_finished_study(study, monkeypatch):
    lora, minus, vector = (f"results/export/tiny.honesty.seed0.{name}" for name in
                           ("lora.alpha1", "lora.alpha-1.5", "mean_diff.alpha3"))  # fmt: skip
    study.snakemake(
        f"{lora}/card.md", f"{lora}/peft", f"{minus}/model", f"{minus}/card.md", f"{vector}/control_vector.gguf",
        f"{vector}/card.md",
    )  # fmt: skip
    calibration = read_json(study.root / CELL / "calibration/lora.json")
    steering = Steering.load(study.root / CELL / "steering/lora.safetensors")
    base = AutoModelForCausalLM.from_pretrained(study.root / "results/models/tiny")
    exported = {
        calibration["positive"]["c_star"]: lambda: peft.PeftModel.from_pretrained(base, study.root / lora / "peft"),
        -1.5 * calibration["negative"]["c_star"]: lambda: AutoModelForCausalLM.from_pretrained(
            study.root / minus / "model"
        ),
    }
    with torch.inference_mode():
        for coefficient, load in sorted(exported.items()):
            with steer(base, steering, coefficient):
                expected = base(IDS).logits
            torch.testing.assert_close(load().eval()(IDS).logits, expected, atol=1e-4, rtol=0)
    (path, edit), c = (
        Steering.load(study.root / CELL / "steering/mean_diff.safetensors").edits[0],
        3 * read_json(study.root / CELL / "calibration/mean_diff.json")["positive"]["c_star"],
    )
    assert isinstance(edit, Add)
    (tensor,) = gguf.GGUFReader(study.root / vector / "control_vector.gguf").tensors
    assert tensor.name == f"direction.{path.rpartition('.')[2]}"
    torch.testing.assert_close(torch.tensor(tensor.data), c * edit.v)

    card = study.read(f"{lora}/card.md")
    monkeypatch.chdir(study.root / lora)
    names = {"transformers": transformers, "peft": peft}
    lines = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]  # the card's own lines load the adapter
    exec(lines.replace("path/to/base", str(study.root / "results/models/tiny")), names)
    assert isinstance(names["model"], peft.PeftModel)
    assert names["tokenizer"].chat_template
    source = read_json(study.root / "results/models/tiny/source.json")
    survival = study.root / CELL / "survival"
    summary = (
        read_table(survival / "lora.summary.parquet", SUMMARIES).filter(alpha=1, endpoint="text").row(0, named=True)
    )
    curve = read_table(survival / "lora.curve.parquet", CURVE).filter(alpha=1, endpoint="text").sort("t")
    curve = curve.row(-1, named=True)
    assert source["sha256"] in card
    found = calibration["positive"]
    assert f"{found['statistic']:.4g} at {found['evaluated']:.6g}, a step before alpha 1 |" in card
    assert f"{calibration['positive']['c_star']:.6g}" in card
    assert (
        f"| alpha 1 | {summary['n']} | {summary['died']} | {summary['censored']} | {summary['s_end']:.3f} | "
        f"{curve['ci_low']:.3f} to {curve['ci_high']:.3f} |"
    ) in card
    assert "| unsteered | 4 |" in card
    assert 'peft.PeftModel.from_pretrained(base, "peft")' in card
    assert "llama-cli" not in card
    unmeasured = study.read(f"{minus}/card.md")
    assert "Nothing was measured at alpha -1.5**; rolled out were 0, 1, 3." in unmeasured
    assert "llama-cli -m base.gguf --control-vector control_vector.gguf" in study.read(f"{vector}/card.md")
    assert study.stale() == {}


TASK = """\
task: opposites
dataset_path: json
dataset_kwargs: {data_files: {test: tasks/opposites.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "The opposite of {{word}} is"
doc_to_choice: "{{answers}}"
doc_to_target: 0
"""


@pytest.mark.slow
def test_a_benchmark_of_ones_own_is_run_at_a_dose_and_again_after_an_edit(study):
    words = [("hot", "cold", "warm"), ("wet", "dry", "damp"), ("loud", "quiet", "noisy")]
    rows = [{"word": word, "answers": answers} for word, *answers in words]
    (study.root / "tasks").mkdir()
    (study.root / "tasks/opposites.yaml").write_text(TASK)
    (study.root / "tasks/opposites.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study.configure(lm_eval={"include_path": "tasks"})
    targets = [f"{CELL}/lm_eval/mean_diff.alpha{alpha}.opposites.json" for alpha in (0, 3)]
    study.snakemake(*targets)
    plain, steered = (read_json(study.root / target) for target in targets)
    assert plain["n-samples"]["opposites"]["effective"] == 3
    c_star = read_json(study.root / CELL / "calibration/mean_diff.json")["positive"]["c_star"]
    assert steered["coefficient"] == 3 * c_star
    assert study.stale(*targets) == {}
    with (study.root / "tasks/opposites.jsonl").open("a") as file:
        file.write(json.dumps({"word": "big", "answers": ["small", "huge"]}) + "\n")
    assert study.stale(*targets) == {"run_lm_eval": 2}


@pytest.mark.slow
def test_a_format_that_cannot_hold_the_edits_says_which_can(study):
    target = "results/export/tiny.honesty.seed0.mean_diff.alpha1"
    done = study.snakemake(f"{target}/peft", check=False)
    assert done.returncode == 1
    log = study.read("results/logs/export_peft/tiny.honesty.seed0.mean_diff.alpha1.log")
    assert "Export control_vector.gguf instead" in log
    assert "Traceback" not in log
    assert not (study.root / target / "peft").exists()
