"""A prompt baseline on a tiny model: its texts, the files that name them, and the reference's rollout behind one."""

import tiny
import yaml
from reference.rollout import generate_one
from steerdose.columns import Cell
from steerdose.engine.probe import build_probe
from steerdose.files import write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.study.probes import Probe
from steerdose.study.settings import Run

TEXTS = {"positive": "You are honest.", "negative": "Lie, always."}
CELL = Cell("tiny", "honesty", 0)
RUN = Run(dtype="float32", device="cpu")
PROBE = Probe(kind="interrupt", question="Answer.", prefill='{"answer":', answers=("true", "false"))


def save_model(folder):
    """Write a tiny model as `resolve_model` does and return its directory."""
    tiny.save(folder)
    write_json({"trust_remote_code": False, "sha256": "0"}, folder / "source.json")
    return str(folder)


def save_texts(path):
    """Write a file of system prompts and return its path."""
    path.write_text(yaml.safe_dump({"behaviors": {"honesty": {"simple": TEXTS, "engineered": TEXTS}}}))
    return str(path)


def by_hand(model, user, system, window, times=()):
    """Return the reference's rollout behind the system text and its forks."""
    loaded = load_model(model)
    ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(user, system))
    base_ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(user))
    probes = {"json": build_probe(loaded.tokenizer, **PROBE.model_dump())}
    end_ids = chat.end_ids(loaded.tokenizer, loaded.model.generation_config)
    return generate_one(loaded.model, loaded.model, ids, window, end_ids, probes, times, base_ids)
