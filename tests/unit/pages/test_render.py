"""Pages from templates: what is written out, wherever a text comes from."""

from steerdose.pages.render import render

ACTING = "\x1b[0m\u202e\u2066\x00\u200f\x07\u2028"
SEEN = "⟨U+001B⟩[0m⟨U+202E⟩⟨U+2066⟩⟨U+0000⟩⟨U+200F⟩⟨U+0007⟩⟨U+2028⟩"


def rendered(tmp_path, template, **content):
    path = tmp_path / "page.html"
    path.write_text(template, encoding="utf-8")
    return render(path, **content)


def test_what_would_act_is_written_out_in_every_place(tmp_path):
    template = (
        "{% macro run(parts) %}{% for part in parts %}<i>{{ part }}</i>{% endfor %}{% endmacro %}"
        '<title>{{ cell.values() | join(", ") }}</title><p title="{{ text }}">{{ run([text]) }}</p>{{ text | upper }}'
    )
    page = rendered(tmp_path, template, cell={"model": "m", "behavior": ACTING}, text=ACTING)
    upper = SEEN.replace("[0m", "[0M")
    assert page == f'<title>m, {SEEN}</title><p title="{SEEN}"><i>{SEEN}</i></p>{upper}'


def test_what_is_seen_anyway_stays_and_is_escaped_once(tmp_path):
    assert rendered(tmp_path, "{{ text }} {{ 3 }} {{ none }}", text="\tb\nc é👩‍👧 <b>&amp;") == (
        "\tb\nc é👩‍👧 &lt;b&gt;&amp;amp; 3 None"
    )
