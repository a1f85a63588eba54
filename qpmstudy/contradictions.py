"""Rules between values of a configuration that are each right by themselves."""

from qpmstudy.config import PIXELS, RESNET_FEATURES, AdapterConfig, PipelineConfig

COMBINED = frozenset(
    {
        *("adapter.depth", "adapter.features", "adapter.input", "adapter.pooling"),
        *("adapter.cls_statistics", "select.method", "select.features", "select.per_class"),
        *("finetune.standardise", "embeddings.backbone", "adapter.kind", "adapter.weights"),
        *("dense.optimizer", "finetune.optimizer"),
    }
)
"""The values that `contradictions` has a rule for."""


def contradictions(config: PipelineConfig) -> list[str]:
    """Return every rule between values that a configuration breaks, each as a sentence."""
    adapter, select = config.adapter, config.select
    resnet = adapter.kind == "resnet50"
    problems = _resnet_contradictions(config) if resnet else _mlp_contradictions(adapter)
    if select.method == "none":
        return problems
    if resnet:
        if select.features > RESNET_FEATURES:
            problems.append(
                f"select.features = {select.features} is more than the {RESNET_FEATURES} that "
                "adapter.kind = resnet50 has to select from"
            )
    elif adapter.depth == 0:
        problems.append(
            f"adapter.depth = 0 leaves nothing to fine-tune after select.method = "
            f"{select.method}: set select.method: none, or a depth of at least 1"
        )
    elif select.features > adapter.features:
        problems.append(
            f"select.features = {select.features} is more than the adapter.features = "
            f"{adapter.features} there are to select from"
        )
    if select.per_class > select.features:
        problems.append(
            f"select.per_class = {select.per_class} is more than select.features = "
            f"{select.features}"
        )
    if select.method != "qpm" and not config.finetune.standardise:
        problems.append(
            f"finetune.standardise = False, but the weights of select.method = {select.method} "
            "are made for standardised features; only those of qpm do without"
        )
    return problems


def _mlp_contradictions(adapter: AdapterConfig) -> list[str]:
    problems = []
    if adapter.weights != "random":
        problems.append(
            f"adapter.weights = {adapter.weights}, but nobody publishes weights of adapter.kind = "
            "mlp: leave it at random"
        )
    if adapter.input == "cls" and adapter.pooling != "avg":
        problems.append(
            f"adapter.pooling = {adapter.pooling}, but with adapter.input = cls nothing is "
            "pooled: leave it at avg"
        )
    if adapter.cls_statistics and (adapter.input != "patches" or adapter.depth == 0):
        problems.append(
            "adapter.cls_statistics = True is for adapter.input = patches with a depth of at "
            f"least 1, not for {adapter.input} with depth {adapter.depth}"
        )
    return problems


def _resnet_contradictions(config: PipelineConfig) -> list[str]:
    adapter, backbone = config.adapter, config.embeddings.backbone
    problems = []
    if backbone not in PIXELS:
        problems.append(
            f"adapter.kind = resnet50 is trained from pixels, but embeddings.backbone = {backbone}:"
            f" set one of {', '.join(PIXELS)}"
        )
    if (adapter.input, adapter.pooling, adapter.cls_statistics) != ("patches", "avg", False):
        problems.append(
            "adapter.kind = resnet50 averages its own maps: leave adapter.input at patches, "
            f"adapter.pooling at avg and adapter.cls_statistics at False, not {adapter.input}, "
            f"{adapter.pooling} and {adapter.cls_statistics}"
        )
    phases = {"dense": config.dense.optimizer, "finetune": config.finetune.optimizer}
    if config.select.method == "none":
        phases.pop("finetune")
    problems += [
        f"{phase}.optimizer = {optimizer}, but adapter.kind = resnet50 is trained with sgd: set it"
        for phase, optimizer in phases.items()
        if optimizer != "sgd"
    ]
    return problems
