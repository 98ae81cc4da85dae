"""Conversations as token ids: every rendering is the chat template's own."""

from types import SimpleNamespace

import pytest
import tiny
from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.model.chat import conversation, end_ids, interrupt_ids, prompt_ids, training_ids
from tokenizers.processors import TemplateProcessing

START, END = "<|start|>", "<|end|>"
ROLES = "{% for m in messages %}"
NO_SYSTEM = (  # like Gemma's and Mistral's
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + START + ROLES
    + "{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]{% else %} {{ m['content'] }}" + END
    + "{% endif %}{% endfor %}"
)  # fmt: skip
DEFAULT_SYSTEM = (  # like SmolLM2's and Qwen's
    "{% if messages[0]['role'] != 'system' %}" + START + "system\nBe helpful." + END + "\n{% endif %}"
    + tiny.CHAT_TEMPLATE
)  # fmt: skip
TEMPLATES = {
    "chatml": tiny.CHAT_TEMPLATE,
    "default-system": DEFAULT_SYSTEM,
    "no-system": NO_SYSTEM,
    "plain": chat.PLAIN_TEMPLATE,
}
DROPS_ANSWER = ROLES + "{% if m['role'] != 'assistant' %}{{ m['content'] }}{% endif %}{% endfor %}"
MESSAGES = conversation("Is it so?", "Be brief.")
QUESTION, PREFILL = "True or false?", '{"answer":'


def tokenizer(template):
    made = tiny.tokenizer()
    made.chat_template = template
    return made


@pytest.fixture(params=TEMPLATES)
def any_tokenizer(request):
    return tokenizer(TEMPLATES[request.param])


def rendered(tokenizer, messages, opened, appended=""):
    """The template's own rendering, by transformers."""
    if tokenizer.chat_template == NO_SYSTEM and messages[0]["role"] == "system":
        system, user, *rest = messages
        messages = [user | {"content": f"{system['content']}\n\n{user['content']}"}, *rest]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened)
    return tokenizer(text + appended, add_special_tokens=False).input_ids


def test_a_conversation_has_a_system_turn_only_when_there_is_text():
    user = {"role": "user", "content": "Hi"}
    assert conversation("Hi") == conversation("Hi", "") == [user]
    assert conversation("Hi", "Be kind.") == [{"role": "system", "content": "Be kind."}, user]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chatml", "<|start|>system\nBe brief.<|end|>\n<|start|>user\nIs it so?<|end|>\n<|start|>assistant\n"),
        ("no-system", "<|start|>[INST] Be brief.\n\nIs it so? [/INST]"),
        ("plain", "System: Be brief.\n\nUser: Is it so?\n\nAssistant:"),
    ],
)
def test_prompt_ids_open_the_assistants_turn(name, text):
    made = tokenizer(TEMPLATES[name])
    assert made.decode(prompt_ids(made, MESSAGES)) == text


def test_a_tokenizer_that_adds_special_tokens_adds_none_to_rendered_text():
    made = tokenizer(tiny.CHAT_TEMPLATE)
    plain = prompt_ids(made, MESSAGES), interrupt_ids(made, MESSAGES, QUESTION, PREFILL)
    made.backend_tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, 1)])
    assert made("Hi").input_ids[0] == 1
    assert (prompt_ids(made, MESSAGES), interrupt_ids(made, MESSAGES, QUESTION, PREFILL)) == plain


@pytest.mark.parametrize("messages", [MESSAGES, conversation("Is it so?")], ids=["system", "user-only"])
@pytest.mark.parametrize("answer", ["Yes, because\n\n- it is", "", "ünïcode ✓"])
def test_prompt_rollout_and_interrupt_are_the_rendering_of_the_whole(any_tokenizer, messages, answer):
    rollout = any_tokenizer(answer, add_special_tokens=False).input_ids
    ids = prompt_ids(any_tokenizer, messages) + rollout + interrupt_ids(any_tokenizer, messages, QUESTION, PREFILL)
    turns = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": QUESTION}]
    whole = rendered(any_tokenizer, turns, opened=True, appended=PREFILL)
    if any_tokenizer.chat_template in (NO_SYSTEM, chat.PLAIN_TEMPLATE):  # these put a space before the answer
        space = any_tokenizer(" ", add_special_tokens=False).input_ids
        opened = len(prompt_ids(any_tokenizer, messages))
        assert whole[opened : opened + 1] == space
        del whole[opened]
    assert ids == whole


@pytest.mark.parametrize("name", ["chatml", "default-system", "no-system"])
def test_the_interrupt_starts_with_the_end_of_turn_token(name):
    made = tokenizer(TEMPLATES[name])
    ids = interrupt_ids(made, MESSAGES, QUESTION, PREFILL)
    assert ids[0] == made.eos_token_id
    assert made.decode(ids).endswith(PREFILL)
    assert made.decode(ids).count(QUESTION) == 1


