"""transformers' own `generate`, without the settings that come with a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig


@contextmanager
def only_given_settings(model: Any) -> Iterator[None]:
    """Let `model.generate` follow what it is given and transformers' defaults while the context is open.

    Else whatever a call leaves open, and even a GenerationConfig that is passed, is filled up from the model's
    generation_config.json: repetition penalties, top_p, suppressed tokens. Those are in no config of a study, and with
    some of them a greedy path is not greedy.
    """
    kept, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = kept
