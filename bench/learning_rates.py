"""Held-out loss of the adapter families against their learning rate: how the rates in config.yaml were chosen.

One rate for all families makes some of them look inert and breaks others. Here each family trains the positive sign at
several rates, on the pairs of the default study (`make survival` makes them) and with the same start, order and split.
The rate of a family is the one with the lowest held-out loss after the last step. Rows are merged into
docs/learning_rates.csv.

    python bench/learning_rates.py [FAMILY ...] [--rates RATE ...] [--options '{"delora_lambda": 2}']
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import polars as pl  # noqa: E402
import yaml  # noqa: E402
from steerdose.columns import Cell  # noqa: E402
from steerdose.make.adapters import split_by_prompt, train, training_examples  # noqa: E402
from steerdose.model.loading import load_model  # noqa: E402
from steerdose.seeds import seed_from  # noqa: E402
from steerdose.study.config import Study  # noqa: E402
from steerdose.study.methods import Adapter  # noqa: E402

RESULTS = ROOT / "docs/learning_rates.csv"
FACTORS = (1 / 3, 1.0, 3.0)
KEYS = ["family", "options", "learning_rate"]


def heldout_losses(family: str, method: Adapter, rate: float) -> dict[str, float]:
    """Return the held-out loss (nats a token) before and after training."""
    training = method.training.model_copy(update={"learning_rate": rate, "eval_steps": method.training.steps})
    pairs = pl.read_parquet(ROOT / "results/smollm2/honesty/seed0/pairs.parquet")
    seed = seed_from("train", *Cell("smollm2", "honesty", 0).parts)
    loaded = load_model(ROOT / "results/models/smollm2", train=True)
    parts = split_by_prompt(pairs, training.heldout_fraction, seed)
    examples = [training_examples(loaded.tokenizer, part, "positive", training.max_tokens) for part in parts]
    tried = method.model_copy(update={"training": training})
    with tempfile.TemporaryDirectory() as scratch:
        _, losses = train(loaded, family, tried, *examples, seed, f"{scratch}/adapter")
    before, after = losses.filter(split="heldout").sort("step")["loss"][[0, -1]]
    return {"loss_before": before, "loss_after": after}


def main() -> None:
    study = Study.parse(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text())))
    adapters = {name: method for name, method in study.methods.items() if isinstance(method, Adapter)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(adapters), help=f"of {list(adapters)}")
    parser.add_argument(
        "--rates", nargs="*", type=float, help="default: a third of the configured rate, it, its triple"
    )
    parser.add_argument("--options", type=json.loads, default={}, help="laid over the family's own, as JSON")
    given = parser.parse_args()
    for family in given.families:
        method = adapters[family].model_copy(update={"options": adapters[family].options | given.options})
        configured = method.training.learning_rate
        for rate in given.rates or [factor * configured for factor in FACTORS]:
            row = {"family": family, "options": json.dumps(method.options), "learning_rate": rate}
            row |= heldout_losses(family, method, rate)
            found = pl.DataFrame([{name: v if name in KEYS else round(v, 4) for name, v in row.items()}])
            if RESULTS.exists():
                found = pl.concat([pl.read_csv(RESULTS, schema=found.schema), found])
            found.unique(KEYS, keep="last").sort(KEYS).write_csv(RESULTS)


if __name__ == "__main__":
    main()