@pytest.mark.parametrize("answer", ["Yes.", "  Yes.\n", "One\n\ntwo"])
def test_training_ids_are_the_prompt_and_the_answer_with_one_end(any_tokenizer, answer):
    opened, target = training_ids(any_tokenizer, MESSAGES, answer)
    assert opened == prompt_ids(any_tokenizer, MESSAGES)
    assert target[-1] == any_tokenizer.eos_token_id
    assert target.count(any_tokenizer.eos_token_id) == 1
    assert any_tokenizer.decode(target[:-1]) == answer.strip()


@pytest.mark.parametrize(
    "call",
    [
        lambda made: training_ids(made, MESSAGES, "Yes."),
        lambda made: interrupt_ids(made, MESSAGES, QUESTION, PREFILL),
    ],
    ids=["training", "interrupt"],
)
def test_a_template_that_drops_the_answer_is_refused(call):
    with pytest.raises(SteerdoseError, match="drops the assistant's answer"):
        call(tokenizer(DROPS_ANSWER))


@pytest.mark.parametrize("messages", [MESSAGES, conversation("Hi")], ids=["system", "user-only"])
def test_what_a_failing_template_says_is_passed_on(messages):
    with pytest.raises(SteerdoseError, match="the chat template of .* failed: out of order"):
        prompt_ids(tokenizer("{{ raise_exception('out of order') }}"), messages)


def test_a_tokenizer_without_a_template_names_the_key():
    with pytest.raises(SteerdoseError, match=r"no chat template; set models\.<name>\.chat_template to 'plain'"):
        prompt_ids(tokenizer(None), MESSAGES)


@pytest.mark.parametrize(
    ("listed", "expected"), [([5, 7], {0, 5, 7}), ((5,), {0, 5}), (5, {0, 5}), (0, {0}), (None, {0})]
)
def test_end_ids_unite_tokenizer_and_generation_config(listed, expected):
    assert end_ids(tiny.tokenizer(), SimpleNamespace(eos_token_id=listed)) == expected


def test_end_ids_do_without_either():
    assert end_ids(tiny.tokenizer()) == {0}
    assert end_ids(SimpleNamespace(eos_token_id=None), SimpleNamespace(eos_token_id=5)) == {5}


THINKING = (  # keeps the thoughts of every turn, as far as it is told them apart, and opens a block in a new turn
    ROLES + START + "{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<think>\n{{ m['reasoning_content'] }}"
    "\n</think>\n\n{% endif %}{{ m['content'] }}" + END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n<think>\n{% endif %}"
)  # fmt: skip


def thinking_tokenizer(template=THINKING):
    made = tokenizer(template)
    made.add_tokens(["<think>", "</think>"])
    return made


def test_think_tags_are_found_by_token_or_template_and_absent_elsewhere(any_tokenizer):
    assert chat.think_tags(any_tokenizer) is None
    any_tokenizer.add_tokens(["<think>", "</think>"])
    assert chat.think_tags(any_tokenizer) == chat.ThinkTags("<think>", "</think>", "\n</think>\n\n")
    by_template = tokenizer(THINKING.replace("\n</think>\n\n", " </think>"))
    assert chat.think_tags(by_template).closing == " </think>"


@pytest.mark.parametrize(
    ("text", "is_open"),
    [("<think>so", True), ("<think>so</think>", False), ("so", False), ("</think><think>", True), ("</think>", False)],
)
def test_a_thought_is_open_behind_the_last_opening_tag(text, is_open):
    assert chat.think_tags(thinking_tokenizer()).are_open(text) == is_open


@pytest.mark.parametrize("thought", ["", "Ice is solid water", "One\n\ntwo ✓"])
def test_prompt_open_thought_and_interrupt_are_the_rendering_of_the_whole(thought):
    """The rollout stopped inside its thought: the interrupt closes it, answers nothing, and asks."""
    made = thinking_tokenizer()
    closing = chat.think_tags(made).closing
    ids = prompt_ids(made, MESSAGES) + chat.encode(made, thought)
    ids += interrupt_ids(made, MESSAGES, QUESTION, PREFILL, closing)
    empty = {"role": "assistant", "content": PREFILL, "reasoning_content": ""}
    turns = [*MESSAGES, {"role": "assistant", "content": "", "reasoning_content": thought}]
    whole = made.apply_chat_template([*turns, {"role": "user", "content": QUESTION}, empty], tokenize=False)
    assert made.decode(ids) + END + "\n" == whole
    assert ids == chat.encode(made, whole.removesuffix(END + "\n"))


def test_a_thought_that_the_rollout_closed_is_not_closed_again():
    made = thinking_tokenizer()
    text = made.decode(interrupt_ids(made, MESSAGES, QUESTION, PREFILL))
    assert text == f"{END}\n{START}user\n{QUESTION}{END}\n{START}assistant\n<think>\n\n</think>\n\n{PREFILL}"
