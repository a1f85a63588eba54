"""Changes of training pictures: from the seed alone, a different one for each picture."""

import numpy as np
import torch

from qpmstudy.augmentation import SHIFT, augmented


def made(seed: int, count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return copies of one picture, and what becomes of them."""
    picture = torch.randint(0, 256, (3, 24, 24), generator=torch.Generator().manual_seed(7))
    pictures = picture.to(torch.uint8).expand(count, -1, -1, -1).contiguous()
    return pictures, augmented(pictures, np.random.default_rng(seed))


def test_the_seed_decides() -> None:
    _, one = made(1)
    torch.rand(3)  # torch's own generator has no part in it
    _, same = made(1)
    _, other = made(2)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_torchs_generator_stays_where_it_was() -> None:
    before = torch.get_rng_state()
    made(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_picture_is_changed_in_its_own_way_and_the_originals_stay() -> None:
    pictures, changed = made(4)
    assert changed.shape == pictures.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(pictures, pictures[:1].expand_as(pictures))
    assert len({picture.numpy().tobytes() for picture in changed}) == len(changed)


def test_further_batches_are_changed_in_other_ways() -> None:
    pictures, _ = made(5, count=4)
    rng = np.random.default_rng(5)
    assert not torch.equal(augmented(pictures, rng), augmented(pictures, rng))


def test_pictures_move_by_a_few_pixels_and_are_mirrored_half_of_the_time() -> None:
    """A bright stripe left of the middle tells both, where TrivialAugment left it alone."""
    pictures = torch.zeros(400, 3, 24, 24, dtype=torch.uint8)
    pictures[:, :, :, 6] = 200
    changed = augmented(pictures, np.random.default_rng(6)).float().mean(1)
    columns = changed.mean(1)
    upright = (columns > 20).sum(1) == 1  # one column, so neither turned nor sheared
    places = columns[upright].argmax(1)
    assert int(upright.sum()) > 100
    left, right = range(6 - SHIFT, 7 + SHIFT), range(17 - SHIFT, 18 + SHIFT)
    only_left, only_right = (places < 13).float().mean(), (places > 10).float().mean()
    assert {int(place) for place in places} >= {*left[1:-1], *right[1:-1]}
    assert 0.35 < float(only_left) < 0.65
    assert 0.35 < float(only_right) < 0.65
