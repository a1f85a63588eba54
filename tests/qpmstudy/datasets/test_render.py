"""Single pictures of birds: what can be seen in them, and that they repeat."""

import numpy as np
import pytest

from qpmstudy.datasets.birds.attributes import VALUES, Code, random_code
from qpmstudy.datasets.birds.backgrounds import BACKGROUNDS
from qpmstudy.datasets.birds.render import SIZE, Rendered, background_of_class, render
from qpmstudy.datasets.birds.shapes import PARTS

PLAIN = Code("gray", "same", "same", "plain", "same", "short")

# Which part shows the value of an attribute.
SHOWN_BY = {"crown": "crown", "throat": "throat", "breast": "breast", "wing": "wing"}


def _render(code: Code, seed: int, rho: float = 1.0) -> Rendered:
    return render(code, "sand", rho, np.random.default_rng(seed))


def test_a_generator_decides_everything() -> None:
    one, other, third = _render(PLAIN, 1), _render(PLAIN, 1), _render(PLAIN, 2)
    assert one.image.tobytes() == other.image.tobytes()
    assert np.array_equal(one.mask, other.mask)
    assert one.parts == other.parts
    assert one.image.tobytes() != third.image.tobytes()


def test_coverage_and_size() -> None:
    generator = np.random.default_rng(0)
    shares = []
    for seed in range(16):
        picture = _render(random_code(generator), seed)
        assert picture.image.size == (SIZE, SIZE)
        assert picture.image.mode == "RGB"
        shares.append(picture.mask.mean())
    assert min(shares) > 0.04
    assert max(shares) < 0.35
    assert 0.10 < np.mean(shares) < 0.20


def test_the_mask_is_where_another_body_colour_changes_the_picture() -> None:
    one, other = _render(PLAIN, 5), _render(PLAIN._replace(body="blue"), 5)
    changed = np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max(axis=2) > 40
    assert changed.any()
    # Smoothed edges may reach one pixel beyond the mask.
    rows, columns = np.nonzero(one.mask)
    box = np.zeros_like(one.mask)
    box[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = True
    assert not (changed & ~box).any()
    assert (changed & one.mask).sum() > 0.95 * changed.sum()


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (attribute, value)
        for attribute, values in zip(Code._fields, VALUES, strict=True)
        for value in values
        if attribute in SHOWN_BY and value not in ("same", "plain")
    ],
)
def test_an_attribute_changes_its_part_and_no_other(attribute: str, value: str) -> None:
    one, other = _render(PLAIN, 8), _render(PLAIN._replace(**{attribute: value}), 8)
    change = np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max(axis=2)
    rows, columns = np.nonzero(change > 40)
    x, y = one.parts[SHOWN_BY[attribute]]
    # Inside a part's extent (wing and breast are about 40 pixels from end to centre).
    assert len(rows) > 20
    assert np.hypot(rows - y, columns - x).max() < 50
    assert np.array_equal(one.mask, other.mask)


def test_tails_differ_in_shape() -> None:
    area = {tail: _render(PLAIN._replace(tail=tail), 8).mask.sum() for tail in VALUES[-1]}
    assert area["short"] < area["fork"] < area["long"]


def test_parts_lie_on_the_bird() -> None:
    generator = np.random.default_rng(1)
    seen = set()
    for seed in range(20):
        picture = _render(random_code(generator), seed)
        assert picture.parts.keys() <= set(PARTS)
        assert all(picture.mask[y, x] for x, y in picture.parts.values())
        seen |= picture.parts.keys()
    assert seen == set(PARTS)


def test_rho_binds_the_background_to_the_class() -> None:
    """The upper left corner is nearly always background: sky is bluer there than sand."""

    def blueness(rho: float, preferred: str) -> float:
        corners = [
            np.asarray(render(PLAIN, preferred, rho, np.random.default_rng(seed)).image, float)
            for seed in range(5)
        ]
        return float(np.mean([corner[:20, :20, 2] - corner[:20, :20, 0] for corner in corners]))

    assert blueness(1.0, "sky") > blueness(1.0, "sand") + 60
    assert blueness(0.0, "sky") == pytest.approx(blueness(0.0, "sand"))


def test_preferred_backgrounds_are_used_equally() -> None:
    names = [background_of_class(index, seed=4) for index in range(12)]
    assert sorted(names) == sorted([*BACKGROUNDS, *BACKGROUNDS])
