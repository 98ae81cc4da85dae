"""What is asked of the model, a prompt under an intervention, and what comes of it."""

from dataclasses import dataclass, field
from typing import Any

from steerdose.engine.probe import Fork
from steerdose.model import chat
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.study.rollout import Decoding


@dataclass(frozen=True)
class Request:
    """One trajectory to generate: a prompt, its rendered token ids, and what is done to the model.

    base_ids: the prompt that the unsteered model reads in front of the same tokens, where it is another one, such as
    the prompt without its system text; None: `ids`. sample: which of the prompt's samples it is. decoding: how its
    tokens are drawn; None: they are the likeliest.
    """

    prompt_id: str
    ids: tuple[int, ...]
    intervention: Intervention = UNSTEERED
    base_ids: tuple[int, ...] | None = None
    sample: int = 0
    decoding: Decoding | None = None

    @property
    def has_twin(self) -> bool:
        """Whether the unsteered model can differ: at coefficient 0 on the same prompt it is the same computation."""
        return self.intervention.coefficient != 0 or self.base_ids is not None

    @property
    def twin_ids(self) -> tuple[int, ...]:
        return self.ids if self.base_ids is None else self.base_ids


@dataclass
class Trajectory:
    """What came of a request. Lists have one entry a generated token; the end-of-turn token is not one.

    kl, nll and entropy in nats, see `divergence`: of the steered distribution against the unsteered one, of the token
    under the unsteered model, and of the steered distribution.
    """

    token_ids: list[int] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    ended: bool = False
    forks: list[Fork] = field(default_factory=list)

    def keep(self, kl: float, nll: float, entropy: float) -> None:
        """Append the numbers of one more token."""
        for values, value in ((self.kl, kl), (self.nll, nll), (self.entropy, entropy)):
            values.append(value)

    def drop_last(self) -> None:
        """Take the numbers of the last token back: it ends the turn, and is none of the text."""
        for values in (self.kl, self.nll, self.entropy):
            values.pop()


def ask(
    tokenizer: Any,
    prompt_id: str,
    user: str,
    intervention: Intervention,
    sample: int = 0,
    decoding: Decoding | None = None,
) -> Request:
    """Return the request of a user message under an intervention; its twin reads the message without system text."""
    plain = tuple(chat.prompt_ids(tokenizer, chat.conversation(user)))
    if intervention.system is None:
        return Request(prompt_id, plain, intervention, None, sample, decoding)
    behind = tuple(chat.prompt_ids(tokenizer, chat.conversation(user, intervention.system)))
    return Request(prompt_id, behind, intervention, plain, sample, decoding)
