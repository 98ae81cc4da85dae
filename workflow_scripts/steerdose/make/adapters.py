"""Adapters: a PEFT config by family name, and supervised training of one sign with transformers' Trainer."""

import dataclasses
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import polars as pl
import torch
from torch import nn
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from steerdose.columns import Cell
from steerdose.declarations.made import PAIRS, TRAINING
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, replacing, write_table
from steerdose.flow.progress import Bar
from steerdose.model import chat
from steerdose.model.architecture import find_blocks, layer_range
from steerdose.model.experts import open_experts
from steerdose.model.loading import LoadedModel, load_model
from steerdose.seeds import seed_from
from steerdose.study.methods import Adapter, Training
from steerdose.study.peft_options import OWN
from steerdose.study.settings import TrainAdapter

log = logging.getLogger(__name__)

Example = dict[str, list[int]]

MUTATING = ("pissa", "olora")  # LoRA initialisations that move a part of the base weight into the adapter


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


def peft_config(model: nn.Module, name: str, method: Adapter) -> peft.PeftConfig:
    """Build the PEFT config of the entry methods.{name}: `peft_type`, its own `options`, target modules, layer range.

    `feedforward_modules` (of IA3) names leaves as `target_modules` does, and becomes full paths like them.
    """
    family, options = method.peft_type, dict(method.options)
    if family not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        known = sorted(str(name.value) for name in peft.PEFT_TYPE_TO_CONFIG_MAPPING)
        raise SteerdoseError(
            f"methods.{name}.peft_type: '{family}' is unknown to PEFT {peft.__version__}; it knows {known}"
        )
    config_class = peft.PEFT_TYPE_TO_CONFIG_MAPPING[family]
    accepted = {field.name for field in dataclasses.fields(config_class) if field.init} - OWN
    if unknown := sorted(set(options) - accepted):
        raise SteerdoseError(
            f"methods.{name}.options: {config_class.__name__} of PEFT {peft.__version__} has no option {unknown}; "
            f"it accepts {sorted(accepted)}"
        )
    init = str(options.get("init_lora_weights")).lower()
    if init.startswith(MUTATING) and options.get("use_dora"):
        raise SteerdoseError(
            f"methods.{name}.options: use_dora cannot be saved as a change of the untouched weights together with "
            f"init_lora_weights '{init}'; drop one of them"
        )
    if options.get("feedforward_modules"):
        options["feedforward_modules"] = target_modules(model, options["feedforward_modules"], method.layer_range)
    targets = target_modules(model, method.target_modules, method.layer_range)
    try:
        return config_class(task_type="CAUSAL_LM", target_modules=targets, **options)
    except (TypeError, ValueError) as error:
        raise SteerdoseError(f"methods.{name}.options: PEFT refuses them for {family}: {error}") from error


def attach(model: nn.Module, name: str, method: Adapter) -> Any:
    """Return `model` wrapped by PEFT with a fresh adapter. PiSSA and OLoRA change the model's own weights."""
    config = peft_config(model, name, method)
    try:
        return peft.get_peft_model(model, config)
    except (ImportError, NotImplementedError, TypeError, ValueError) as error:
        raise SteerdoseError(f"methods.{name}: PEFT cannot attach {method.peft_type}: {error}") from error


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


class _Allocator(TrainerCallback):
    """Lets families that move their rank budget while they train (AdaLoRA) do so; the gradients still stand."""

    def on_optimizer_step(self, _args: Any, state: Any, _control: Any, model: Any, **_: Any) -> None:
        if hasattr(model.base_model, "update_and_allocate"):
            model.base_model.update_and_allocate(state.global_step)


class _Bar(TrainerCallback):
    """A progress bar on the terminal in place of the Trainer's own."""

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self.bar = Bar(state.max_steps, "training")

    def on_step_end(self, *_args: Any, **_: Any) -> None:
        self.bar.update()

    def on_train_end(self, *_args: Any, **_: Any) -> None:
        self.bar.close()


def training_arguments(options: Training, folder: str, device: torch.device, seed: int) -> TrainingArguments:
    """Return the Trainer's arguments for training where the model lies, with batches as they are asked.

    Left to itself the Trainer takes cuda:0 and multiplies the batch by the number of GPUs that it sees.
    """

    class OnDevice(TrainingArguments):
        n_gpu = property(lambda _: int(device.type == "cuda"))

        @property
        def device(self) -> torch.device:
            _ = self._setup_devices  # which ends at cuda:0
            if device.type == "cuda":
                torch.cuda.set_device(device)  # accelerate sends batches to the current one
            return device

    return OnDevice(
        output_dir=folder,
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        bf16=options.precision == "bfloat16",
        use_cpu=device.type == "cpu",
        eval_strategy="steps",
        eval_steps=options.eval_steps,
        eval_on_start=True,
        logging_steps=options.eval_steps,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        seed=seed,
        data_seed=seed,
    )


def train(
    loaded: LoadedModel,
    name: str,
    method: Adapter,
    train_set: list[Example],
    heldout: list[Example],
    seed: int,
    adapter: str | Path,
) -> tuple[Any, pl.DataFrame]:
    """Train one adapter of the entry methods.{name} and save it; return the PEFT model and its losses.

    adapter: the folder, in PEFT's own format. An adapter that took over a part of the base weight (PiSSA) is saved as
    the LoRA of twice the rank that changes the untouched weight as much: s (B A - B0 A0), so that nobody repeats the
    SVD. The losses are a frame of step, split, loss (nats a token). `loaded.model` carries the adapter afterwards.
    """
    options = method.training
    torch.manual_seed(seed)
    model = attach(loaded.model, name, method)
    log.info("%s: %s trainable parameters", name, model.get_nb_trainable_parameters()[0])
    with tempfile.TemporaryDirectory() as scratch:
        start = None
        if str(method.options.get("init_lora_weights")).lower().startswith(MUTATING):
            start = str(Path(scratch) / "start")
            model.save_pretrained(start)
        trainer = Trainer(
            model=model,
            args=training_arguments(options, scratch, loaded.device, seed),
            train_dataset=train_set,
            eval_dataset=heldout,
            data_collator=DataCollatorForSeq2Seq(loaded.tokenizer, padding=True),
            callbacks=[_Allocator(), _Bar()],
        )
        trainer.train()
        with replacing(adapter) as folder:
            model.save_pretrained(folder, path_initial_model_for_weight_conversion=start)
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
    *, model: str, pairs: str, sign: str, cell: Cell, settings: TrainAdapter, entry: str, adapter: str, losses: str
) -> None:
    """Write the adapter's folder (PEFT's own format) and training.parquet for one sign of the config's `entry`."""
    training = settings.method.training
    loaded = load_model(model, settings.run.model_copy(update={"dtype": "float32"}), train=True)
    open_experts(loaded.model)
    # The same for both signs and all families: equal order and split, and an equal start where the shapes agree.
    seed = seed_from("train", *cell.parts)
    kept, held = split_by_prompt(read_table(pairs, PAIRS), training.heldout_fraction, seed)
    train_set, heldout = (training_examples(loaded.tokenizer, part, sign, training.max_tokens) for part in (kept, held))
    _, history = train(loaded, entry, settings.method, train_set, heldout, seed, adapter)
    labels = [pl.lit(sign).alias("sign"), *cell.columns(), pl.lit(entry).alias("method")]
    write_table(history.with_columns(labels), losses, TRAINING)
