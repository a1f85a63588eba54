"""The heads against the reference's decision layer (11_bldd_forward); dropout's promises."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qpmstudy.errors import ConfigError
from qpmstudy.heads import DenseHead, FeatureDropout, SparseHead

PARITY = Path(__file__).parents[1] / "parity"


@pytest.fixture
def arrays() -> dict[str, Tensor]:
    with np.load(PARITY / "11_bldd_forward.npz", allow_pickle=False) as stored:
        return {key: torch.from_numpy(stored[key]) for key in stored.files}


def sparse_head(arrays: dict[str, Tensor], std: str = "in_std") -> SparseHead:
    selection = arrays["in_selection"]
    return SparseHead(
        arrays["in_weight"].bool(), arrays["in_mean"][selection], arrays[std][selection]
    )


def test_the_golden_weights_are_binary(arrays: dict[str, Tensor]) -> None:
    torch.testing.assert_close(sparse_head(arrays).weight, arrays["in_weight"], rtol=0, atol=0)


def test_sparse_logits_are_the_references(arrays: dict[str, Tensor]) -> None:
    head = sparse_head(arrays)
    chosen = arrays["in_features"][:, arrays["in_selection"]]
    logits = head(chosen)
    for name in ("out_logits_qpm", "out_logits_preselected_stats"):
        torch.testing.assert_close(logits, arrays[name], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits.argmax(1), arrays["out_pred"], rtol=0, atol=0)
    torch.testing.assert_close(
        head.double()(chosen.double()), arrays["out_logits_qpm_f64"], rtol=1e-10, atol=1e-10
    )


def test_logits_with_a_bias_are_the_references(arrays: dict[str, Tensor]) -> None:
    selection = arrays["in_selection"]
    mean, std = arrays["in_mean"][selection], arrays["in_std"][selection]
    head = SparseHead(arrays["in_weight"], mean, std, arrays["in_bias"])
    logits = head(arrays["in_features"][:, selection])
    torch.testing.assert_close(logits, arrays["out_logits_with_bias"], rtol=1e-5, atol=1e-5)
    assert set(head.state_dict()) == {"weight", "mean", "std", "bias"}
    assert list(head.parameters()) == []


def test_real_weights_are_kept_as_they_are() -> None:
    weight = torch.tensor([[0.5, -2.0], [0.0, 0.0]])
    mean, std = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    head = SparseHead(weight, mean, std, torch.tensor([0.25, -1.0]))
    assert head(torch.tensor([[3.0, 6.0]])).tolist() == [[0.5 - 2.0 + 0.25, -1.0]]
    weight.zero_()
    assert head.weight[0].tolist() == [0.5, -2.0]


def test_a_sparse_head_drops_features_while_training_only() -> None:
    def head() -> SparseHead:
        dropout = FeatureDropout(0.5, torch.Generator().manual_seed(3))
        return SparseHead(torch.eye(400), torch.zeros(400), torch.ones(400), None, dropout)

    vector = torch.ones(1, 400)
    training = head().train()
    first = training(vector)
    assert first.unique().tolist() == [0.0, 2.0]
    assert torch.equal(head().train()(vector), first)
    assert not torch.equal(training(vector), first)
    assert torch.equal(training.eval()(vector), vector)


def test_sparse_head_on_selected_maps_is_the_references_full_head(
    arrays: dict[str, Tensor],
) -> None:
    maps = arrays["in_feature_maps"][:, arrays["in_selection"]]
    torch.testing.assert_close(maps, arrays["out_head_selected_maps"], rtol=0, atol=0)
    vector = maps.flatten(2).mean(2)
    torch.testing.assert_close(vector, arrays["out_head_selected_features"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        sparse_head(arrays)(vector), arrays["out_head_logits"], rtol=1e-5, atol=1e-5
    )


def test_tiny_deviations_are_floored(arrays: dict[str, Tensor]) -> None:
    head = sparse_head(arrays, std="in_std_floor").double()
    logits = head(arrays["in_features"][:, arrays["in_selection"]].double())
    torch.testing.assert_close(logits, arrays["out_logits_std_floor_f64"], rtol=1e-8, atol=0)


def test_without_standardisation_it_is_the_papers_form(arrays: dict[str, Tensor]) -> None:
    zeros = torch.zeros(len(arrays["in_selection"]), dtype=torch.float64)
    head = SparseHead(arrays["in_weight"].bool(), zeros, zeros + 1)
    logits = head(arrays["in_features"][:, arrays["in_selection"]].double())
    torch.testing.assert_close(
        logits, arrays["paper_logits_without_standardisation"], rtol=1e-10, atol=1e-10
    )
    wanted = arrays["paper_pred_without_standardisation"]
    torch.testing.assert_close(logits.argmax(1), wanted, rtol=0, atol=0)


def test_the_sparse_head_stores_all_and_trains_nothing(arrays: dict[str, Tensor]) -> None:
    """The reference too freezes mean and deviation in its QPM form (the first two flags)."""
    assert not arrays["out_trainable_flags"][:2].any()
    head = sparse_head(arrays)
    assert list(head.parameters()) == []
    assert set(head.state_dict()) == {"weight", "mean", "std"}


def dense_head(dropout: float, seed: int = 0) -> DenseHead:
    return DenseHead(200, 3, dropout, torch.Generator().manual_seed(seed))


def test_dense_head_is_linear_with_bias_in_evaluation() -> None:
    head, vector = dense_head(0.5).eval(), torch.rand(4, 200)
    torch.testing.assert_close(head(vector), vector @ head.weight.T + head.bias)
    assert head.weight.shape == (3, 200)


def test_dropout_zeroes_the_stated_share_and_keeps_the_mean() -> None:
    head = dense_head(0.25).train()
    with torch.no_grad():
        head.weight.copy_(torch.eye(3, 200))
        head.bias.zero_()
    logits = head(torch.ones(20_000, 200))
    assert logits.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (logits == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_dropout_repeats_with_the_seed_and_not_between_steps() -> None:
    state = torch.get_rng_state()
    vector = torch.ones(2, 200)
    first, again, other = (dense_head(0.5, seed).train() for seed in (1, 1, 2))
    runs = [[head(vector) for _ in range(3)] for head in (first, again, other)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(left, right) for left, right in zip(*runs[:2], strict=True))
    assert not torch.equal(runs[0][0], runs[0][1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_without_dropout_training_and_evaluation_agree() -> None:
    head, vector = dense_head(0.0), torch.rand(4, 200)
    assert torch.equal(head.train()(vector), head.eval()(vector))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_outside_its_range_is_refused(dropout: float) -> None:
    with pytest.raises(ConfigError, match=r"dropout must be in \[0, 1\)"):
        dense_head(dropout)
