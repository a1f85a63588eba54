"""The ResNet-50 trained from pixels, against torchvision's own network on the same weights."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from qpmstudy import resnet
from qpmstudy.adapters import ADAPTERS, read_shape
from qpmstudy.backbones.pixels import patches_of
from qpmstudy.classifier import Classifier
from qpmstudy.config import AdapterConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.heads import DenseHead
from qpmstudy.metrics import compactness
from qpmstudy.optimizers import DENSE_SGD
from qpmstudy.resnet import ResNetAdapter, ResNetShape
from qpmstudy.training import Loop, Recipe

IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=seeded(side)).float()


@pytest.fixture(scope="module")
def adapter() -> ResNetAdapter:
    """Random weights, and running statistics of some pictures; not to be changed."""
    made = ResNetAdapter(generator=seeded())
    with torch.no_grad():
        made.train()(patches_of(pictures(4, 32)))
    return made.eval()


@pytest.mark.parametrize("side", [32, 56])
@pytest.mark.parametrize("training", [False, True])
def test_maps_are_torchvisions_at_reduced_strides(
    adapter: ResNetAdapter, side: int, training: bool
) -> None:
    theirs = resnet50()
    for stage in (theirs.layer3, theirs.layer4):  # by name: no module of ours is asked
        for name, module in stage.named_modules():
            if name in ("0.conv2", "0.downsample.0"):
                assert module.stride == (2, 2)
                module.stride = (1, 1)
    state = {name: value for name, value in theirs.state_dict().items() if name[:3] == "fc."}
    theirs.load_state_dict({**state, **adapter.network.state_dict()})
    shown = pictures(2, side).double()  # or rounding grows from layer to layer
    mean, std = (value.view(3, 1, 1) for value in IMAGENET)
    extract = create_feature_extractor(theirs, ["layer4", "flatten"])
    with torch.no_grad():
        expected = extract.double().train(training)((shown / 255 - mean) / std)
        ours = ResNetAdapter()
        ours.load_state_dict(adapter.state_dict())
        maps, vector = ours.double().train(training)(patches_of(shown))
    grid = side // 8
    assert expected["layer4"].shape == (2, 2048, grid, grid)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}  # the colours' statistics are single
    torch.testing.assert_close(maps, expected["layer4"].flatten(2).mT, **tolerance)
    torch.testing.assert_close(vector, expected["flatten"], **tolerance)


def test_a_map_lies_over_what_it_sees(adapter: ResNetAdapter) -> None:
    """Changing one corner changes most what the maps have there: rows and columns are right."""
    black = torch.zeros(1, 3, 192, 192)
    lit = black.clone()
    lit[:, :, 160:, :32] = 255
    with torch.no_grad():
        difference = (adapter(patches_of(lit))[0] - adapter(patches_of(black))[0]).abs().sum(2)
    row, column = divmod(int(difference.argmax()), 24)
    assert row >= 18
    assert column < 6


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (ResNetAdapter(generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    first = "network.layer4.0.conv2.weight"
    assert torch.equal(one.state_dict()[first], same.state_dict()[first])
    assert not torch.equal(one.state_dict()[first], other.state_dict()[first])
    std = (2 / (9 * 512)) ** 0.5  # He initialisation over what leaves the layer
    assert float(one.state_dict()[first].std()) == pytest.approx(std, rel=0.01)


def test_gradients_reach_every_parameter() -> None:
    made = ResNetAdapter(generator=seeded()).train()
    maps, vector = made(patches_of(pictures(2, 32)))
    (maps.square().sum() + vector.sum()).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_every_weight_is_counted(adapter: ResNetAdapter) -> None:
    model = Classifier(adapter, DenseHead(2048, 3, 0.0, seeded()))
    trunk = sum(value.numel() for name, value in resnet50().named_parameters() if name[:2] != "fc")
    assert compactness(model)["parameters"] == trunk + 3 * 2048 + 3
    assert compactness(model)["n_features"] == 2048


def test_select_keeps_the_chosen_channels_in_order(adapter: ResNetAdapter) -> None:
    tokens = patches_of(pictures(2, 32))
    indices = torch.tensor([2047, 3, 700])
    with torch.no_grad():
        maps, vector = adapter(tokens)
        chosen = adapter.select(indices)
        fewer, mean = chosen(tokens)
        again = chosen.select(torch.tensor([1]))(tokens)[0]
    assert torch.equal(fewer, maps[:, :, indices])
    torch.testing.assert_close(mean, vector[:, indices])
    assert torch.equal(again, maps[:, :, [3]])
    assert (chosen.features, chosen.shape) == (3, ResNetShape(3))
    assert adapter.features == 2048
    with torch.no_grad():
        chosen.network.conv1.weight.zero_()
    assert adapter.network.conv1.weight.any()  # a copy of its own


@pytest.mark.parametrize("indices", [[], [1, 1], [2048], [-1]])
def test_select_refuses_other_indices(adapter: ResNetAdapter, indices: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"needs distinct indices in 0\.\.2047, got"):
        adapter.select(torch.tensor(indices, dtype=torch.int64))


@pytest.mark.parametrize("features", [0, 2049])
def test_it_has_2048_channels(features: int) -> None:
    with pytest.raises(ConfigError, match=rf"in 1\.\.2048, not {features}"):
        ResNetAdapter(features)


def test_a_stored_classifier_comes_back(adapter: ResNetAdapter) -> None:
    model = Classifier(adapter.select(torch.tensor([9, 4])), DenseHead(2, 3, 0.0, seeded())).eval()
    facts = model.adapter.shape.facts()
    assert facts == {"kind": "resnet50", "features": 2}
    again = Classifier.from_tensors(model.tensors(), read_shape(facts))
    tokens = patches_of(pictures(1, 32))
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, model(tokens).logits)
        assert torch.equal(again(tokens).feature_maps, model(tokens).feature_maps)
    with pytest.raises(DataError, match="do not make a classifier"):
        Classifier.from_tensors(model.tensors(), ResNetShape(3))


def test_every_kind_is_read_back_from_its_facts() -> None:
    for name in ADAPTERS.names():
        assert ADAPTERS.get(name).shape_class.kind == name
    old = {"in_dim": 5, "hidden": 4, "features": 3, "depth": 2}
    assert read_shape(old).facts() == {
        **{"kind": "mlp", **old},
        **{"input": "patches", "pooling": "avg", "cls_statistics": False},
    }
    with pytest.raises(ConfigError, match=r"Unknown adapter 'resnet5'.*Did you mean 'resnet50'"):
        read_shape({"kind": "resnet5"})


def test_it_is_made_for_pixels_alone(embeddings: Embeddings) -> None:
    config = AdapterConfig(kind="resnet50")
    with pytest.raises(ConfigError, match=r"'tiny' was embedded by 'none': set .* pixels, pixels-"):
        ResNetAdapter.configured(config, embeddings, seeded())
    made = ResNetAdapter.configured(config, replace(embeddings, backbone="pixels"), seeded())
    assert made.features == 2048


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint as torchvision publishes them, named by its hash, in the folder of weights."""
    weights = resnet50().state_dict()
    old_style = {name: value for name, value in weights.items() if "num_batches" not in name}
    torch.save(old_style, tmp_path / "file")
    digest = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    path = (tmp_path / "file").rename(tmp_path / f"resnet50-{digest[:8]}.pth")
    monkeypatch.setattr(resnet, "IMAGENET_FILE", path.name)
    monkeypatch.setenv("QPMSTUDY_WEIGHTS", str(tmp_path))
    return path


