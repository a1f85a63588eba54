"""All layers as one operation: the numbers of layer after layer, blocks or not, buffers or not."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qpmstudy import fused
from qpmstudy.adapter import Adapter
from qpmstudy.fused import Buffers
from qpmstudy.recalibration import recalibrate_batch_norm


def adapter(depth: int, seed: int = 0) -> Adapter:
    """Return an adapter whose every parameter has a value of its own, in float64."""
    generator = torch.Generator().manual_seed(seed)
    made = Adapter(5, 7, 4, depth, generator).double()
    with torch.no_grad():
        for layer in made.layers:
            layer.norm.weight.normal_(generator=generator)  # a negative gamma too
            layer.norm.bias.normal_(generator=generator)
    return made


def tokens(images: int, seed: int = 1, offset: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 6, 5, generator=generator, dtype=torch.float64) + offset


def step(model: Adapter, batch: Tensor, buffers: Buffers | None) -> Tensor:
    """Return the maps, and leave gradients of a sum that no symmetry simplifies."""
    maps, vector = model(batch, buffers)
    weights = torch.linspace(-1, 2, maps.numel(), dtype=maps.dtype).view_as(maps)
    ((maps * weights).sum() + (vector**2).sum()).backward()
    return maps.detach()


def assert_same(left: Adapter, right: Adapter) -> None:
    for (name, one), other in zip(
        left.state_dict().items(), right.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11, msg=name)
    for (name, one), other in zip(left.named_parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-10, msg=name)


@settings(max_examples=25, deadline=None)
@given(
    depth=st.integers(1, 4),
    images=st.integers(1, 5),
    block=st.sampled_from([1, 7, 50, 2**19]),
    offset=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_it_is_layer_after_layer(
    depth: int, images: int, block: int, offset: float, seed: int
) -> None:
    """Activations, running statistics and every gradient, over two steps of different size."""
    plain, ours, buffers = adapter(depth, seed), adapter(depth, seed), Buffers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "BLOCK", block)
        for size in (images, images + 2):
            batch = tokens(size, seed, offset)
            torch.testing.assert_close(
                step(ours, batch, buffers), step(plain, batch, None), rtol=1e-9, atol=1e-11
            )
    assert_same(ours, plain)


def test_a_bias_before_batch_norm_has_no_gradient_at_all() -> None:
    model = adapter(3)
    step(model, tokens(4), Buffers())
    for layer in model.layers:
        assert torch.equal(layer.linear.bias.grad, torch.zeros_like(layer.linear.bias))


def test_results_survive_the_next_step() -> None:
    model, buffers = adapter(3), Buffers()
    maps, vector = model(tokens(4), buffers)
    kept = maps.clone(), vector.clone()
    model(tokens(4, seed=2), buffers)
    assert torch.equal(maps, kept[0])
    assert torch.equal(vector, kept[1])


def test_a_backward_pass_that_comes_too_late_is_refused() -> None:
    """Its intermediate values are gone; wrong gradients would be the alternative."""
    model, buffers = adapter(3), Buffers()
    maps, _ = model(tokens(4), buffers)
    model(tokens(4, seed=2), buffers)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        maps.sum().backward()


def test_without_gradients_two_layers_are_in_memory() -> None:
    model, buffers = adapter(4), Buffers()
    with torch.no_grad():
        maps, _ = model(tokens(4), buffers)
    assert not maps.requires_grad
    assert sorted(name for name in buffers._held if name.startswith("z")) == ["z 0", "z 1"]
    torch.testing.assert_close(maps, adapter(4)(tokens(4))[0].detach())


def test_evaluation_ignores_buffers() -> None:
    model = adapter(2).eval()
    assert torch.equal(model(tokens(3), Buffers())[0], model(tokens(3))[0])


def test_recalibration_is_the_same_with_buffers() -> None:
    plain = adapter(3)
    ours = copy.deepcopy(plain)
    batches = [tokens(9), tokens(5, seed=3)]
    recalibrate_batch_norm(plain, batches)
    recalibrate_batch_norm(ours, batches, Buffers())
    for layer, other in zip(ours.layers, plain.layers, strict=True):
        torch.testing.assert_close(layer.norm.running_mean, other.norm.running_mean)
        torch.testing.assert_close(layer.norm.running_var, other.norm.running_var)
