"""What the files of a strange model may do: its own code never runs unasked, and its template is tried out apart."""

import ast
import io
import json
import sys
from pathlib import Path

import pytest
from source_examples import refuse, resolve, write_gguf
from steerdose.errors import SteerdoseError
from steerdose.model import sources
from steerdose.model.loading import load_tokenizer
from transformers import dynamic_module_utils

pytestmark = pytest.mark.usefixtures("scratch")


def strange(folder, marker, *, config=False):
    """Let a tokenizer, or a whole model, ask for Python code that lies beside it and that leaves a marker."""
    (folder / "strange.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    path = folder / "tokenizer_config.json"
    given = json.loads(path.read_text()) if path.is_file() else {}
    asked = {"tokenizer_class": "StrangeTokenizer", "auto_map": {"AutoTokenizer": [None, "strange.StrangeTokenizer"]}}
    path.write_text(json.dumps(given | asked))
    if config:
        path = folder / "config.json"
        code = {"AutoConfig": "strange.StrangeConfig", "AutoModelForCausalLM": "strange.StrangeModel"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "strange", "auto_map": code}))


def refuses_code(call, marker, monkeypatch):
    """Somebody, like `yes |`, answers y to all questions."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 99))
    with pytest.raises(SteerdoseError, match=r"if you trust it, set models\.<name>\.trust_remote_code to true"):
        call()
    assert not marker.exists()


@pytest.mark.parametrize("config", [False, True], ids=["tokenizer", "model"])
def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(tmp_path, local, monkeypatch, config):
    strange(local, tmp_path / "marker", config=config)
    refuses_code(lambda: resolve(tmp_path, local), tmp_path / "marker", monkeypatch)


def test_code_that_lies_beside_a_gguf_file_is_neither_run_nor_asked_about(tmp_path, monkeypatch):
    write_gguf(tmp_path / "model.gguf")
    strange(tmp_path, tmp_path / "marker")
    refuses_code(lambda: resolve(tmp_path, tmp_path / "model.gguf"), tmp_path / "marker", monkeypatch)


def test_code_that_a_resolved_tokenizer_asks_for_is_not_run(tmp_path, local, monkeypatch):
    model = resolve(tmp_path, local)
    strange(model, tmp_path / "marker")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 99))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_tokenizer(model)
    assert not (tmp_path / "marker").exists()


def test_code_that_is_trusted_runs(tmp_path, local, monkeypatch):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    strange(local, tmp_path / "marker")
    with (local / "strange.py").open("a") as file:
        file.write("import transformers\nclass StrangeTokenizer(transformers.PreTrainedTokenizerFast):\n    pass\n")
    model = resolve(tmp_path, local, trust_remote_code=True)
    assert (tmp_path / "marker").exists()
    assert type(load_tokenizer(model)).__name__ == "StrangeTokenizer"


def test_transformers_is_always_told_whether_to_trust():
    """Unsaid, it asks on stdin whether to run a model's own code."""
    calls = [
        call
        for path in Path(sources.__file__).parents[1].rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("from_pretrained", "from_config")
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id.startswith("Auto")
    ]
    assert len(calls) > 5
    assert [ast.unparse(c) for c in calls if "trust_remote_code" not in [word.arg for word in c.keywords]] == []


def test_a_template_that_runs_away_is_refused_before_it_is_rendered_here(tmp_path, local):
    grows = "{% set size = 9999999999 %}{{ ('x' * size) | length }}"
    refuse(tmp_path, r"the chat template that begins with .* takes more than 1 GiB", local, chat_template=grows)
