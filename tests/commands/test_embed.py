"""Embedding a dataset that a person brings, through the command line, and predicting with it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet50

from command import here, refused, run
from content import damage
from dataset_layouts import make_aircraft, make_cars, make_cub, make_folder
from published import PUBLISHED
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pixels import pictures_of
from qpmstudy.datasets import open_dataset
from qpmstudy.errors import DataError
from storage.embeddings import open_store
from storage.places import place
from ugly_pictures import BROKEN, UGLY, seen

Make = Callable[..., Any]
VIT = "dino-vits16"
FILE = "dino_deitsmall16_pretrain.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of two backbones, random but as published."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(PUBLISHED[VIT].random(), folder / FILE)
    torch.manual_seed(0)
    torch.save(resnet50().state_dict(), folder / "resnet50-0676ba61.pth")
    return folder


@pytest.mark.slow
def test_images_in_the_cub_layout_are_embedded_from_their_folder(fresh_root: Path) -> None:
    folder = fresh_root / "_datasets" / "birds-smoke"
    cub = ("embed", "--dataset", "cub2011", "--data", folder, "--root", fresh_root)
    result = run(*cub)
    assert result.code == 0, result.err
    ours = open_store(fresh_root / "_embeddings/birds-smoke/patch-descriptor", "birds-smoke",
                      "patch-descriptor")  # fmt: skip
    theirs = open_store(fresh_root / "_embeddings/cub2011/patch-descriptor", "cub2011",
                        "patch-descriptor")  # fmt: skip
    assert np.array_equal(ours.read_shard(0), theirs.read_shard(0))
    again = run(*cub)
    assert (again.code, "complete" in again.out) == (0, True)
    (folder / "classes.txt").unlink()
    refused(run(*cub), 1, "classes.txt", str(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "backbone"),
    [
        ("cub2011", make_cub, VIT),
        ("stanford-cars", make_cars, VIT),
        ("fgvc-aircraft-cropped", make_aircraft, VIT),
        ("folder-mine", make_folder, f"{VIT}@layer=11,norm=no,size=112,precision=bfloat16"),
        ("folder-mine", make_folder, "resnet50@layer=3"),
    ],
)
def test_every_layout_is_embedded_by_official_checkpoints(
    name: str, make: Make, backbone: str, weights: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The tokens in the store are the backbone's."""
    monkeypatch.setenv("QPMSTUDY_WEIGHTS", str(weights))
    data, root = make(tmp_path / "data", train=2, test=1), tmp_path / "runs"
    command = ("embed", "--dataset", name, "--backbone", backbone, "--data", data, "--root", root)
    own_process = name == "cub2011"  # with another that decodes; the others save the start
    result = run(*command, "--workers", 1) if own_process else here(*command, "--batch", 4)
    assert result.code == 0, result.err
    assert "embedding" in result.out
    assert "images/s" in result.out
    store = open_store(root / "_embeddings" / name / backbone, name, backbone)
    assert store.fingerprint[:16] in result.out
    images, frozen = open_dataset(name, data), open_backbone(backbone)
    light = store.read_without_patches()
    assert light.weight_hash == frozen.weight_hash
    assert (len(light.ids), light.grid) == (9, frozen.grid)
    found = torch.tensor(store.read_shard(0)).float()
    for index in (0, 8):
        expected, _ = frozen.embed(frozen.preprocess(images.image(index))[None])
        # another batch: rounding of the products, and then of half precision
        coarse = 3e-2 if "bfloat16" in backbone else 2e-3
        assert (found[index] - expected[0]).norm() < coarse * expected.norm()


def refusal(root: Path, code: int, words: list[str], *arguments: object) -> None:
    refused(here("embed", *arguments, "--root", root), code, *words)
    assert not list(root.glob("_embeddings/*/*/zarr.json"))


