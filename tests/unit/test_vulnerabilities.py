"""The pins are looked up by pip-audit itself, at a service that this test stands in for."""

import json
import os
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ADVISORY = {
    "id": "GHSA-xxxx",
    "aliases": ["CVE-2026-1"],
    "summary": "planted",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


class Service(BaseHTTPRequestHandler):
    """Knows of one vulnerability, where it is asked for the package that `has` names."""

    has = "jinja2"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [ADVISORY]} if asked["package"]["name"].lower() == self.has else {}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()


def looked_up(url):
    env = {**os.environ, "PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url}
    command = [sys.executable, str(ROOT / "envs/vulnerabilities.py")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_known_vulnerability_is_told_with_the_version_that_mends_it(service):
    done = looked_up(service)
    assert done.returncode == 1
    assert "1 known\njinja2 3.1.6: CVE-2026-1, mended in 99.1" in done.stdout
    assert "make pins" in done.stderr


def test_pins_without_a_vulnerability_pass_and_are_counted(service, monkeypatch):
    monkeypatch.setattr(Service, "has", "none of ours")
    done = looked_up(service)
    n_pins = len({line for file in ROOT.glob("requirements*.txt") for line in file.read_text().split() if "==" in line})
    assert done.returncode == 0
    assert f"{n_pins} of {n_pins} pins looked up, 0 known" in done.stdout


def test_what_is_called_harmless_is_known_no_more_by_any_of_its_names():
    script = runpy.run_path(str(ROOT / "envs/vulnerabilities.py"))
    vulnerability = {"id": "CVE-2026-1", "aliases": ["GHSA-xxxx"], "fix_versions": []}
    pins = [{"name": "jinja2", "version": "3.1.6", "vulns": [vulnerability]}, {"name": "torch", "skip_reason": "none"}]
    assert script["known"](pins) == ["jinja2 3.1.6: CVE-2026-1, mended in no version"]
    script["HARMLESS"]["GHSA-xxxx"] = "templates are our own"
    assert script["known"](pins) == []


def test_without_a_network_it_is_said_that_nothing_was_looked_up():
    done = looked_up("http://127.0.0.1:9/v1/query")
    assert done.returncode == 0
    assert "no pin was looked up" in done.stdout
