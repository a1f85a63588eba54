"""SGD with momentum and a rate that falls in steps, as QPM trains its ResNet-50.

Facts: the code published with QPM (github.com/ThomasNorr/QPM, training/optim.py) and with
DINO-QPM (configs/core/optim_params.py). Dense phase: 150 epochs, rate 5e-3 (of the linear layer
1e-2), momentum 0.9; fine-tuning: 40 epochs, rate 1e-4, momentum 0.95. Every 30 and 10 epochs the
rate falls to 0.4 of what it was; weight decay is 5e-4 in both.
"""

from dataclasses import dataclass

from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from qpmstudy.classifier import Classifier

FALL = 0.4


@dataclass(frozen=True)
class SteppedSGD:
    """What a phase trained by SGD needs besides rate, weight decay and epochs.

    Attributes:
        momentum: share of the last step in the next.
        levels: parts of equal length that the epochs are divided into, each at 0.4 of the rate
            before; as parts, so that a shorter training goes through the same rates.
        head: rate of the head as a multiple of the adapter's.
    """

    momentum: float
    levels: int
    head: float = 1.0


DENSE_SGD = SteppedSGD(momentum=0.9, levels=5, head=2.0)
FINETUNE_SGD = SteppedSGD(momentum=0.95, levels=4)


def stepped_sgd(
    choice: SteppedSGD, model: Classifier, lr: float, weight_decay: float, epochs: int
) -> tuple[SGD, StepLR]:
    """Return the optimiser and its schedule, to be stepped after each epoch."""
    groups = [
        {"params": list(model.adapter.parameters()), "lr": lr},
        {"params": list(model.head.parameters()), "lr": lr * choice.head},
    ]
    optimizer = SGD(groups, lr=lr, momentum=choice.momentum, weight_decay=weight_decay)
    return optimizer, StepLR(optimizer, step_size=-(-epochs // choice.levels), gamma=FALL)
