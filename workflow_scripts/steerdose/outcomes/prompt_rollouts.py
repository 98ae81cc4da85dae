"""Rollouts of the yes/no questions behind a system prompt, in the tables that steered rollouts have."""

from typing import Any

from steerdose.dose.prompts import prompt_request
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import roll_with_forks, write_rollouts
from steerdose.study.texts import load_questions, load_system_prompts

SIGN_OF_ALPHA = {1: "positive", -1: "negative"}


def rollout_prompt(
    *,
    model: str,
    system_prompts: str,
    questions: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    tokens: str,
    trajectories: str,
    forks: str,
) -> None:
    """Roll all questions out behind the system prompts, and write the three tables of `rollout_trajectories`.

    Alpha 1 is the positive text, -1 the negative one, 0 none. A prompt has no coefficient: it is null, and 0 at alpha
    0. `kl` is against the model without the prompt.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    texts = load_system_prompts(system_prompts)[cell["behavior"]][settings["style"]]
    chosen = load_questions(questions)[: settings["n_questions"]]
    planned = [
        (
            float(alpha),
            prompt_request(
                loaded.tokenizer,
                question.id,
                settings["template"].replace("{question}", question.question),
                texts[SIGN_OF_ALPHA[alpha]] if alpha else None,
                f"(alpha {alpha:g})",
            ),
        )
        for question in chosen
        for alpha in settings["alphas"]
    ]
    rollouts = roll_with_forks(loaded, None, [request for _, request in planned], settings)
    write_rollouts(loaded.tokenizer, planned, rollouts, cell, tokens, trajectories, forks)
