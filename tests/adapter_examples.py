"""A small adapter entry of the config, and pairs to train it on."""

import json

import polars as pl
import torch
from steerdose.study.methods import Adapter

METHOD = {
    "kind": "adapter",
    "delta": "difference",
    "peft_type": "LORA",
    "options": {"r": 2, "lora_alpha": 4},
    "target_modules": ["q_proj", "down_proj"],
    "layer_range": [0.0, 0.7],
    "training": {
        "steps": 4, "batch_size": 2, "learning_rate": 1e-2, "weight_decay": 0.0, "warmup_steps": 1,
        "precision": "float32", "max_tokens": 64, "eval_steps": 2, "heldout_fraction": 0.25,
    },
}  # fmt: skip
IDS = torch.tensor([[5, 6, 7, 8]])


def entry(**changes):
    """Return the entry with some keys changed; a family that the config refuses passes too, for PEFT to judge."""
    return Adapter.parse(json.dumps(METHOD)).model_copy(update=changes)


def pairs(n=8):
    rows = [
        {"prompt_id": f"p{i}", "prompt": f"ask {i}", "response_pos": "yes!", "response_neg": "no?"} for i in range(n)
    ]
    return pl.DataFrame(rows)
