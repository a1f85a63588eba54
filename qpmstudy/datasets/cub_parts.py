"""Where the parts of each bird are, in the folder layout of CUB-200-2011.

parts/parts.txt        <part_id> <part name>
parts/part_locs.txt    <image_id> <part_id> <x> <y> <1 where visible>
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.cub import GET_CUB
from qpmstudy.datasets.regions import split_region
from qpmstudy.datasets.tables import malformed, numbers, read_lines, read_table

LOCATIONS = "parts/part_locs.txt"


@dataclass(frozen=True, eq=False)
class Parts:
    """K named parts in N images.

    Attributes:
        names: name of every part.
        locations: x and y in pixels of the stored picture, whatever region of it is the image;
            0 where the part cannot be seen.
        visible: whether it can be seen.
    """

    names: tuple[str, ...]
    locations: Float64[np.ndarray, "N K 2"]
    visible: Bool[np.ndarray, "N K"]


def read_parts(dataset: ImageDataset) -> Parts | None:
    """Return the parts of a dataset in CUB layout, or None if it has no parts/.

    Raises:
        DataError: a file is missing or malformed, or speaks of another image or part.
    """
    root = dataset.root
    if not (root / "parts").is_dir():
        return None
    names = read_table(root, "parts/parts.txt", GET_CUB)
    column = {part_id: index for index, part_id in enumerate(names)}
    row_of_path = {split_region(name)[0]: row for row, name in enumerate(dataset.ids)}
    images = read_table(root, "images.txt", GET_CUB)
    places = np.zeros((len(dataset), len(names), 3))
    for number, line in read_lines(root, LOCATIONS, GET_CUB):
        image_id, _, rest = line.partition(" ")
        part_id, _, place = rest.partition(" ")
        if image_id not in images or part_id not in column:
            rule = "no image of images.txt or no part of parts.txt"
            raise malformed(root, LOCATIONS, line, rule, GET_CUB, number)
        row = row_of_path.get(images[image_id])
        if row is not None:
            places[row, column[part_id]] = numbers(root, LOCATIONS, line, place, 3, GET_CUB)
    visible = places[..., 2] > 0
    return Parts(
        names=tuple(names.values()),
        locations=np.where(visible[..., None], places[..., :2], 0.0),
        visible=visible,
    )
