"""Adapters: a PEFT config by family name, and supervised training of one sign with transformers' Trainer."""

import logging
import tempfile
from collections.abc import Sequence
from typing import Any

import peft
import polars as pl
import torch
from torch import nn
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from . import chat
from .errors import SteerdoseError
from .models import LoadedModel, find_blocks, layer_range, load_model
from .progress import bar
from .seeds import seed_from
from .tables import read_table, replacing, write_table

log = logging.getLogger(__name__)

Example = dict[str, list[int]]


def target_modules(model: nn.Module, names: Sequence[str], fractions: tuple[float, float]) -> list[str]:
    """Return the full paths of the named modules in the layers from round(first n) to round(last n), exclusive.

    Full paths instead of PEFT's `layers_to_transform`: every family understands them.
    """
    blocks = find_blocks(model)
    prefixes = tuple(blocks[layer] + "." for layer in layer_range(len(blocks), fractions))
    inside = [
        path for path, module in model.named_modules() if path.startswith(prefixes) and not list(module.children())
    ]
    leaves = sorted({path.rsplit(".", 1)[-1] for path in inside})
    missing = sorted(set(names) - set(leaves))
    if missing:
        raise SteerdoseError(
            f"target_modules {missing} do not exist in {type(model).__name__}'s blocks; it has {leaves}"
        )
    return [path for path in inside if path.rsplit(".", 1)[-1] in names]


def peft_config(model: nn.Module, method: dict[str, Any]) -> peft.PeftConfig:
    """Build the PEFT config of a method entry: `peft_type`, its own `options`, target modules, layer range."""
    family = method["peft_type"]
    if family not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        known = sorted(str(name.value) for name in peft.PEFT_TYPE_TO_CONFIG_MAPPING)
        raise SteerdoseError(f"peft_type '{family}' is unknown to PEFT {peft.__version__}; it knows {known}")
    targets = target_modules(model, method["target_modules"], tuple(method["layer_range"]))
    try:
        return peft.PEFT_TYPE_TO_CONFIG_MAPPING[family](
            task_type="CAUSAL_LM", target_modules=targets, **method["options"]
        )
    except (TypeError, ValueError) as error:
        raise SteerdoseError(f"PEFT refuses the options of peft_type {family}: {error}") from error


def training_examples(tokenizer: Any, pairs: pl.DataFrame, sign: str, max_tokens: int) -> list[Example]:
    """Render prompt and response without the persona; the prompt's labels are -100, so only the response is learnt."""
    response = {"positive": "response_pos", "negative": "response_neg"}[sign]
    examples = []
    for row in pairs.iter_rows(named=True):
        opened, answer = chat.training_ids(tokenizer, chat.conversation(row["prompt"]), row[response])
        ids, labels = (opened + answer)[:max_tokens], ([-100] * len(opened) + answer)[:max_tokens]
        if len(opened) < max_tokens:
            examples.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    if not examples:
        raise SteerdoseError(f"no prompt fits into training.max_tokens = {max_tokens} tokens; raise it")
    return examples


def split_by_prompt(pairs: pl.DataFrame, fraction: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return training and held-out pairs; all pairs of a prompt go to one side. Same split for both signs."""
    ids = pairs["prompt_id"].unique(maintain_order=True)
    held = ids.sample(max(1, round(fraction * len(ids))), seed=seed)
    return pairs.filter(~pl.col("prompt_id").is_in(held.implode())), pairs.filter(
        pl.col("prompt_id").is_in(held.implode())
    )


class _Bar(TrainerCallback):
    """A progress bar on the terminal in place of the Trainer's own."""

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self.bar = bar(state.max_steps, "training")

    def on_step_end(self, *_args: Any, **_: Any) -> None:
        self.bar.update()

    def on_train_end(self, *_args: Any, **_: Any) -> None:
        self.bar.close()


def train(
    loaded: LoadedModel, method: dict[str, Any], train_set: list[Example], heldout: list[Example], seed: int
) -> tuple[Any, pl.DataFrame]:
    """Train one adapter; return the PEFT model and its losses (step, split, loss in nats a token)."""
    options = method["training"]
    torch.manual_seed(seed)
    model = peft.get_peft_model(loaded.model, peft_config(loaded.model, method))
    log.info("%s: %s trainable parameters", method["peft_type"], model.get_nb_trainable_parameters()[0])
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                max_steps=options["steps"],
                per_device_train_batch_size=options["batch_size"],
                per_device_eval_batch_size=options["batch_size"],
                learning_rate=options["learning_rate"],
                weight_decay=options["weight_decay"],
                warmup_steps=options["warmup_steps"],
                bf16=options["precision"] == "bfloat16",
                use_cpu=loaded.device.type == "cpu",
                eval_strategy="steps",
                eval_steps=options["eval_steps"],
                eval_on_start=True,
                logging_steps=options["eval_steps"],
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                label_names=["labels"],
                seed=seed,
                data_seed=seed,
            ),
            train_dataset=train_set,
            eval_dataset=heldout,
            data_collator=DataCollatorForSeq2Seq(loaded.tokenizer, padding=True),
            callbacks=[_Bar()],
        )
        trainer.train()
    names = {"loss": "train", "eval_loss": "heldout"}
    losses = [
        {"step": entry["step"], "split": split, "loss": float(entry[key])}
        for entry in trainer.state.log_history
        for key, split in names.items()
        if key in entry
    ]
    if not all(torch.isfinite(torch.tensor([loss["loss"] for loss in losses]))):
        raise SteerdoseError("the training loss is not finite; lower the learning rate or set precision to float32")
    return model, pl.DataFrame(losses)


def train_adapter(
    *, model: str, pairs: str, cell: dict[str, Any], sign: str, settings: dict[str, Any], adapter: str, losses: str
) -> None:
    """Write the adapter's folder (PEFT's own format) and training.parquet for one sign."""
    method = settings["method"]
    loaded = load_model(model, dtype="float32", device=settings["device"], train=True)
    seed = seed_from("train", *cell.values())  # the same for both signs: equal start, order and split
    kept, held = split_by_prompt(read_table(pairs), method["training"]["heldout_fraction"], seed)
    train_set, heldout = (
        training_examples(loaded.tokenizer, part, sign, method["training"]["max_tokens"]) for part in (kept, held)
    )
    trained, history = train(loaded, method, train_set, heldout, seed)
    with replacing(adapter) as folder:
        trained.save_pretrained(folder)
    write_table(
        history.with_columns(pl.lit(sign).alias("sign"), *[pl.lit(v).alias(k) for k, v in cell.items()]), losses
    )
