"""Weights from timm's hub: the same model as the authors' file, fetched once, missed quickly."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from test_networks import tiny
from timm.models.eva import checkpoint_filter_fn as eva_filter
from timm.models.vision_transformer import checkpoint_filter_fn as vit_filter
from torch import Tensor

from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.checkpoints import find_weights
from qpmstudy.backbones.hub import NotFetchedError, fetch
from qpmstudy.backbones.pretrained import Pretrained
from qpmstudy.errors import DataError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_hub_has_the_model_that_is_meant(name: str) -> None:
    """By timm's own list, which says what it was converted from where that is public."""
    entry = CATALOGUE[name]
    config = timm.get_pretrained_cfg(entry.hub.removeprefix("timm/"))
    assert config is not None
    assert config.hf_hub_id == entry.hub
    assert config.architecture == entry.architecture
    assert config.url in {"", entry.source}


def timms(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a checkpoint as its authors publish it, and what timm makes of it for its hub."""
    entry, vit = tiny(name)
    weights = vit.random()
    side = (vit.stored or 14) * vit.patch  # of the stored positions: nothing is resampled
    model = timm.create_model(entry.architecture, img_size=side, num_classes=0, **entry.size)
    convert: Any = eva_filter if vit.family == "dinov3" else vit_filter
    converted: dict[str, Tensor] = convert(dict(weights), model)
    assert set(converted) == set(model.state_dict())
    return weights, {key: tensor.clone() for key, tensor in converted.items()}


@pytest.mark.parametrize(
    "name",
    ["dino-vits8", "dinov2-vits14", "dinov2-vits14-reg", "dinov2-vitg14-reg", "dinov3-vits16"],
)
@torch.no_grad()
def test_timms_conversion_is_the_same_model(name: str, tmp_path: Path) -> None:
    """The same tokens and the same hash: stores and models do not care where weights came from."""
    entry, _ = tiny(name)
    published, converted = timms(name)
    torch.save(published, tmp_path / "authors.pth")
    save_file(converted, tmp_path / "timm.safetensors")
    theirs = Pretrained(entry, tmp_path / "authors.pth")
    ours = Pretrained(entry, tmp_path / "timm.safetensors")
    assert ours.weight_hash == theirs.weight_hash
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for one, other in zip(ours.embed(images), theirs.embed(images), strict=True):
        assert torch.equal(one, other)
    converted["norm.weight"] += 1e-6
    save_file(converted, tmp_path / "timm.safetensors")
    assert Pretrained(entry, tmp_path / "timm.safetensors").weight_hash != theirs.weight_hash


def test_timms_files_must_fit_as_well(tmp_path: Path) -> None:
    entry, _ = tiny("dinov2-vits14-reg")
    _, converted = timms("dinov2-vits14-reg")
    save_file(converted | {"head.weight": torch.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"missing are none; foreign are head\.weight"):
        Pretrained(entry, tmp_path / "w.safetensors")


class Hub(BaseHTTPRequestHandler):
    """One file of one repository, as the hub answers for it."""

    content = b""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer(self.content)

    def _answer(self, body: bytes = b"") -> None:
        wanted = f"/{CATALOGUE['resnet50'].hub}/resolve/main/model.safetensors"
        found = self.path == wanted or self.path == wanted.replace("main", "0" * 40)
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.content) if found else 0))
        if found:
            self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if found:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def asked(server: ThreadingHTTPServer, cache: Path) -> list[str]:
    """Ask for two weights in a process of its own, which reads the hub's address when it starts."""
    program = (
        "from qpmstudy.backbones.catalogue import CATALOGUE\n"
        "from qpmstudy.backbones.checkpoints import find_weights\n"
        "from qpmstudy.errors import DataError\n"
        "for name in ('resnet50', 'dino-vits16'):\n"
        "    try:\n"
        "        print(find_weights(CATALOGUE[name]))\n"
        "    except DataError as error:\n"
        "        print(error)\n"
    )
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_CACHE": str(cache)}
    kept = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "QPMSTUDY_WEIGHTS")}
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=kept | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return answer.stdout.splitlines()


@pytest.mark.slow
def test_weights_are_fetched_once(
    hub: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "content", save({"fc.bias": torch.arange(5.0)}))
    found, missed = asked(hub, tmp_path / "cache")
    path = Path(found)
    assert path.is_relative_to(tmp_path / "cache")
    assert path.read_bytes() == Hub.content
    assert "dino_deitsmall16_pretrain.pth" in missed
    assert "timm/vit_small_patch16_224.dino on timm's hub gives none: " in missed
    hub.shutdown()
    hub.server_close()
    again, unreached = asked(hub, tmp_path / "cache")
    assert Path(again) == path
    assert "cannot be reached" in unreached


def test_no_internet_is_told_at_once(
    hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub, which tries five times, is not even asked."""
    hub.shutdown()
    hub.server_close()
    entry = CATALOGUE["dinov2-vitb14-reg"]
    with pytest.raises(NotFetchedError, match=r"HF_HUB_OFFLINE is set"):
        fetch(entry)
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    tries: list[bool] = []
    whole = huggingface_hub.hf_hub_download

    def counted(*arguments: str, local_files_only: bool = False) -> str:
        tries.append(local_files_only)
        return whole(*arguments, local_files_only=local_files_only)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", counted)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.delenv("QPMSTUDY_WEIGHTS", raising=False)
    reason = (
        rf"Get dinov2_vitb14_reg4_pretrain\.pth from .*{endpoint} cannot be reached \(.*refused"
    )
    with pytest.raises(DataError, match=reason):
        find_weights(entry)
    assert tries == [True]
