"""What is recorded to repeat a run: the right commit or none, and no secret."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from storage import provenance
from storage.provenance import COLUMNS, code_in_words, command_line, source_hash
from storage.results import schema


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package in it, and one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: commits cannot be tested here")
    for package in provenance.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f'"""{package}."""\n')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    return tmp_path


def test_the_commit_and_whether_the_code_differs_from_it(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert provenance._git(checkout) == (head, False)
    (checkout / "notes.txt").write_text("no code\n")
    assert provenance._git(checkout) == (head, False)
    before = source_hash(checkout)
    (checkout / "storage" / "new.py").write_text("x = 1\n")
    assert provenance._git(checkout) == (head, True)
    assert source_hash(checkout) != before


def test_a_hook_of_another_repository_changes_no_commit(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, other = git(checkout, "rev-parse", "HEAD"), tmp_path_factory.mktemp("other")
    git(checkout, "clone", "--quiet", str(checkout), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "two")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert provenance._git(checkout) == (head, False)


def test_a_package_below_somebody_elses_checkout_has_no_commit(checkout: Path) -> None:
    installed = checkout / ".venv" / "site-packages"
    for package in provenance.PACKAGES:
        shutil.copytree(checkout / package, installed / package)
    assert provenance._git(installed) == (None, None)
    assert source_hash(installed) == source_hash(checkout)


def test_without_git_the_files_still_tell(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance._git(checkout) == (None, None)
    assert len(source_hash(checkout)) == 64


def test_every_column_has_a_type_in_the_schema() -> None:
    known = provenance.provenance()
    assert set(known) < set(COLUMNS)
    columns = schema(["test"])
    for name, (kind, meaning) in COLUMNS.items():
        assert str(columns.field(name).type) == {str: "string", bool: "bool", float: "double"}[kind]
        assert meaning
        assert known.get(name) is None or isinstance(known[name], kind)
    assert json.loads(str(known["versions"]))["torch"]


@pytest.mark.parametrize(
    "words",
    [
        ["--token", "hush-hush"],
        ["--token=hush-hush"],
        ["--api-key", "hush-hush"],
        ["AWS_SECRET_ACCESS_KEY=hush-hush"],
        ["--root", "s3://me:hush-hush@bucket/runs"],
        ["--root", "sftp://me:hush@hush@host/runs"],
        ["--root", "sftp://me:hush/hush@host/runs"],
        ["--root", "https://store/runs?sig=hush-hush&x=1"],
        ["runs/hush-hush/study.yaml"],  # as $RAY_AUTH_TOKEN has it
    ],
)
def test_no_secret_of_the_command_line_is_kept(words: list[str]) -> None:
    found = command_line(
        ["/home/me/cli.py", "study", "launch", *words], {"RAY_AUTH_TOKEN": "hush-hush"}
    )
    assert "hush" not in found
    assert found.startswith("python cli.py study launch ")
    assert "***" in found


def test_a_command_without_secrets_can_be_run_again() -> None:
    words = ["cli.py", "study", "launch", "my study.yaml", "--root", "runs", "-v", "--extend"]
    assert command_line(words, {"HOME": "runs", "PWD": "launch"}) == (
        "python cli.py study launch 'my study.yaml' --root runs -v --extend"
    )


def test_a_file_name_that_is_no_text_can_be_kept() -> None:
    found = command_line(["cli.py", "study", "launch", "\udce9tude.yaml"], {})
    assert found.encode() == b"python cli.py study launch '\\udce9tude.yaml'"


def test_code_in_words() -> None:
    source = "ab" * 32
    assert code_in_words({"commit": "c" * 40, "dirty": False, "source": source}) == (
        "commit cccccccccccc"
    )
    assert "changed (source abababababab)" in code_in_words(
        {"commit": "c" * 40, "dirty": True, "source": source}
    )
    assert code_in_words({"commit": None, "source": source}) == "source abababababab"
    assert code_in_words({}) == "unknown"
