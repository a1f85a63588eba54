"""The adapter against the reference's MLP (13_mlp_*), and what selection and batch norm promise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qpmstudy.adapter import Adapter
from qpmstudy.errors import ConfigError
from qpmstudy.recalibration import recalibrate_batch_norm

PARITY = Path(__file__).parents[1] / "parity"
PRECISIONS = [("f32", torch.float32), ("f64", torch.float64)]
MLPS = [("13_mlp_2layer", 2e-5), ("13_mlp_4layer", 5e-5)]


def golden(name: str) -> dict[str, Tensor]:
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.atleast_1d(arrays[key])) for key in arrays.files}


def our_name(name: str) -> str:
    """seq.3.weight -> layers.1.linear.weight, seq.4.bn.weight -> layers.1.norm.weight"""
    _, position, *rest = name.split(".")
    kind = "norm" if rest[0] == "bn" else "linear"
    return f"layers.{int(position) // 3}.{kind}.{rest[-1]}"


def reference_adapter(
    arrays: dict[str, Tensor], dtype: torch.dtype, cls_statistics: bool = False
) -> Adapter:
    depth, hidden, features = (
        int(arrays[f"in_{key}"]) for key in ("n_layers", "hidden", "n_features")
    )
    channels = arrays["in_tokens"].shape[-1]
    adapter = Adapter(channels, hidden, features, depth, cls_statistics=cls_statistics)
    state = {
        our_name(key.removeprefix("in_param_")): value
        for key, value in arrays.items()
        if key.startswith("in_param_seq")
    }
    missing, unexpected = adapter.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return adapter.to(dtype)


def statistics(arrays: dict[str, Tensor], prefix: str, precision: str) -> dict[str, Tensor]:
    return {
        our_name(key.removeprefix(prefix).removesuffix(f"_{precision}")): value
        for key, value in arrays.items()
        if key.startswith(f"{prefix}seq") and key.endswith(precision)
    }


def flat_maps(maps: Tensor) -> Tensor:
    """Image x feature x row x column -> image x patch x feature."""
    return maps.flatten(2).transpose(1, 2)


def random_adapter(depth: int = 3, seed: int = 0) -> Adapter:
    return Adapter(5, 7, 6, depth, torch.Generator().manual_seed(seed))


def random_tokens(images: int, patches: int = 9, seed: int = 1) -> Tensor:
    return torch.randn(images, patches, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
@pytest.mark.parametrize(("name", "single"), MLPS)
def test_evaluation_forward_is_the_references(
    name: str, single: float, precision: str, dtype: torch.dtype
) -> None:
    arrays = golden(name)
    adapter = reference_adapter(arrays, dtype).eval()
    maps, vector = adapter(arrays["in_tokens"][:, :-1].to(dtype))
    logits = torch.nn.functional.linear(
        vector, arrays["in_param_linear.weight"].to(dtype), arrays["in_param_linear.bias"].to(dtype)
    )
    close = {"rtol": 0, "atol": single if precision == "f32" else 1e-9}
    torch.testing.assert_close(maps, flat_maps(arrays[f"out_eval_maps_{precision}"]), **close)
    torch.testing.assert_close(vector, arrays[f"out_eval_vec_{precision}"], **close)
    torch.testing.assert_close(logits, arrays[f"out_eval_logits_{precision}"], **close)


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
@pytest.mark.parametrize(("name", "single"), MLPS)
def test_forward_and_statistics_on_patches_only(
    name: str, single: float, precision: str, dtype: torch.dtype
) -> None:
    arrays = golden(name)
    adapter = reference_adapter(arrays, dtype)
    patches = arrays["in_tokens"][:, :-1].to(dtype)
    close = {"rtol": 0, "atol": single if precision == "f32" else 1e-9}
    maps, vector = adapter.eval()(patches)
    torch.testing.assert_close(maps, flat_maps(arrays[f"out_nocls_eval_maps_{precision}"]), **close)
    torch.testing.assert_close(vector, arrays[f"out_nocls_eval_vec_{precision}"], **close)
    maps, vector = adapter.train()(patches)
    torch.testing.assert_close(
        maps, flat_maps(arrays[f"out_nocls_train_maps_{precision}"]), **close
    )
    torch.testing.assert_close(vector, arrays[f"out_nocls_train_vec_{precision}"], **close)
    state = adapter.state_dict()
    for key, value in statistics(arrays, "out_nocls_after_train_", precision).items():
        torch.testing.assert_close(state[key], value, **close)


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
@pytest.mark.parametrize(("name", "single"), MLPS)
def test_with_the_class_token_in_the_statistics_it_is_the_references_variant(
    name: str, single: float, precision: str, dtype: torch.dtype
) -> None:
    """The reference normalises over patches and CLS and drops the CLS token afterwards."""
    arrays = golden(name)
    adapter = reference_adapter(arrays, dtype, cls_statistics=True).train()
    tokens = arrays["in_tokens"].to(dtype)
    close = {"rtol": 0, "atol": single if precision == "f32" else 1e-9}
    maps, vector = adapter(tokens)
    torch.testing.assert_close(maps, flat_maps(arrays[f"out_train_maps_{precision}"]), **close)
    torch.testing.assert_close(vector, arrays[f"out_train_vec_{precision}"], **close)
    state = adapter.state_dict()
    for key, value in statistics(arrays, "out_after_train_", precision).items():
        torch.testing.assert_close(state[key], value, **close)
    maps, vector = adapter.eval()(tokens)
    after = f"out_eval_after_train_maps_{precision}"
    torch.testing.assert_close(maps, flat_maps(arrays[after]), **close)
    torch.testing.assert_close(vector, arrays[f"out_eval_after_train_vec_{precision}"], **close)


@pytest.mark.parametrize("name", [name for name, _ in MLPS])
def test_gradients_are_the_references(name: str) -> None:
    arrays = golden(name)
    adapter = reference_adapter(arrays, torch.float64, cls_statistics=True).train()
    maps, vector = adapter(arrays["in_tokens"].double())
    loss = (maps * flat_maps(arrays["in_cot_maps"])).sum()
    (loss + (vector * arrays["in_cot_vec"]).sum()).backward()
    wanted = statistics(arrays, "out_grad_", "f64")
    gradients = {key: parameter.grad for key, parameter in adapter.named_parameters()}
    assert wanted.keys() == gradients.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(gradients[key], value, rtol=0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.integers(0, 5), min_size=1, unique=True), depth=st.integers(1, 3))
def test_select_keeps_exactly_the_chosen_features(chosen: list[int], depth: int) -> None:
    adapter = random_adapter(depth).double()
    adapter(random_tokens(4).double())  # running statistics that are not the initial ones
    indices = torch.tensor(chosen)
    for mode in (True, False):
        before, after = adapter.train(mode), adapter.train(mode).select(indices)
        assert after.training is mode
        assert after.features == len(chosen)
        tokens = random_tokens(3, seed=2).double()
        for wanted, got in zip(before(tokens), after(tokens), strict=True):
            torch.testing.assert_close(got, wanted[..., indices], rtol=0, atol=1e-13)


def test_select_shares_no_memory_with_the_original() -> None:
    adapter = random_adapter()
    before = {key: value.clone() for key, value in adapter.state_dict().items()}
    chosen = adapter.select(torch.tensor([0, 3]))
    with torch.no_grad():
        for parameter in chosen.parameters():
            parameter.add_(1)
    chosen(random_tokens(2))
    for key, value in adapter.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize("indices", [[0, 6], [-1], [2, 2], []])
def test_select_refuses_indices_that_are_no_selection(indices: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"distinct indices in 0\.\.5, got"):
        random_adapter().select(torch.tensor(indices, dtype=torch.int64))


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        ((5, 0, 6, 2), "at least 1, not 5, 0 and 6, and depth at least 0, not 2"),
        ((5, 7, 6, -1), "depth at least 0, not -1"),
        ((5, 7, 6, 0), "the 5 channels of the tokens, so features cannot be 6"),
        ((5, 7, 5, 0, None, "concat"), "the 10 channels of the tokens, so features cannot be 5"),
        ((5, 7, 6, 2, None, "mask"), "no input 'mask' .*patches, cls, both, concat"),
        ((5, 7, 6, 2, None, "cls", "sum"), "pooling 'sum'; .*poolings avg, max"),
    ],
)
def test_adapters_that_cannot_be_are_refused(shape: tuple[Any, ...], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        Adapter(*shape)


def test_weights_follow_the_generator_and_leave_the_global_one_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (random_adapter(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    for (name, left), right in zip(first.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right), name
    assert not torch.equal(first.layers[0].linear.weight, other.layers[0].linear.weight)


def test_initial_weights_have_the_scale_of_torchs_linear() -> None:
    linear = Adapter(400, 300, 4, 2).layers[0].linear
    for values in (linear.weight, linear.bias):
        assert values.abs().max() <= 1 / 20
    assert linear.weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.01)


def test_recalibration_on_one_batch_is_the_training_forward() -> None:
    adapter, tokens = random_adapter(), random_tokens(400)
    recalibrate_batch_norm(adapter, [tokens])
    # training mode divides by the biased variance, the running one is unbiased: 3600 tokens
    torch.testing.assert_close(
        adapter.eval()(tokens)[0], adapter.train()(tokens)[0], rtol=1e-3, atol=1e-3
    )


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), unique=True, max_size=4), seed=st.integers(0, 5))
def test_recalibration_pools_the_first_layer_over_any_batches(cuts: list[int], seed: int) -> None:
    tokens = random_tokens(12, seed=seed).double()
    tokens[3:] += 4  # batches that differ: averaging their variances would be far off
    adapter = random_adapter().double()
    recalibrate_batch_norm(adapter, (part for part in tokens.tensor_split(sorted(cuts))))
    layer = adapter.layers[0]
    values = layer.linear(tokens.flatten(0, 1))
    torch.testing.assert_close(layer.norm.running_mean, values.mean(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.norm.running_var, values.var(0), rtol=1e-10, atol=1e-10)


def test_recalibration_forgets_old_statistics_and_keeps_everything_else() -> None:
    fresh, used = random_adapter(), random_adapter()
    used(random_tokens(4, seed=9) * 100)
    batches = [random_tokens(4), random_tokens(4, seed=5)]
    for adapter in (fresh, used.eval()):
        recalibrate_batch_norm(adapter, batches)
    assert fresh.training
    assert not used.training
    for layer, other in zip(fresh.layers, used.layers, strict=True):
        assert layer.norm.momentum == 0.1
        assert torch.equal(layer.linear.weight, other.linear.weight)
        torch.testing.assert_close(layer.norm.running_mean, other.norm.running_mean)
        torch.testing.assert_close(layer.norm.running_var, other.norm.running_var)


def test_recalibration_needs_a_batch() -> None:
    with pytest.raises(ConfigError, match="got no batch"):
        recalibrate_batch_norm(random_adapter(), [])
