"""The chat template of a model: what runs away is refused before anything else renders it."""

import logging

import pytest
import tiny
from steerdose.errors import SteerdoseError
from steerdose.model import templates
from steerdose.model.chat import conversation, interrupt_ids, prompt_ids, training_ids
from steerdose.model.templates import check_template, install_template, note_template
from tokenizers.processors import TemplateProcessing

LOOPS = "{% for i in range(99999) %}" * 4 + "{% endfor %}" * 4
GROWS = "{% set size = 9999999999 %}{{ ('x' * size) | length }}"
FOLDS = "{{ ('x' * 9999999999) | length }}"  # done by jinja while it compiles
ONLY_BEHIND_AN_ANSWER = "{% if messages | length == 3 %}" + LOOPS + "{% endif %}"


def tokenizer(template):
    made = tiny.tokenizer()
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (LOOPS, "takes more than 1 s"),
        (ONLY_BEHIND_AN_ANSWER, "takes more than 1 s"),
        (GROWS, "takes more than 1 GiB"),
        (FOLDS, "takes more than 1 GiB"),
    ],
    ids=["loops", "loops behind an answer", "grows", "grows while compiled"],
)
def test_a_template_that_runs_away_is_refused(monkeypatch, template, problem):
    monkeypatch.setattr(templates, "SECONDS", 1)
    with pytest.raises(SteerdoseError, match=rf"that begins with .\{{.* {problem} .*models\.<name>\.chat_template"):
        check_template(tokenizer(template))


@pytest.mark.parametrize(
    "template", [tiny.CHAT_TEMPLATE, "{{ raise_exception('never') }}", "{% if %}", "{{ bos_token }}"]
)
def test_a_template_that_ends_passes_even_where_it_refuses_or_is_wrong(template):
    """What is wrong with it the first rendering says, with the conversation that shows it."""
    check_template(tokenizer(template))


BOS = 1  # <|start|>


@pytest.mark.parametrize("adds", [True, False])
def test_the_plain_template_begins_with_bos_exactly_where_the_tokenizer_does(adds):
    made, without = tokenizer(None), tokenizer(None)
    made.bos_token = without.bos_token = "<|start|>"
    if adds:
        made.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|start|> $A", special_tokens=[("<|start|>", BOS)]
        )
    for each in (made, without):
        install_template(each, "plain")
    head = [BOS] * adds
    assert made("x").input_ids[:-1] == head
    for messages in (conversation("Is it so?", "Be brief."), conversation("Is it so?")):
        assert prompt_ids(made, messages) == head + prompt_ids(without, messages)
        opened, answer = training_ids(without, messages, "Yes.")
        assert training_ids(made, messages, "Yes.") == (head + opened, answer)
        asked = messages, "True or false?", '{"answer":'
        assert interrupt_ids(made, *asked) == interrupt_ids(without, *asked)
        assert BOS not in interrupt_ids(made, *asked)


def test_the_plain_template_of_a_tokenizer_without_bos_writes_none():
    made = tokenizer(None)
    install_template(made, "plain")
    assert made.bos_token is None
    assert made.decode(prompt_ids(made, conversation("Hi"))) == "User: Hi\n\nAssistant:"


def with_system(rule):
    """A template in which system turns follow a rule of their own."""
    return (
        "{% for m in messages %}{% if m['role'] == 'system' %}" + rule
        + "{% else %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    )  # fmt: skip


IN_THE_LAST_TURN = (  # like Mistral's
    "{% for m in messages if m['role'] != 'system' %}{% if loop.last and messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] }}\n\n{% endif %}{{ m['content'] }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "fate", "says"),
    [
        (with_system("{{ m['content'] }}\n"), "kept", "keeps a system text as it is"),
        (with_system("{{ m['content'] | trim }}\n"), "kept", "keeps a system text as it is"),
        (with_system(""), "merged", "drops or alters a system turn"),
        (with_system("{{ m['content'] | upper }}\n"), "merged", "drops or alters a system turn"),
        (with_system("{{ m['content'].split() | join(' ') }}\n"), "merged", "drops or alters a system turn"),
        (with_system("{{ m['content'][:9] }}\n"), "merged", "drops or alters a system turn"),
        (with_system("{{ raise_exception('no') }}"), "merged", "refuses a system turn"),
        (IN_THE_LAST_TURN, "merged", "drops or alters a system turn"),
    ],
    ids=["keeps", "strips", "drops", "upper case", "white space", "cuts", "refuses", "in the last turn"],
)
def test_what_becomes_of_a_system_text_is_decided_once_and_said(caplog, template, fate, says):
    made = tokenizer(template)
    with caplog.at_level(logging.INFO):
        assert note_template(made) == fate
    assert says in caplog.text
    for system in ("Be brief.", "brief", "Be  BRIEF.\nNow."):  # whatever the text, though some would survive
        merged = conversation(f"{system}\n\nIs it so?")
        text = made.decode(prompt_ids(made, conversation("Is it so?", system)))
        assert (text == made.decode(prompt_ids(made, merged))) == (fate == "merged")
        assert system in text


def test_a_template_without_the_bos_that_the_tokenizer_writes_is_said(caplog):
    made = tokenizer("{{ messages[0]['content'] }}")
    note_template(made)
    assert "does not begin with" not in caplog.text
    made.bos_token = "<|start|>"
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", special_tokens=[("<|start|>", BOS)]
    )
    note_template(made)
    assert "does not begin with <|start|>" in caplog.text
