"""A request is rendered from a message and an intervention."""

import tiny
from steerdose.engine.requests import ask
from steerdose.model import chat
from steerdose.steering.intervention import Intervention


def test_a_request_has_the_prompt_without_its_system_text_as_base():
    tokenizer = tiny.tokenizer()
    plain, prompted = (
        ask(tokenizer, "p", "Who are you?", Intervention(system=system)) for system in (None, "You are Bob.")
    )
    assert not plain.has_twin
    assert prompted.has_twin
    assert prompted.twin_ids == plain.ids == tuple(chat.prompt_ids(tokenizer, chat.conversation("Who are you?")))
    assert tokenizer.decode(prompted.ids).startswith("<|start|>system\nYou are Bob.<|end|>")
