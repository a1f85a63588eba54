"""Two epochs of training against the reference's (14_train_*), in float64.

The reference sends the CLS token through its batch norms too and then drops it; ours does so with
`cls_statistics` alone. Compared are layers, losses, optimiser, running statistics, and both sets of
weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qpmstudy.adapter import Adapter
from qpmstudy.classifier import Classifier
from qpmstudy.heads import DenseHead, SparseHead
from qpmstudy.recalibration import recalibrate_batch_norm
from qpmstudy.training import Loop, Recipe, Record

PARITY = Path(__file__).parents[1] / "parity"
PHASES = ["dense", "finetune"]
LOGS = {
    "CE_Loss": "cross_entropy",
    "FDL": "diversity",
    "L1_FM": "l1_fm",
    "L1_FV": "l1_fv",
    "Total_Loss": "loss",
}


def golden(phase: str) -> dict[str, Tensor]:
    with np.load(PARITY / f"14_train_{phase}.npz", allow_pickle=False) as arrays:
        stored = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    return {k: v.double() if v.is_floating_point() else v for k, v in stored.items()}


def our_name(name: str) -> str:
    """seq.3.weight -> adapter.layers.1.linear.weight, linear.bias -> head.bias"""
    first, *rest = name.split(".")
    if first == "linear":
        return f"head.{rest[-1]}"
    kind = "norm" if rest[1] == "bn" else "linear"
    return f"adapter.layers.{int(rest[0]) // 3}.{kind}.{rest[-1]}"


def state(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the stored parameters of that prefix under our names, of the features we train."""
    found = {
        our_name(key.removeprefix(prefix)): value
        for key, value in arrays.items()
        if key.startswith(prefix)
    }
    if "in_selection" in arrays:  # the reference computes the other features and ignores them
        last = f"adapter.layers.{int(arrays['in_n_layers']) - 1}."
        for name in found:
            if name.startswith(last):
                found[name] = found[name][arrays["in_selection"]]
    return found


def model(arrays: dict[str, Tensor], with_cls: bool) -> Classifier:
    start = state(arrays, "in_param_")
    channels, hidden = arrays["in_tokens"].shape[-1], int(arrays["in_hidden"])
    features = len(arrays.get("in_selection", range(int(arrays["in_n_features"]))))
    depth = int(arrays["in_n_layers"])
    adapter = Adapter(channels, hidden, features, depth, cls_statistics=with_cls).double()
    head: DenseHead | SparseHead
    if "in_selection" in arrays:
        chosen = arrays["in_selection"]
        head = SparseHead(arrays["in_weight"], arrays["in_mean"][chosen], arrays["in_std"][chosen])
        start = {name: value for name, value in start.items() if not name.startswith("head.")}
    else:
        classes = int(arrays["in_n_classes"])
        head = DenseHead(features, classes, 0.0, torch.Generator().manual_seed(0)).double()
    found = Classifier(adapter, head)
    _, unexpected = found.load_state_dict(start, strict=False)
    assert not unexpected
    return found


def trained(arrays: dict[str, Tensor], with_cls: bool = True) -> tuple[Loop, list[Record]]:
    lr, weight_decay, div, l1_fm, l1_fv = arrays["out_hyper"].tolist()
    epochs, batch = int(arrays["in_n_epochs"]), arrays["in_labels"].shape[1]
    loop = Loop(model(arrays, with_cls), Recipe(epochs, batch, lr, weight_decay, div, l1_fm, l1_fv))
    tokens = arrays["in_tokens"] if with_cls else arrays["in_tokens"][:, :, :-1]
    batches = list(zip(tokens, arrays["in_labels"], strict=True))
    return loop, [loop.epoch(batches) for _ in range(epochs)]


def assert_state(found: Classifier, wanted: dict[str, Tensor]) -> None:
    ours = found.state_dict()
    for name, value in wanted.items():
        if name in ours:
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-7, msg=name)
    learned = [name for name, _ in found.named_parameters()]
    assert set(learned) <= set(wanted)


@pytest.mark.parametrize("phase", PHASES)
def test_two_epochs_are_the_references(phase: str) -> None:
    """The weights y that gradients are taken at, batch norm's statistics, and the averages x."""
    arrays = golden(phase)
    loop, history = trained(arrays)
    assert_state(loop.model, state(arrays, "out_y_"))
    for epoch, record in enumerate(history):
        for name, ours in LOGS.items():
            if f"out_log_{name}" in arrays:
                wanted = float(arrays[f"out_log_{name}"][epoch])
                if name == "FDL":  # the reference logs this part with its weight, L1 without
                    wanted /= float(arrays["out_hyper"][2])
                assert record[ours] == pytest.approx(wanted, rel=0, abs=1e-8), name
        accuracy = float(arrays["out_log_Acc"][epoch]) / 100
        assert record["train_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    loop.optimizer.eval()
    assert_state(loop.model, state(arrays, "out_x_"))
    # the reference evaluates x with the statistics of y
    logits = loop.model.eval()(arrays["in_tokens"][0]).logits
    torch.testing.assert_close(logits, arrays["out_eval_logits_batch0"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("phase", PHASES)
def test_by_choice_patches_alone_are_normalised(phase: str) -> None:
    arrays = golden(phase)
    loop, history = trained(arrays, with_cls=False)
    assert abs(history[1]["loss"] - float(arrays["out_log_Total_Loss"][1])) > 1e-4
    with pytest.raises(AssertionError, match="layers"):
        assert_state(loop.model, state(arrays, "out_y_"))


@pytest.mark.parametrize("phase", PHASES)
def test_by_choice_statistics_are_those_of_the_averaged_weights(phase: str) -> None:
    arrays = golden(phase)
    loop, _ = trained(arrays)
    loop.optimizer.eval()
    tokens = arrays["in_tokens"].flatten(0, 1)
    recalibrate_batch_norm(loop.model.adapter, [tokens])
    first = loop.model.adapter.layers[0]
    moments = first.linear(tokens.flatten(0, 1))
    torch.testing.assert_close(first.norm.running_mean, moments.mean(0))
    torch.testing.assert_close(first.norm.running_var, moments.var(0))
    assert_state(loop.model, state(arrays, "out_x_"))  # the weights stay
    logits = loop.model.eval()(arrays["in_tokens"][0]).logits
    assert (logits - arrays["out_eval_logits_batch0"]).abs().max() > 1e-3
