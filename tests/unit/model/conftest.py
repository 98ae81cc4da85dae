"""What tests of model sources share."""

import tempfile

import pytest
import tiny


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where downloads go; nothing may stay there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.glob("tmp*")) == []


@pytest.fixture
def local(tmp_path):
    return tiny.save(tmp_path / "local")
