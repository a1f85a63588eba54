"""The four stages, one file each: dense, select, finetune, evaluate; base, what they share.

A stage is a pure function of its configuration, its inputs and its seed.
"""

from qpmstudy.stages.base import StageContext, StageOutput
from qpmstudy.stages.dense import dense
from qpmstudy.stages.evaluate import evaluate
from qpmstudy.stages.finetune import finetune
from qpmstudy.stages.select import select

__all__ = ["StageContext", "StageOutput", "dense", "evaluate", "finetune", "select"]