def start(embeddings: Embeddings) -> ResNetAdapter:
    config = AdapterConfig(kind="resnet50", weights="imagenet")
    return ResNetAdapter.configured(config, replace(embeddings, backbone="pixels"), seeded())


def test_published_weights_are_where_training_starts(
    published: Path, embeddings: Embeddings
) -> None:
    weights = torch.load(published, weights_only=True)
    own = start(embeddings).network.state_dict()
    assert {
        name for name in weights if not torch.equal(own.get(name, torch.zeros(0)), weights[name])
    } == {
        "fc.weight",
        "fc.bias",
    }


def test_missing_weights_name_the_published_file(
    tmp_path: Path, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QPMSTUDY_WEIGHTS", raising=False)
    with pytest.raises(DataError, match=r"QPMSTUDY_WEIGHTS is not set\. Get https://download\.pyt"):
        start(embeddings)
    monkeypatch.setenv("QPMSTUDY_WEIGHTS", str(tmp_path))
    with pytest.raises(DataError, match=r"there is no resnet50-0676ba61\.pth in .*every node"):
        start(embeddings)


def test_other_bytes_under_the_published_name_are_refused(
    published: Path, embeddings: Embeddings
) -> None:
    content = bytearray(published.read_bytes())
    content[-1] ^= 1
    published.write_bytes(content)
    with pytest.raises(DataError, match=r"is not the published file: its SHA-256 begins with"):
        start(embeddings)


def test_weights_of_another_network_are_refused(
    published: Path, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.load(published, weights_only=True)
    weights["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(weights, published)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    path = published.rename(published.with_name(f"resnet50-{digest[:8]}.pth"))
    monkeypatch.setattr(resnet, "IMAGENET_FILE", path.name)
    with pytest.raises(DataError, match=r"holds no weights of a ResNet-50.*conv1\.weight"):
        start(embeddings)


def test_a_training_step_sees_changed_pictures_of_whole_numbers(adapter: ResNetAdapter) -> None:
    tokens = patches_of(pictures(3, 32))
    changed = adapter.augmented(tokens, np.random.default_rng(0))
    assert changed.shape == tokens.shape
    assert changed.dtype == tokens.dtype
    assert torch.equal(changed, changed.round())
    assert 0 <= changed.min() <= changed.max() <= 255
    assert all((one != other).any() for one, other in zip(changed, tokens, strict=True))


def test_it_learns_colours() -> None:
    generator = seeded(0)
    labels = torch.arange(12) % 3
    colours = 40 + 160 * torch.eye(3)[labels]
    noise = torch.randint(-40, 41, (12, 3, 32, 32), generator=generator)
    tokens = patches_of((colours[:, :, None, None] + noise).clamp(0, 255))
    head = DenseHead(2048, 3, 0.0, generator)
    model = Classifier(ResNetAdapter(generator=seeded(0)), head)
    loop = Loop(model, Recipe(8, 6, 2e-3, 5e-4, 0.0, sgd=DENSE_SGD))
    batches = [(tokens[part], labels[part]) for part in (slice(6), slice(6, None))]
    losses = [loop.epoch(batches)["cross_entropy"] for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]
