"""`make dose`: what it writes, what it runs, what it says; and what it answers to what is no vector."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from import_examples import vector, write_gguf
from snakemake.utils import update_config
from steerdose import my_vector
from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.my_vector import format_of, model_of, name_of, overlay
from steerdose.study.load import load_study

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def control_vector(path, kind="controlvector"):
    return write_gguf(path, {"direction.1": vector(1)}, arch=kind)


def test_every_format_is_told_by_what_lies_there(tmp_path):
    for name in ("a.pt", "a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(b"")
    for name in ("adapter/adapter_config.json", "merged/config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    control_vector(tmp_path / "a.gguf")
    expected = {"a.pt": "steering_vectors", "a.npz": "vectors", "a.safetensors": "vectors", "a.gguf": "control_vector"}
    expected |= {"adapter": "peft", "merged": "checkpoint"}
    assert {name: format_of(str(tmp_path / name)) for name in expected} == expected


def test_what_is_no_vector_is_refused_with_what_it_is(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    control_vector(tmp_path / "model.gguf", "llama")
    said = {
        "nowhere.gguf": "there is no file or folder", "empty": "no adapter_config.json or config.json",
        "notes.txt": "ends in none of .gguf, .pt", "cut.gguf": "not a readable GGUF",
        "model.gguf": "a GGUF model and no control vector",
    }  # fmt: skip
    for name, match in said.items():
        with pytest.raises(SteerdoseError, match=match):
            format_of(str(tmp_path / name))


def test_a_model_is_a_key_of_the_config_or_a_source():
    assert model_of("smollm2", CONFIG["models"]) == ("smollm2", {})
    name, entry = model_of("Qwen/Qwen2.5-0.5B-Instruct@7ae5576", CONFIG["models"])
    assert (name, entry["source"], entry["revision"]) == (
        "qwen2_5_0_5b_instruct",
        "Qwen/Qwen2.5-0.5B-Instruct",
        "7ae5576",
    )
    wheel = CONFIG["models"]["smollm2"]["source"]
    assert model_of(wheel, {})[1]["source"] == wheel
    assert name_of("vectors/Happy-Vector v2.gguf") == "happy_vector_v2"


@pytest.mark.parametrize("behavior", ["honesty", "cheerfulness"])
def test_the_overlay_is_a_complete_study(tmp_path, behavior):
    vector = control_vector(tmp_path / "lora.gguf")
    given = overlay(str(vector), "smollm2", behavior, "10-20, 25", CONFIG)
    study = load_study(update(CONFIG, given))
    assert study.study.methods == ("lora_vector", "lora_vector_random", "simple_prompt", "engineered_prompt")
    assert study.methods["lora_vector"].layers == (*range(10, 21), 25), "and the config's own lora is left alone"
    assert study.measured(study.benefit.effects[behavior])
    with pytest.raises(SteerdoseError, match="BEHAVIOR: 'joy' has no task that shows it; there are honesty"):
        overlay(str(vector), "smollm2", "joy", "", CONFIG)


def update(config, changes):
    merged = yaml.safe_load(yaml.safe_dump(config))
    update_config(merged, changes)
    return merged


@pytest.mark.slow
def test_one_command_from_a_file_to_a_recommendation_and_an_overlay_to_go_on_from(study, monkeypatch, capsys):
    monkeypatch.chdir(study.root)
    np.savez("push.npz", **{str(i): np.random.default_rng(i).standard_normal(32) for i in range(3)})
    asked = {"vector": "push.npz", "model": "tiny_model", "behavior": "cheerfulness", "layers": "1-2", "cores": "2"}
    monkeypatch.setattr(sys, "argv", ["my_vector", *(f"--{name}={value}" for name, value in asked.items())])
    runs = []
    monkeypatch.setattr(my_vector, "follow", runs.append)
    with pytest.raises(FileNotFoundError):  # nothing has run
        my_vector.main()
    written = yaml.safe_load(Path("push.yaml").read_text())
    assert "push.yaml is written." in capsys.readouterr().out

    small = yaml.safe_load(Path("tiny.yaml").read_text())  # the user makes it smaller
    small["study"], small["models"] = {}, {}
    Path("push.yaml").write_text(yaml.safe_dump(update(written, small)))
    theirs = replace(study, overlay="push.yaml")
    monkeypatch.setattr(my_vector, "follow", lambda arguments: theirs.snakemake(*arguments[2:]))
    my_vector.main()
    said = capsys.readouterr().out
    assert "push.yaml is there, and is used as it is." in said
    assert "Applied: 2 of the 3 edits that it holds, at model.layers.1, model.layers.2." in said
    assert "push (positive): " in said
    card = Path(said.rpartition("See ")[2].split(",")[0])
    assert "seed" not in card.read_text().replace("with which other seeds", "")
    assert read_json(card.parent / "dose.json")["layers"] == [1, 2]
    assert theirs.stale("results/figs/survival.png") == {}, "any other target takes the overlay"

    monkeypatch.setattr(sys, "argv", [*sys.argv[:-2], "--layers=0", "--cores=2"])
    with pytest.raises(SteerdoseError, match="push.yaml is there and is for another vector, layers or model"):
        my_vector.main()


def test_without_a_vector_it_says_how_to_call_it():
    command = [sys.executable, "-m", "steerdose.my_vector", "--model", "smollm2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == "make dose: VECTOR is missing: make dose VECTOR=honest.gguf MODEL=smollm2\n"
