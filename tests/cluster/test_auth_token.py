"""The token file: made once, for its owner alone, and never overwritten."""

import os
import threading
from pathlib import Path

import pytest

from cluster.auth_token import ensure_token, refusal, require_token, token_file
from cluster.local_cluster import home
from qpmstudy.errors import ConfigError
from qpmstudy.selection.licenses import license_file


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ray" / "auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    return path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_token_is_made_once_for_its_owner_alone(file: Path) -> None:
    ensure_token()
    token = file.read_text()
    assert len(bytes.fromhex(token)) == 32
    assert mode(file) == 0o600
    ensure_token()
    assert file.read_text() == token
    assert token not in refusal("head:6379")


def test_a_token_that_others_can_read_is_closed_to_them(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("abc")
    file.chmod(0o644)  # as Ray leaves it
    require_token()
    assert mode(file) == 0o600


def test_who_joins_gets_no_new_token(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no token in .*auth_token.*scp -p"):
        require_token()
    assert not file.exists()


def test_an_empty_token_is_refused(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    with pytest.raises(ConfigError, match="is empty"):
        ensure_token()


def test_a_token_that_another_process_is_writing_is_waited_for(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    writing = threading.Timer(0.2, file.write_text, ["abc"])
    writing.start()
    ensure_token()
    assert file.read_text() == "abc"
    writing.join()


def test_a_file_that_cannot_be_written_is_named(file: Path) -> None:
    file.parent.write_text("no folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        ensure_token()


def test_ray_s_own_place_is_used_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    assert token_file() == Path.home() / ".ray" / "auth_token"


def test_a_token_in_the_environment_needs_no_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    ensure_token()
    require_token()
    assert not file.exists()
    assert "secret" not in refusal("head:6379")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under whatever number it was given."""
    for name in ("HOME", "RAY_AUTH_TOKEN_PATH", "XDG_STATE_HOME", "GRB_LICENSE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(ConfigError, match="set RAY_AUTH_TOKEN_PATH to a file"):
        ensure_token()
    with pytest.raises(ConfigError, match="set XDG_STATE_HOME to a folder"):
        home()
    assert license_file() is None
