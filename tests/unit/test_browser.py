"""The browser's own checks can fail: it runs scripts, sees requests, and says how to get it."""

import browser
import pytest


def test_it_runs_scripts_and_sees_requests(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><title>t</title><img src="http://nowhere.invalid/a.png"><script>document.title="ran"</script>'
        "<iframe src=\"data:text/html,<img src='https://inner.invalid/b.png'>\"></iframe>"
    )
    shown = browser.visit(page, "return document.images[0].naturalWidth")
    assert (shown.title, shown.found) == ("ran", 0)
    assert shown.requests == ["http://nowhere.invalid/a.png", "https://inner.invalid/b.png"]


def test_a_quiet_page_asks_for_nothing(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>t</title><p>text")
    shown = browser.visit(page, "return document.body.innerText.trim()")
    assert (shown.title, shown.found, shown.requests) == ("t", "text", [])


def test_without_a_browser_the_remedy_is_named(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match="make browser"):
        browser.find_browser()
