"""Rendering of conversations to token ids; nothing else in the project renders prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steerdose.errors import SteerdoseError

Message = dict[str, str]

# For base models: turns as plain text. The end of a turn is a line break, so a rollout ends at the model's own EOS.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
BUILT_IN_TEMPLATES = {"plain": PLAIN_TEMPLATE}
THINK_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
_MARK, _THOUGHT = "⟦answer⟧", "⟦thought⟧"
_SYSTEM = "Keep ⟦this⟧ text:  AS it is,\n\tline by line."


@dataclass(frozen=True)
class ThinkTags:
    """How a reasoning model marks its thoughts; `closing` is what stands between a thought and the answer."""

    opening: str
    close: str
    closing: str

    def are_open(self, text: str) -> bool:
        """Whether a text ends inside a think block: an opening tag stands behind the last closing one."""
        return text.rfind(self.opening) > text.rfind(self.close)


def conversation(user: str, system: str | None = None) -> list[Message]:
    """Return the messages of a one-turn conversation, with the system text where there is one."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": user}]


def system_turn(tokenizer: Any) -> str:
    """Return what the template does with a system turn: `keeps`, `refuses`, or `drops or alters`.

    Kept is a text that stands before the answer as it is, but for white space around it. It is tried on one fixed
    conversation, so the answer hangs on the template alone and holds for every text.
    """
    turns = [*conversation("?", f" {_SYSTEM}\n"), {"role": "assistant", "content": _MARK}, *conversation("?")]
    try:
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except Exception:  # a template refuses by raising whatever it likes
        return "refuses"
    return "keeps" if _SYSTEM in text.partition(_MARK)[0] else "drops or alters"


def _text(tokenizer: Any, messages: Sequence[Message], *, open_assistant: bool) -> str:
    """Render to text; where the template keeps no system turn, the user's turn begins with the system text."""
    if tokenizer.chat_template is None:
        raise SteerdoseError(
            f"the tokenizer in {tokenizer.name_or_path} has no chat template; set models.<name>.chat_template to "
            "'plain' (turns as 'User: ...' and 'Assistant: ...') or to a Jinja template"
        )
    if messages[0]["role"] == "system" and system_turn(tokenizer) != "keeps":
        head, user, *rest = messages
        messages = [{"role": user["role"], "content": f"{head['content']}\n\n{user['content']}"}, *rest]
    try:
        rendered = tokenizer.apply_chat_template(list(messages), add_generation_prompt=open_assistant, tokenize=False)
    except Exception as error:
        raise SteerdoseError(f"the chat template of {tokenizer.name_or_path} failed: {error}") from error
    return str(rendered)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Encode rendered text; special tokens that the template wrote are recognised, none are added."""
    return tokenizer(text, add_special_tokens=False).input_ids


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the ids of a conversation with the assistant's turn opened."""
    return encode(tokenizer, _text(tokenizer, messages, open_assistant=True))


def _around_answer(tokenizer: Any, messages: Sequence[Message], after: Sequence[Message]) -> tuple[str, str]:
    """Return the text before and behind an assistant's answer that closes `messages` and is followed by `after`."""
    turns = [*messages, {"role": "assistant", "content": _MARK}, *after]
    before, found, behind = _text(tokenizer, turns, open_assistant=bool(after)).partition(_MARK)
    if not found:
        raise SteerdoseError(f"the chat template of {tokenizer.name_or_path} drops the assistant's answer")
    return before, behind


def training_ids(tokenizer: Any, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
    """Return the ids of the opened conversation, and of the answer with its end of turn.

    The end of turn is the first special token that the template writes behind an answer, or else the EOS token.
    """
    _, behind = _around_answer(tokenizer, messages, [])
    opened = prompt_ids(tokenizer, messages)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    end = next(([i] for i in encode(tokenizer, behind) if i in special), [tokenizer.eos_token_id])
    return opened, encode(tokenizer, answer.strip()) + end


def think_tags(tokenizer: Any) -> ThinkTags | None:
    """Return the tags that the tokenizer has as tokens or its template writes; None where a model does not think."""
    template, tokens = str(tokenizer.chat_template), tokenizer.get_added_vocab()
    for opening, close in THINK_TAGS:
        if {opening, close} <= tokens.keys() or (opening in template and close in template):
            answer = {"role": "assistant", "content": _MARK, "reasoning_content": _THOUGHT}
            text = _text(tokenizer, [*conversation("?"), answer], open_assistant=False)
            between = text.partition(_THOUGHT)[2].partition(_MARK)[0]
            return ThinkTags(opening, close, between if close in between else f"\n{close}\n\n")
    return None


def interrupt_ids(
    tokenizer: Any, messages: Sequence[Message], question: str, prefill: str, closing: str = ""
) -> list[int]:
    """Return the ids that end the assistant's turn, ask `question` as the user, and open a turn with `prefill`.

    They are the template's own rendering of what stands behind an answer, so prompt + rollout + interrupt is the
    rendering of the whole conversation, end-of-turn token included. closing: what comes before, to close a think block
    that the rollout left open; one that the template opens in the new turn is closed at once.
    """
    _, behind = _around_answer(tokenizer, messages, [{"role": "user", "content": question}])
    tags = think_tags(tokenizer)
    thought = tags.closing if tags and tags.are_open(behind) else ""
    return encode(tokenizer, closing + behind + thought + prefill)


def end_ids(tokenizer: Any, generation_config: Any = None) -> frozenset[int]:
    """Return the ids that end an assistant's turn: the tokenizer's and the generation config's EOS tokens."""
    listed = getattr(generation_config, "eos_token_id", None)
    ids = set(listed if isinstance(listed, (list, tuple)) else [listed]) | {tokenizer.eos_token_id}
    return frozenset(int(i) for i in ids if i is not None)
