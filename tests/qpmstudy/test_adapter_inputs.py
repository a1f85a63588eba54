"""What the adapter makes of patches and CLS: each input and pooling against its definition."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from qpmstudy.adapter import Adapter, AdapterShape
from qpmstudy.batches import Feed
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError
from qpmstudy.fused import Buffers
from qpmstudy.recalibration import recalibrate_batch_norm

IMAGES, PATCHES, DIM = 6, 9, 5
SHAPES = {
    "avg": AdapterShape(DIM, 7, 4, 2),
    "max": AdapterShape(DIM, 7, 4, 2, pooling="max"),
    "cls": AdapterShape(DIM, 7, 4, 2, "cls"),
    "both": AdapterShape(DIM, 7, 4, 2, "both"),
    "both, max": AdapterShape(DIM, 7, 4, 2, "both", "max"),
    "concat": AdapterShape(DIM, 7, 4, 2, "concat"),
    "concat, max": AdapterShape(DIM, 7, 4, 2, "concat", "max"),
    "statistics": AdapterShape(DIM, 7, 4, 2, cls_statistics=True),
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def built(shape: AdapterShape) -> Adapter:
    """Return an adapter with running statistics that are not the initial ones."""
    adapter = Adapter(**asdict(shape), generator=torch.Generator().manual_seed(0)).double()
    adapter(tokens_for(adapter, seed=8))
    return adapter


def tokens_for(adapter: Adapter, seed: int = 1) -> Tensor:
    count = PATCHES + adapter.reads_cls
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(IMAGES, count, DIM, generator=generator, dtype=torch.float64)


def h(adapter: Adapter, tokens: Tensor) -> Tensor:
    """Apply the layers to (..., channels), token by token, with the running statistics."""
    for layer in adapter.eval().layers:
        norm = layer.norm
        z = tokens @ layer.linear.weight.T + layer.linear.bias
        z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        tokens = (z * norm.weight + norm.bias).clamp(min=0)
    return tokens


def defined(adapter: Adapter, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps and vector as the input's definition has them."""
    shape = adapter.shape
    patches, cls = (tokens[:, :PATCHES], tokens[:, -1])
    if shape.input == "concat":
        patches = torch.stack([torch.cat([patches[:, p], cls], 1) for p in range(PATCHES)], 1)
    maps = h(adapter, patches)
    pooled = maps.max(1).values if shape.pooling == "max" else maps.sum(1) / PATCHES
    if shape.input == "cls":
        return maps, h(adapter, cls)
    return maps, 0.5 * (pooled + h(adapter, cls)) if shape.input == "both" else pooled


@each_shape
def test_maps_and_vector_are_as_defined(shape: AdapterShape) -> None:
    adapter = built(shape)
    tokens = tokens_for(adapter)
    for got, wanted in zip(adapter.eval()(tokens), defined(adapter, tokens), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@each_shape
def test_statistics_are_those_of_every_token_that_passes(shape: AdapterShape) -> None:
    adapter = built(shape)
    tokens = tokens_for(adapter, seed=3)
    inputs = tokens
    if shape.input == "concat":
        cls = tokens[:, -1:].expand(-1, PATCHES, -1)
        inputs = torch.cat([tokens[:, :-1], cls], dim=2)
    values = adapter.layers[0].linear(inputs.flatten(0, 1))
    recalibrate_batch_norm(adapter, iter(tokens.tensor_split([2, 3])))
    norm = adapter.layers[0].norm
    torch.testing.assert_close(norm.running_mean, values.mean(0))
    torch.testing.assert_close(norm.running_var, values.var(0))


@each_shape
def test_fused_layers_give_the_same_values_and_gradients(shape: AdapterShape) -> None:
    found = []
    for buffers in (None, Buffers()):
        adapter = built(shape).train()
        maps, vector = adapter(tokens_for(adapter), buffers)
        ((maps**2).mean() + (vector * torch.arange(4)).sum()).backward()
        gradients = {
            name: parameter.grad
            for name, parameter in adapter.named_parameters()
            if not name.endswith("linear.bias")  # rounding noise around 0
        }
        found.append({"maps": maps.detach(), "vector": vector.detach(), **gradients})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-9, atol=1e-11, msg=name)


@each_shape
def test_selection_keeps_input_and_pooling(shape: AdapterShape) -> None:
    adapter, indices = built(shape), torch.tensor([3, 0])
    chosen = adapter.eval().select(indices)
    tokens = tokens_for(adapter)
    for got, wanted in zip(chosen(tokens), adapter(tokens), strict=True):
        torch.testing.assert_close(got, wanted[..., indices])


@pytest.mark.parametrize("kind", ["patches", "cls", "both", "concat"])
def test_without_layers_the_features_are_the_tokens(kind: str) -> None:
    width = 2 * DIM if kind == "concat" else DIM
    adapter = Adapter(DIM, 1, width, 0, input=kind).double()
    assert list(adapter.parameters()) == list(adapter.buffers()) == []
    tokens = tokens_for(adapter)
    before = tokens.clone()
    recalibrate_batch_norm(adapter, [tokens])
    for mode in (True, False):
        maps, vector = adapter.train(mode)(tokens, Buffers())
        assert torch.equal(maps[..., :DIM], tokens[:, :PATCHES])
        wanted = {
            "patches": tokens[:, :PATCHES].mean(1),
            "cls": tokens[:, -1],
            "both": (tokens[:, :PATCHES].mean(1) + tokens[:, -1]) / 2,
            "concat": torch.cat([tokens[:, :PATCHES].mean(1), tokens[:, -1]], 1),
        }[kind]
        torch.testing.assert_close(vector, wanted)
    assert torch.equal(tokens, before)
    with pytest.raises(ConfigError, match="depth 0 are the backbone's own channels"):
        adapter.select(torch.tensor([0]))


def test_feeds_put_the_class_token_last(embeddings: Embeddings) -> None:
    index = np.array([70, 3, 41])
    tokens = torch.from_numpy(embeddings.tokens(index, cls=True))
    assert tokens.shape[1:] == embeddings.tokens_shape(cls=True)
    assert torch.equal(tokens[:, :-1], torch.from_numpy(embeddings.tokens(index)))
    np.testing.assert_array_equal(tokens[:, -1].numpy(), embeddings.cls[index])
    feed = Feed(embeddings, index, torch.device("cpu"), cls=True)
    for size in (1, 2):
        batches = [batch.clone() for batch, _ in feed.batches(size)]
        assert torch.equal(torch.cat(batches), tokens.float())
