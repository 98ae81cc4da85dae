"""Is a text about its question? By how much the question makes the text more likely to the unsteered model.

A text can be fluent, unlooped and about nothing. Its gain is the mean NLL of its first tokens behind other questions
minus that behind its own, nats a token: 0 where the question says nothing of the text. The first tokens tell, since
later ones follow from the text itself. It is a verdict on a whole text, and so has no time.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from steerdose.columns import KEYS
from steerdose.declarations.passed import REFERENCE_TOKENS, TOKENS
from steerdose.declarations.relevance import REFERENCE_RELEVANCE, RELEVANCE
from steerdose.engine.score import Item, score
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, write_table
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import UNSTEERED
from steerdose.study.endpoints import Relevance
from steerdose.study.settings import ScoreReference, ScoreRelevance
from steerdose.study.texts import Question, load_questions

OF_REFERENCE = ("model", "decoding", "prompt_id", "sample")


def score_relevance(*, model: str, questions: str, tokens: str, settings: ScoreRelevance, relevance: str) -> None:
    """Write the gain of every trajectory of a method."""
    found = _measured(model, questions, read_table(tokens, TOKENS), KEYS, settings)
    write_table(found, relevance, RELEVANCE)


def score_reference(*, model: str, questions: str, tokens: str, settings: ScoreReference, relevance: str) -> None:
    """Write the gain of every text of the reference cohort."""
    found = _measured(model, questions, read_table(tokens, REFERENCE_TOKENS), OF_REFERENCE, settings)
    write_table(found, relevance, REFERENCE_RELEVANCE)


def _measured(
    model: str, questions: str, tokens: pl.DataFrame, keys: Sequence[str], settings: ScoreRelevance
) -> pl.DataFrame:
    """Return a row a text that has a token: its keys, n_tokens, gain."""
    loaded = load_model(model, settings.run)
    first = tokens.filter(pl.col("t") <= settings.relevance.tokens)
    texts = first.group_by(keys, maintain_order=True).agg(pl.col("token_id", "nll").sort_by("t"))
    asked = load_questions(questions)[: settings.n_questions]
    prompts = {each.id: _prompt(loaded, each, settings.template) for each in asked}
    gain = gains(loaded, texts, prompts, settings.relevance)
    return texts.select(*keys, pl.col("token_id").list.len().cast(pl.Int32).alias("n_tokens"), pl.Series("gain", gain))


def _prompt(loaded: LoadedModel, question: Question, template: str) -> tuple[int, ...]:
    user = template.replace("{question}", question.question)
    return tuple(chat.prompt_ids(loaded.tokenizer, chat.conversation(user)))


def others_of(names: Sequence[str], count: int) -> dict[str, list[str]]:
    """Return for each question the others that stand in for it: each serves equally often, far apart in the list.

    Raises SteerdoseError where there are too few.
    """
    n = len(names)
    if n <= count:
        raise SteerdoseError(
            f"relevance.others: {count} other questions are wanted beside each, there are {n - 1}; lower it, or raise "
            "rollout.n_questions"
        )
    steps = [round((i + 1) * n / (count + 1)) or 1 for i in range(count)]
    return {name: [names[(i + step) % n] for step in steps] for i, name in enumerate(names)}


def gains(
    loaded: LoadedModel, texts: pl.DataFrame, prompts: Mapping[str, tuple[int, ...]], options: Relevance
) -> np.ndarray:
    """Return the gain of each text, (texts,), nats a token.

    texts: prompt_id, and the lists token_id and nll, of the unsteered model behind the text's own question. prompts:
    the rendered questions by id.
    """
    others, items = others_of(list(prompts), options.others), []
    for i, (name, ids) in enumerate(texts.select("prompt_id", "token_id").iter_rows()):
        items += [Item(f"{i} {other}", {None: (*prompts[other], *ids)}, n_scored=len(ids)) for other in others[name]]
    (found,) = score(loaded, [UNSTEERED], items, batch_rows=options.batch_size) if items else ([],)
    behind = np.array([-np.mean(each.tokens) if each else np.nan for each in found]).reshape(-1, options.others)
    own = texts["nll"].list.mean().to_numpy()
    return behind.mean(axis=1) - own
