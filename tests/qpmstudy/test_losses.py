"""The losses against the reference (01_fdl_*, 02_l1_losses) and against their own definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qpmstudy.losses import diversity_loss, l1_feature_maps, l1_feature_vector

PARITY = Path(__file__).parents[1] / "parity"
PRECISIONS = [("f32", torch.float32), ("f64", torch.float64)]
HEADS = ["01_fdl_dense", "01_fdl_sparse_binary"]


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def patches_last(maps: np.ndarray) -> Tensor:
    """Image x feature x row x column -> image x patch x feature."""
    return torch.from_numpy(maps).flatten(2).transpose(1, 2).contiguous()


def inputs(arrays: dict[str, np.ndarray], dtype: torch.dtype) -> tuple[Tensor, ...]:
    maps = patches_last(arrays["in_feature_maps"])
    rest = (torch.from_numpy(arrays[f"in_{key}"]) for key in ("feat_vec", "weight", "outputs"))
    return tuple(value.to(dtype) for value in (maps, *rest))


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
@pytest.mark.parametrize("vector_of", ["pooled", "given"])
@pytest.mark.parametrize("name", HEADS)
def test_diversity_loss_and_its_gradients_are_the_references(
    name: str, vector_of: str, precision: str, dtype: torch.dtype
) -> None:
    arrays = golden(name)
    maps, vector, weight, logits = inputs(arrays, dtype)
    leaves = [value.requires_grad_() for value in (maps, weight, vector)]
    if vector_of == "pooled":
        vector = maps.mean(1)
        leaves.pop()
    loss = float(arrays["in_scale"]) * diversity_loss(maps, vector, weight, logits)
    relative = 1e-5 if precision == "f32" else 1e-10
    wanted = float(arrays[f"out_loss_{vector_of}_{precision}"])
    assert loss.item() == pytest.approx(wanted, rel=relative)
    assert loss.item() == pytest.approx(float(arrays[f"paper_loss_{vector_of}"]), rel=5e-5)
    gradients = torch.autograd.grad(loss, leaves)
    atol = 1e-6 if precision == "f32" else 1e-9
    for gradient, of in zip(gradients, ("maps", "weight", "feat_vec"), strict=False):
        stored = arrays[f"out_grad_{of}_{vector_of}_{precision}"]
        reference = patches_last(stored) if of == "maps" else torch.from_numpy(stored)
        torch.testing.assert_close(gradient, reference, rtol=0, atol=atol)


@pytest.mark.parametrize("name", HEADS)
def test_diversity_loss_of_each_image_is_the_papers(name: str) -> None:
    arrays = golden(name)
    maps, vector, weight, logits = inputs(arrays, torch.float64)
    np.testing.assert_array_equal(logits.argmax(1), arrays["paper_pred"])
    for variant, vectors in (("pooled", maps.mean(1)), ("given", vector)):
        for image, wanted in enumerate(arrays[f"paper_per_image_{variant}"]):
            one = slice(image, image + 1)
            loss = diversity_loss(maps[one], vectors[one], weight, logits[one])
            assert abs(loss.item()) == pytest.approx(abs(wanted), rel=5e-5)


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
def test_dead_maps_and_classes_without_weights_cost_nothing(
    precision: str, dtype: torch.dtype
) -> None:
    arrays = golden("01_fdl_edge_cases")
    maps, _, weight, logits = (value.requires_grad_() for value in inputs(arrays, dtype))
    relative = 1e-5 if precision == "f32" else 1e-10
    loss = diversity_loss(maps, maps.mean(1), weight, logits)
    assert loss.item() == pytest.approx(float(arrays[f"out_loss_{precision}"]), rel=relative)
    for gradient in torch.autograd.grad(loss, (maps, weight)):
        assert gradient.isfinite().all()
    each = [
        diversity_loss(maps[i : i + 1], maps[i : i + 1].mean(1), weight, logits[i : i + 1]).item()
        for i in range(len(maps))
    ]
    assert each == pytest.approx(arrays[f"out_loss_per_image_{precision}"], rel=relative)
    assert each[0] == each[2] == 0


def random_case(seed: int, images: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(images, 8, 6, generator=generator, dtype=torch.float64) * 5
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    logits = torch.randn(images, 4, generator=generator, dtype=torch.float64)
    return maps, maps.mean(1), weight, logits


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_diversity_loss_ignores_order_and_scales(seed: int, data: st.DataObject) -> None:
    maps, vector, weight, logits = random_case(seed)
    loss = diversity_loss(maps, vector, weight, logits)
    patches = torch.tensor(data.draw(st.permutations(range(8))))
    features = torch.tensor(data.draw(st.permutations(range(6))))
    shuffled = diversity_loss(
        maps[:, patches][..., features], vector[:, features], weight[:, features], logits
    )
    torch.testing.assert_close(shuffled, loss, rtol=1e-12, atol=0)
    # signs and scales of the weights and a common scale of f drop out (but for the offset)
    scaled = diversity_loss(maps, 3 * vector, -7 * weight, logits)
    torch.testing.assert_close(scaled, loss, rtol=1e-4, atol=0)
    assert -(6**0.5) <= loss.item() < 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_diversity_loss_gradient_is_its_derivative(seed: int) -> None:
    maps, vector, weight, logits = random_case(seed, images=2)
    leaves = [value.requires_grad_() for value in (maps, vector, weight)]
    assert torch.autograd.gradcheck(lambda *args: diversity_loss(*args, logits), leaves)


def test_disjoint_maps_are_the_best_and_equal_maps_the_worst() -> None:
    apart = torch.zeros(1, 8, 4, dtype=torch.float64)
    apart[0, :4] = 50 * torch.eye(4)
    together = torch.zeros_like(apart)
    together[0, 0] = 50
    weight, logits = torch.ones(2, 4, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    losses = [diversity_loss(maps, maps.mean(1), weight, logits) for maps in (apart, together)]
    torch.testing.assert_close(
        torch.stack(losses), torch.tensor([-2.0, -0.5], dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_features_that_tie_count_once() -> None:
    maps = torch.ones(1, 3, 2, dtype=torch.float64)
    vector = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    weight, logits = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    loss = diversity_loss(maps, vector, weight, logits)
    loss.backward()
    assert loss.item() == pytest.approx(-(2**-0.5), rel=1e-4)
    assert vector.grad is not None
    assert vector.grad.sum().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS)
def test_l1_losses_and_their_gradients_are_the_references(
    precision: str, dtype: torch.dtype
) -> None:
    arrays = golden("02_l1_losses")
    maps = patches_last(arrays["in_feature_maps"]).to(dtype).requires_grad_()
    vector = torch.from_numpy(arrays["in_feat_vec"]).to(dtype).requires_grad_()
    relative = 1e-5 if precision == "f32" else 1e-10
    l1_fm, l1_fv = l1_feature_maps(maps), l1_feature_vector(vector)
    assert l1_fm.item() == pytest.approx(float(arrays[f"out_l1_fm_{precision}"]), rel=relative)
    assert l1_fv.item() == pytest.approx(
        float(arrays[f"out_l1_fv_plain_{precision}"]), rel=relative
    )
    if precision == "f64":
        assert l1_fm.item() == pytest.approx(float(arrays["paper_l1_fm"]), rel=relative)
        assert l1_fv.item() == pytest.approx(float(arrays["paper_l1_fv"]), rel=relative)
    (l1_fm + l1_fv).backward()
    wanted = patches_last(arrays[f"out_l1_fm_grad_{precision}"])
    torch.testing.assert_close(maps.grad, wanted, rtol=1e-5, atol=1e-10)
    wanted = torch.from_numpy(arrays[f"out_l1_fv_plain_grad_{precision}"])
    torch.testing.assert_close(vector.grad, wanted, rtol=1e-5, atol=1e-10)


def test_l1_losses_take_absolute_values() -> None:
    """Ours is the paper's plain mean; the reference's max-normalised form reaches 1e9 here."""
    arrays = golden("02_l1_losses")
    vector = torch.from_numpy(arrays["in_feat_vec_neg"]).double()
    wanted = float(arrays["out_l1_fv_plain_neg_f64"])
    assert l1_feature_vector(vector).item() == pytest.approx(wanted, rel=1e-10)
    assert l1_feature_vector(-vector).item() == pytest.approx(wanted, rel=1e-10)
    assert l1_feature_maps(-vector[:, None]).item() == pytest.approx(wanted, rel=1e-10)
    assert float(arrays["out_l1_fv_maxnorm_neg_f64"]) > 1e9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_both_l1_losses_agree_on_pooled_non_negative_maps(seed: int) -> None:
    maps, vector, _, _ = random_case(seed)
    torch.testing.assert_close(l1_feature_maps(maps), l1_feature_vector(vector), rtol=1e-12, atol=0)
