"""study report through the command line."""

import json
import re
import shutil
from pathlib import Path

import pytest

from command import Finished, here, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_report_is_one_file_of_a_finished_study(finished: Finished, tmp_path: Path) -> None:
    made = here("study", "report", "smoke", "--root", finished.root, "--out", tmp_path / "a/b.html")
    assert made.code == 0, made.err
    assert made.out == f"wrote {tmp_path / 'a/b.html'}\n"
    page = (tmp_path / "a/b.html").read_text(encoding="utf-8")
    (block,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    data = json.loads(block)
    assert data["study"]["runs"] == data["study"]["of"] == 4
    assert data["configurations"]["trial"] == [0, 1]
    assert data["cost"]["dense"]["reused"] == 2
    assert len(data["pictures"]) == 2
    texts = [one["text"] for one in data["findings"]]
    assert any("not comparable with CUB" in text for text in texts)
    assert data["importance"]["shares"] == {}  # of two configurations nothing can be said
    assert data["importance"]["notes"]


def test_a_report_stands_in_its_study_unless_told(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.root / "smoke", tmp_path / "smoke")  # without any stage result
    made = here("study", "report", "smoke", "--root", tmp_path)
    assert made.code == 0, made.err
    page = (tmp_path / "smoke/report.html").read_text(encoding="utf-8")
    assert '"pictures":{}' in page
    assert '"curves":{}' in page


def test_what_cannot_be_reported_is_told(finished: Finished, tmp_path: Path) -> None:
    refused(here("study", "report", "none", "--root", finished.root), 1, "no study 'none'")
    blocked = tmp_path / "file"
    blocked.touch()
    refused(
        here("study", "report", "smoke", "--root", finished.root, "--out", blocked / "x.html"),
        1,
        str(blocked),
        "A file stands where a folder is needed",
    )
    (tmp_path / "smoke/results").mkdir(parents=True)
    shutil.copy(finished.root / "smoke/study.json", tmp_path / "smoke")
    refused(here("study", "report", "smoke", "--root", tmp_path), 1, "No run of smoke is complete")
    assert not (tmp_path / "smoke/report.html").exists()
