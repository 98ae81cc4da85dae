"""The chat template of a model: installed once, and tried out once before anything is rendered with it.

A template is a program, often a stranger's. transformers renders it in jinja's ImmutableSandboxedEnvironment, which
keeps it from files and from Python's internals, but not from looping or filling the memory; so it first runs in a child
process with limits, which is this module as a script.
"""

import json
import logging
import math
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.model.chat import BUILT_IN_TEMPLATES, conversation, prompt_ids, system_turn

log = logging.getLogger(__name__)

SECONDS = 10  # of processor time, so that a busy machine refuses nothing
GIBIBYTES = 1  # of address space
OUT_OF_MEMORY = 3  # exit status of the child
LIBRARY = Path(__file__).parents[2]


def install_template(tokenizer: Any, template: str | None) -> None:
    """Set the chat template from the config: a built-in name, a file, or Jinja text; check that one is there.

    A built-in one begins with the beginning-of-sequence token where the tokenizer puts it before every text: a base
    model has seen no text without it, and writes loops where it lacks.
    """
    if template is not None:
        in_a_file = "{" not in template and Path(template).is_file()
        text = Path(template).read_text("utf-8") if in_a_file else template
        if template in BUILT_IN_TEMPLATES:
            text = ("{{ bos_token }}" if adds_bos(tokenizer) else "") + BUILT_IN_TEMPLATES[template]
        if "{" not in text:
            raise SteerdoseError(
                f"models.<name>.chat_template '{template}' is neither {sorted(BUILT_IN_TEMPLATES)} nor a file nor Jinja"
            )
        tokenizer.chat_template = text
    if not tokenizer.chat_template:
        raise SteerdoseError(
            "the tokenizer has no chat template (a base model?): set models.<name>.chat_template to 'plain' (turns as "
            "'User: ...' and 'Assistant: ...'), to a Jinja file or to Jinja text"
        )


def adds_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer puts its beginning-of-sequence token before a text by itself."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("x").input_ids[0] == bos


def check_template(tokenizer: Any) -> None:
    """Raise SteerdoseError where the template runs away on short conversations; what it refuses is no matter here."""
    template = tokenizer.get_chat_template()
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(SECONDS)],
        cwd=LIBRARY,
        input=json.dumps({"chat_template": template, **tokenizer.special_tokens_map}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        known = {-signal.SIGXCPU: f"takes more than {SECONDS} s", OUT_OF_MEMORY: f"takes more than {GIBIBYTES} GiB"}
        problem = known.get(done.returncode, f"ends its process with status {done.returncode}: {done.stderr[-400:]}")
        raise SteerdoseError(
            f"the chat template that begins with {template[:60]!r} {problem} to render a short conversation; set "
            "models.<name>.chat_template to 'plain' or to a template that you trust"
        )


def note_template(tokenizer: Any) -> str:
    """Log how conversations are rendered; return what becomes of a system text, `kept` or `merged` with the user's."""
    does = system_turn(tokenizer)
    if does == "keeps":
        log.info("the chat template keeps a system text as it is")
    else:
        log.warning("the chat template %s a system turn: the user's turn begins with the system text instead", does)
    if adds_bos(tokenizer) and prompt_ids(tokenizer, conversation("?"))[0] != tokenizer.bos_token_id:
        log.warning("the chat template does not begin with %s, the tokenizer does", tokenizer.bos_token)
    return "kept" if does == "keeps" else "merged"


def _render_within_limits(seconds: int) -> None:
    """Render what a study renders, with the template on stdin: each turn as the last, with and without system text."""
    from transformers.utils.chat_template_utils import render_jinja_template

    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES * 2**30, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, resource.RLIM_INFINITY))
    given = json.load(sys.stdin)
    for start in (conversation("Is it so?", "Be brief."), conversation("Is it so?")):
        answered = [*start, {"role": "assistant", "content": "Yes."}]
        for messages in (start, answered, [*answered, *conversation("Really?")]):
            try:
                render_jinja_template([messages], add_generation_prompt=messages is not answered, **given)
            except MemoryError:
                sys.exit(OUT_OF_MEMORY)
            except Exception as error:  # a template may refuse some conversations, in whatever way
                print(error)


if __name__ == "__main__":
    _render_within_limits(int(sys.argv[1]))
