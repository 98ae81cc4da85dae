"""Contrastive pairs: the model answers the same prompt under opposite personas."""

import logging
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import polars as pl
import torch

from steerdose.columns import Cell
from steerdose.declarations.made import PAIRS
from steerdose.errors import SteerdoseError
from steerdose.files import write_table
from steerdose.flow.progress import Bar
from steerdose.model import chat
from steerdose.model.generation import only_given_settings
from steerdose.model.loading import LoadedModel, load_model
from steerdose.seeds import seed_from
from steerdose.study.config import Pairs
from steerdose.study.settings import GeneratePairs
from steerdose.study.texts import Personas, Prompt, load_personas, load_prompts, take

log = logging.getLogger(__name__)

SIDES = ("persona_pos", "persona_neg")


def sample_answers(
    loaded: LoadedModel, conversations: Sequence[list[chat.Message]], options: Pairs, seed: int
) -> list[str]:
    """Sample one answer to each conversation, in batches; the seed is set anew for every batch.

    Nothing but the settings shapes the distribution: of the model's own generation_config only its ends of turn count.
    """
    tokenizer, answers = loaded.tokenizer, []
    prompts = [chat.prompt_ids(tokenizer, conversation) for conversation in conversations]
    size, ends = options.batch_size, sorted(chat.end_ids(tokenizer, loaded.model.generation_config))
    with torch.inference_mode(), only_given_settings(loaded.model), Bar(len(prompts), "pairs") as progress:
        for start in range(0, len(prompts), size):
            batch = tokenizer.pad(
                {"input_ids": prompts[start : start + size]}, padding_side="left", return_tensors="pt"
            ).to(loaded.device)
            torch.manual_seed(seed_from(seed, start))
            ids = loaded.model.generate(
                **batch,
                do_sample=True,
                temperature=options.temperature,
                top_k=options.top_k,
                max_new_tokens=options.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=ends,
            )[:, batch["input_ids"].shape[1] :]
            answers += tokenizer.batch_decode(ids, skip_special_tokens=True)
            progress.update(len(ids))
    return [answer.strip() for answer in answers]


def check_pairs(pairs: pl.DataFrame, max_similarity: float, max_rejected: float) -> pl.DataFrame:
    """Return the pairs that diverge; refuse the lot when more than the share `max_rejected` does not.

    A pair is rejected when a response is empty, when both are the same, or when the share of words they have in
    common in order (difflib's ratio) exceeds `max_similarity`.
    """

    def fault(row: dict[str, Any]) -> str | None:
        if not row["response_pos"] or not row["response_neg"]:
            return "empty"
        words = row["response_pos"].split(), row["response_neg"].split()
        if words[0] == words[1]:
            return "identical"
        similar = SequenceMatcher(None, *words, autojunk=False).ratio() > max_similarity
        return "not diverging" if similar else None

    faults = pl.Series("fault", [fault(row) for row in pairs.iter_rows(named=True)], dtype=pl.String)
    rejected = pairs.with_columns(faults).filter(pl.col("fault").is_not_null())
    for name, count in rejected["fault"].value_counts(sort=True).iter_rows():
        log.info("%d of %d pairs are %s", count, len(pairs), name)
    if len(rejected) > max_rejected * len(pairs):
        examples = "\n".join(
            f"  {row['fault']}: '{row['prompt'][:60]}'\n    positive: '{row['response_pos'][:80]}'\n"
            f"    negative: '{row['response_neg'][:80]}'"
            for row in rejected.head(3).iter_rows(named=True)
        )
        raise SteerdoseError(
            f"{len(rejected)} of {len(pairs)} pairs are empty, identical or do not diverge (allowed: "
            f"{max_rejected:.0%}). Examples:\n{examples}\n"
            "Sharpen the data.personas, raise pairs.temperature or pairs.max_new_tokens, or change the model."
        )
    return pairs.filter(faults.is_null())


def pair_grid(prompts: Sequence[Prompt], personas: Personas, n_samples: int) -> list[dict[str, Any]]:
    """Return one row a prompt x sample, personas cycling, so that every paraphrase is used equally often."""
    rows: list[dict[str, Any]] = []
    for prompt in prompts:
        for sample in range(n_samples):
            turn = len(rows)  # every paraphrase equally often, and not the same one for a category every round
            persona = (turn + turn // len(personas.positive)) % len(personas.positive)
            rows.append(
                {
                    "prompt_id": prompt.id,
                    "sample": sample,
                    "prompt": prompt.prompt,
                    "category": prompt.category,
                    "persona_pos": personas.positive[persona],
                    "persona_neg": personas.negative[persona],
                }
            )
    return rows


def generate_pairs(*, model: str, prompts: str, personas: str, cell: Cell, settings: GeneratePairs, pairs: str) -> None:
    """Write pairs.parquet: one prompt x persona x sample, with the responses under both personas."""
    loaded, options = load_model(model, settings.run), settings.pairs
    chosen = take(load_prompts(prompts), "pairs", options.n_prompts)
    rows = pair_grid(chosen, load_personas(personas)[cell.behavior or ""], options.n_samples)
    conversations = [chat.conversation(row["prompt"], row[side]) for row in rows for side in SIDES]
    answers = sample_answers(loaded, conversations, options, seed_from("pairs", *cell.parts))
    frame = pl.DataFrame(rows).with_columns(
        pl.Series("response_pos", answers[0::2]), pl.Series("response_neg", answers[1::2]), *cell.columns()
    )
    kept = check_pairs(frame, options.max_similarity, options.max_rejected)
    log.info("kept %d of %d pairs", len(kept), len(frame))
    write_table(kept, pairs, PAIRS)
