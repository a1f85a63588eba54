"""Names of what stages find out, as results call them; importing them needs no torch."""

SPLIT_METRICS = (
    *("accuracy", "plausibility", "plausibility_shifted", "empty_maps", "sid"),
    "patch_contextualisation",
)
"""Measured on the images of a split."""

TRAINING_METRICS = (
    *("train_accuracy", "train_plausibility", "class_independence", "contrastiveness"),
    "dead_features",
)
"""Measured on the training images."""

COMPACTNESS = ("n_features", "features_per_class", "parameters")
"""How small a classifier is (paper Table 2)."""

CERTIFICATE = ("objective", "bound", "gap", "status", "solver", "seconds", "fallback")
"""How good the answer of a selection is; each None where its method has no such thing."""

COUNTS = frozenset(
    {
        *("n_features", "features_per_class", "parameters", "seconds_per_epoch"),
        *("dead_features", "empty_maps", "test_empty_maps"),
    }
)
"""Columns that are no fractions, and not shown in percent."""
