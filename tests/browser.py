"""Chromium, headless: what a page looks like to a reader, and what it asks the network for."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER_ITSELF = "not an origin"  # initiator in the net log
# The asked function runs once the page is there; its answer is left where --dump-dom shows it.
ASK = """
<script>
addEventListener("load", async () => {
  const say = (value) => { document.documentElement.dataset.found = JSON.stringify(value) };
  try { say({found: await (async () => { %s })()}) } catch (error) { say({error: String(error)}) }
});
</script>
"""


@dataclass(frozen=True)
class Visit:
    """What `visit` saw: the title, what the script returned, and every address that the page or a frame asked for."""

    title: str
    found: Any
    requests: list[str]


def find_browser() -> str:
    """Return the path of $CHROMIUM or of an installed Chromium or Chrome; fail with the remedy if there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, (
        "this test opens a page in Chromium and found none: run `make browser` (as root on Debian or Ubuntu), or "
        f"install Chromium or Chrome so that one of {', '.join(NAMES)} is on the PATH, or set CHROMIUM to its path"
    )
    return found


def visit(page: Path, script: str) -> Visit:
    """Open a copy of a page, run the body of an async JavaScript function in it, and return what it returned."""
    with tempfile.TemporaryDirectory() as folder:
        copy, log = Path(folder) / page.name, Path(folder) / "net.json"
        copy.write_text(page.read_text(encoding="utf-8") + ASK % script, encoding="utf-8")
        command = [
            find_browser(), "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
            "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing leaves this machine, neither the page's nor its own
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # the sandbox refuses to run as root
            f"--user-data-dir={folder}/profile", f"--log-net-log={log}", "--window-size=1400,1000",
            "--virtual-time-budget=600000", "--dump-dom", copy.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    answer = re.search(r'<html[^>]* data-found="([^"]*)"', done.stdout)
    assert answer, f"the script gave no answer:\n{done.stdout[:2000]}{done.stderr[-2000:]}"
    found = json.loads(unescape(answer[1]))
    assert "error" not in found, found
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    asked = {event["url"] for event in events if event.get("initiator", BROWSER_ITSELF) != BROWSER_ITSELF}
    requests = sorted(url for url in asked if not url.startswith(("file:", "data:", "blob:")))
    return Visit(unescape(title[1]) if title else "", found.get("found"), requests)
