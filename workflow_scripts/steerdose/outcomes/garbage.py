"""Does a probe notice what it stands behind? It is read behind garbage that is made from the unsteered texts.

A probe that answers behind garbage as it does behind a text cannot tell damage of the text from damage of the readout,
and its pmass says nothing of the text.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from scipy.stats import rankdata

from steerdose.engine.probe import Probe
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.model.loading import LoadedModel
from steerdose.seeds import seed_from
from steerdose.steering.intervention import UNSTEERED

Ids = Sequence[int]
PHRASE, RESAMPLES, ROWS = 8, 1000, 32
SPLITS = 0.75  # the lower bound of the AUC from which garbage moves a probe: half the way from chance to certainty


def shuffled(ids: Ids, generator: np.random.Generator, vocabulary: int) -> list[int]:  # noqa: ARG001
    """The text's own tokens in random order."""
    return generator.permutation(np.asarray(ids)).tolist()


def random_tokens(ids: Ids, generator: np.random.Generator, vocabulary: int) -> list[int]:
    """Tokens drawn evenly from the vocabulary."""
    return generator.integers(0, vocabulary, len(ids)).tolist()


def phrase_loop(ids: Ids, generator: np.random.Generator, vocabulary: int) -> list[int]:  # noqa: ARG001
    """A phrase of the text, again and again."""
    start = int(generator.integers(0, max(1, len(ids) - PHRASE)))
    return np.resize(np.asarray(ids)[start : start + PHRASE], len(ids)).tolist()


def token_loop(ids: Ids, generator: np.random.Generator, vocabulary: int) -> list[int]:  # noqa: ARG001
    """One token of the text, again and again."""
    return [int(generator.choice(np.asarray(ids)))] * len(ids)


GARBAGE: dict[str, Callable[[Ids, np.random.Generator, int], list[int]]] = {
    "phrase_loop": phrase_loop,
    "token_loop": token_loop,
    "shuffled": shuffled,
    "random_tokens": random_tokens,
}


def garbage_readings(
    loaded: LoadedModel, probe: Probe, requests: Sequence[Request], texts: Sequence[Ids]
) -> pl.DataFrame:
    """Return a row a prompt and kind of text, `natural` or of `GARBAGE`: prompt_id, kind, pmass of the unsteered model.

    texts: token ids of each request's text; garbage is made of each, as long. Texts without a token are left out.
    """
    vocabulary = len(loaded.tokenizer)
    items, places = [], []
    for request, text in zip(requests, texts, strict=True):
        if not len(text):
            continue
        generator = np.random.default_rng(seed_from("garbage", request.prompt_id))
        kinds = {"natural": list(text)} | {name: make(text, generator, vocabulary) for name, make in GARBAGE.items()}
        for kind, ids in kinds.items():
            before = [*request.ids, *ids]
            asked = probe.of(request.prompt_id)
            behind = (*before, *asked.suffix_behind(before))
            items.append(Item(f"{request.prompt_id} {kind}", {None: behind}, (asked.first, asked.second)))
            places.append((request.prompt_id, kind))
    (found,) = score(loaded, [UNSTEERED], items, batch_rows=ROWS) if items else ([],)
    pmass = [float(np.exp(each.answers).sum()) if each else float("nan") for each in found]
    types = {"prompt_id": pl.String, "kind": pl.String}
    return pl.DataFrame(places, schema=types, orient="row").with_columns(pl.Series("pmass", pmass, pl.Float64))


def auc(natural: np.ndarray, garbage: np.ndarray) -> float:
    """Return the probability that a natural value is above one of garbage, ties half (Mann and Whitney, 1947)."""
    ranks = rankdata(np.concatenate([natural, garbage]))[: len(natural)]
    return float((ranks.sum() - len(natural) * (len(natural) + 1) / 2) / (len(natural) * len(garbage)))


def validity(readings: pl.DataFrame) -> Mapping[str, float | bool | None]:
    """Return auc_{kind} of each kind of garbage, auc (over all), auc_low, auc_high (95 %, over prompts) and splits.

    readings: as `garbage_readings` returns them. splits: garbage moves the probe, see `SPLITS`.
    """
    wide = readings.pivot("kind", index="prompt_id", values="pmass", maintain_order=True)
    if wide.is_empty():
        return dict.fromkeys(("auc", "auc_low", "auc_high", *[f"auc_{name}" for name in GARBAGE])) | {"splits": False}
    natural, garbage = wide["natural"].to_numpy(), wide.select(list(GARBAGE)).to_numpy()
    generator = np.random.default_rng(seed_from("validity"))
    drawn = generator.integers(0, len(natural), (RESAMPLES, len(natural)))
    low, high = np.quantile([auc(natural[rows], garbage[rows].ravel()) for rows in drawn], [0.025, 0.975])
    kinds = {f"auc_{name}": auc(natural, garbage[:, i]) for i, name in enumerate(GARBAGE)}
    whole = {"auc": auc(natural, garbage.ravel()), "auc_low": float(low), "auc_high": float(high)}
    return whole | kinds | {"splits": bool(low > SPLITS)}