def test_wrong_weights_are_refused_before_anything_is_made(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data = tmp_path / "runs", make_folder(tmp_path / "data")
    base = ("--dataset", "folder-mine", "--data", data)
    vit = (*base, "--backbone", VIT)
    monkeypatch.delenv("QPMSTUDY_WEIGHTS", raising=False)
    official = [FILE, "https://dl.fbaipublicfiles.com/dino/", "--weights", "QPMSTUDY_WEIGHTS"]
    refusal(root, 1, official, *vit)
    monkeypatch.setenv("QPMSTUDY_WEIGHTS", str(tmp_path))
    refusal(root, 1, [*official, f"lies in {tmp_path}"], *vit)
    refusal(root, 1, ["no weights at", "gone.pth"], *vit, "--weights", tmp_path / "gone.pth")
    other = ["is not the checkpoint of this network", "Take the published file"]
    refusal(root, 1, other, *vit, "--weights", weights / "resnet50-0676ba61.pth")
    refusal(root, 1, other, *base, "--backbone", "dino-vits8", "--weights", weights / FILE)
    cut = tmp_path / "cut.pth"
    cut.write_bytes((weights / FILE).read_bytes()[:1_000_000])
    refusal(root, 1, ["cut.pth cannot be read as weights"], *vit, "--weights", cut)
    none = ["'pixels' has no weights"]
    refusal(root, 2, none, *base, "--backbone", "pixels", "--weights", weights / FILE)
    options = ["layer to be 1 to 12: '13'"]
    refusal(root, 2, options, *base, "--backbone", f"{VIT}@layer=13", "--weights", weights / FILE)
    refusal(root, 2, ["'pixels' has no options"], *base, "--backbone", "pixels",
            "--precision", "bfloat16")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "file"),
    [
        ("cub2011", make_cub, "image_class_labels.txt"),
        ("cub2011", make_cub, "images/001.Bird_1/Bird_0001.jpg"),
        ("cub2011-cropped", make_cub, "bounding_boxes.txt"),
        ("stanford-cars", make_cars, "devkit/cars_meta.mat"),
        ("stanford-cars", make_cars, "cars_test_annos_withlabels.mat"),
        ("stanford-cars", make_cars, "cars_train/00001.jpg"),
        ("fgvc-aircraft", make_aircraft, "data/images_variant_test.txt"),
        ("fgvc-aircraft-cropped", make_aircraft, "data/images_box.txt"),
        ("folder-mine", make_folder, "segmentations/train/class 0/0.png"),
    ],
)
def test_a_missing_file_is_named(name: str, make: Make, file: str, tmp_path: Path) -> None:
    root, data = tmp_path / "runs", make(tmp_path / "data")
    (data / file).unlink()
    words = ["bounding boxes"] if "-cropped" in name else [Path(file).name]
    refusal(root, 1, words, "--dataset", name, "--data", data, "--backbone", "pixels-112")


def test_broken_images_are_named_or_left_out(tmp_path: Path) -> None:
    root, data = tmp_path / "runs", make_folder(tmp_path / "data")
    broken = data / "train" / "class 2" / "13.png"
    broken.write_bytes(broken.read_bytes()[:90])
    mine = ("--dataset", "folder-mine", "--data", data, "--backbone", "pixels-112")
    refusal(root, 1, ["1 of the 18 images", "class 2/13.png", "--skip-broken"], *mine)
    result = here("embed", *mine, "--root", root, "--skip-broken")
    assert result.code == 0, result.err
    assert "left out 1 broken image:\n  train/class 2/13.png: " in result.out
    assert "17 images" in result.out
    assert "no object masks" not in result.out


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_folder_of_the_ugliest_images(tmp_path: Path) -> None:
    """Broken ones in the midst of others are all named at once, or left out; the rest is right."""
    data, root = tmp_path / "data", tmp_path / "runs"
    kinds = ("fine", "schön & gut")
    for number, (name, ugly) in enumerate(UGLY.items()):
        (data / kinds[number % 2]).mkdir(parents=True, exist_ok=True)
        ugly.write(data / kinds[number % 2] / name)
    for number, (name, (write, _)) in enumerate(BROKEN.items()):
        write(data / kinds[number % 2] / name)
    mine = ("--dataset", "folder-ugly", "--data", data, "--backbone", "pixels-112")
    refusal(root, 1, [f"{len(BROKEN)} of the {len(UGLY) + len(BROKEN)} images", *BROKEN], *mine)
    result = here("embed", *mine, "--root", root, "--skip-broken")
    assert result.code == 0, result.err
    assert f"left out {len(BROKEN)} broken images:" in result.out
    assert all(name in result.out for name in BROKEN)
    store = open_store(root / "_embeddings/folder-ugly/pixels-112", "folder-ugly", "pixels-112")
    ids = store.read_without_patches().ids
    assert {Path(image_id).name for image_id in ids} == set(UGLY)
    assert "no object masks (segmentations/)" in result.out
    pictures = pictures_of(torch.tensor(store.read_shard(0))).permute(0, 2, 3, 1)
    for image_id, pixels in zip(ids, pictures.byte().numpy(), strict=True):
        ugly = UGLY[Path(image_id).name]
        found = seen(Image.fromarray(pixels))
        assert np.abs(np.subtract(found, ugly.shown)).max() <= ugly.tolerance + 1, image_id


