from collections.abc import Callable

import numpy as np
import pytest
import torch

from qpmstudy.metrics import PatchContextualisationMean, patch_contextualisation

Golden = Callable[[str], dict[str, np.ndarray]]


def test_it_is_the_papers_and_the_references(golden: Golden) -> None:
    arrays = golden("07_patch_contextualisation")
    patches, cls = arrays["in_tokens"][:, :-1], arrays["in_tokens"][:, -1]
    value = patch_contextualisation(patches, cls)
    assert value == pytest.approx(float(arrays["out_avg"]), abs=1e-6)
    assert value == pytest.approx(float(arrays["paper_patch_contextualisation"]), abs=1e-10)
    for image, (ours, wanted) in enumerate(
        zip(arrays["out_avg_per_image"], arrays["paper_per_image"], strict=True)
    ):
        one = slice(image, image + 1)
        each = patch_contextualisation(torch.from_numpy(patches[one]), torch.from_numpy(cls[one]))
        assert each == pytest.approx(wanted, abs=1e-10)
        assert each == pytest.approx(ours, abs=1e-6)


def test_many_images_in_half_precision_and_read_only() -> None:
    rng = np.random.default_rng(0)
    patches = rng.normal(1, 1, (150, 5, 8)).astype(np.float16)
    patches.flags.writeable = False
    mean = patches.astype(np.float64).mean(1)
    assert patch_contextualisation(patches, mean) == pytest.approx(1)
    assert patch_contextualisation(patches, -mean) == pytest.approx(-1)


def test_batches_of_any_size_give_the_mean_over_images() -> None:
    rng = np.random.default_rng(1)
    patches, cls = rng.normal(0, 1, (11, 4, 6)), rng.normal(0, 1, (11, 6))
    mean = PatchContextualisationMean()
    assert np.isnan(mean.value())
    for part in ([0, 1, 2], [3], [4, 5, 6, 7, 8, 9, 10]):
        mean.update(patches[part], cls[part])
    assert mean.images == 11
    assert mean.value() == pytest.approx(patch_contextualisation(patches, cls), abs=1e-12)
