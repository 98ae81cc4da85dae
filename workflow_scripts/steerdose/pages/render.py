"""Pages from templates: every text is escaped, and what would act on a page instead of being seen is written out."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Controls but tab and line feed, and the marks that break lines or turn the direction of writing.
CONTROLS = [code for code in range(160) if not chr(code).isprintable() and chr(code) not in "\t\n"]
MARKS = [0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
VISIBLE = {code: f"⟨U+{code:04X}⟩" for code in (*CONTROLS, *MARKS)}


def written_out(value: Any) -> Any:
    """Return what a template is about to write, a text with every character of `VISIBLE` as its code."""
    return value.translate(VISIBLE) if isinstance(value, str) else value


def render(template: str | Path, **content: Any) -> str:
    """Return the page; every text that the template writes is escaped, whoever it comes from."""
    path = Path(template)
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=True,
        finalize=written_out,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(path.name).render(**content)