@pytest.mark.parametrize("name", [b"a\nb.png", b"\xff\xfe.png", b"\x07.png"])
def test_names_that_no_list_can_hold_are_refused(name: bytes, tmp_path: Path) -> None:
    root, data = tmp_path / "runs", make_folder(tmp_path / "data")
    first = data / "train" / "class 0" / "0.png"
    first.rename(first.with_name(os.fsdecode(name)))
    mine = ("--dataset", "folder-mine", "--data", data, "--backbone", "pixels-112")
    refusal(root, 1, ["names the image 'train/class 0/", "printable characters: rename it"], *mine)


def test_stores_are_listed_and_verified(tmp_path: Path) -> None:
    root, data = tmp_path / "runs", make_folder(tmp_path / "data")
    mine = ("--dataset", "folder-mine", "--data", data, "--backbone", "pixels-112")
    assert here("embed", *mine, "--root", root).code == 0
    listed = here("embed", "--list", "--root", root)
    assert listed.code == 0
    assert "folder-mine  pixels-112  18      14 x 14  192" in listed.out
    assert here("embed", "--verify", "--root", root).out == (
        "folder-mine by pixels-112: whole (complete)\n"
    )
    shard = root / "_embeddings/folder-mine/pixels-112/patches/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    refused(here("embed", "--verify", "--root", root), 1, "shard 0 of patches", "damaged",
            "embed --dataset folder-mine --backbone pixels-112 --data FOLDER --force")  # fmt: skip
    assert here("embed", *mine, "--force", "--root", root).code == 0
    assert here("embed", "--verify", "--root", root).code == 0
    refused(here("embed", "--verify", "--dataset", "cub2011", "--root", root), 1, "--list")
    assert json.loads((shard.parents[4] / "zarr.json").read_text())["attributes"]["complete"]


@pytest.mark.slow
def test_processes_make_the_store_that_one_thread_made(fresh_root: Path) -> None:
    store = fresh_root / "_embeddings" / "birds-smoke" / "patch-descriptor"
    files = [path for path in store.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    shutil.rmtree(store)
    assert run("embed", "--dataset", "birds-smoke", "--workers", 2, "--root", fresh_root).code == 0
    # the folder of the images is another than the one that the root was copied from
    same = {path for path in files if path.read_bytes() == before[path]}
    assert set(files) - same <= {store / "zarr.json"}


@pytest.mark.slow
def test_a_store_in_a_bucket_is_made_listed_verified_and_mended(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage is named, what is damaged is not used, and the remedy works."""
    monkeypatch.setenv("QPMSTUDY_EMBEDDINGS", bucket)
    root, data = tmp_path / "runs", make_folder(tmp_path / "data")
    mine = ("embed", "--dataset", "folder-mine", "--data", data, "--backbone", "pixels-112",
            "--root", root)  # fmt: skip
    made = here(*mine)
    assert made.code == 0, made.err
    url = f"{bucket}/folder-mine/pixels-112"
    assert f"{url}: complete, fingerprint" in made.out
    assert not root.exists()
    assert "pixels-112  18      14 x 14  192" in here("embed", "--list").out
    assert here("embed", "--verify").out == "folder-mine by pixels-112: whole (complete)\n"
    monkeypatch.delenv("QPMSTUDY_EMBEDDINGS")
    at_url = ("--embeddings", bucket)
    for kind in ("flip", "truncate", "remove"):
        damage(place(url), "patches/c/0/0/0", kind)
        remedy = "embed --dataset folder-mine --backbone pixels-112 --data FOLDER"
        said = ("shard 0 of patches", "damaged", url, f"{remedy} --embeddings {bucket} --force")
        refused(here("embed", "--verify", *at_url), 1, *said)
        with pytest.raises(DataError, match="shard 0 of patches"):
            open_store(place(url), "folder-mine", "pixels-112").read_shard(0)
        assert here(*mine, *at_url, "--force").code == 0
        assert here("embed", "--verify", *at_url).code == 0


def test_urls_that_cannot_be_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, code, words in (
        ("s3://", 2, "names no folder"),
        ("s4://bucket/x", 2, "Unknown kind of URL 's4://bucket/x'"),
        ("gs://bucket/x", 1, "gcsfs"),
    ):
        refused(here("embed", "--list", "--embeddings", url), code, words)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    # in a process of its own: s3fs keeps the end point that it was opened with
    words = ("s3://bucket/x", "cannot be reached", "Connect", "same command")
    refused(run("embed", "--list", "--embeddings", "s3://bucket/x"), 1, *words)
