"""Weights from timm's hub, where there is internet: the same tensors, stored as safetensors.

timm publishes every checkpoint of the catalogue once more under the names of its own models
(filling.py takes both). What was fetched once is kept by huggingface_hub (HF_HOME says where) and
found again without internet; HF_HUB_OFFLINE=1 never asks for it.
"""

import urllib.error
import urllib.request
from pathlib import Path

from qpmstudy.backbones.catalogue import Entry

FILE = "model.safetensors"
SECONDS = 5.0


class NotFetchedError(Exception):
    """Why the hub gave nothing; never leaves this package."""


def fetch(entry: Entry) -> Path:
    """Return the file with the weights of `entry`, downloaded unless it is there.

    Raises:
        NotFetchedError: the hub cannot be reached, or does not give the file.
    """
    try:
        # slow to import, and seldom used
        from huggingface_hub import constants, errors, hf_hub_download  # noqa: PLC0415
    except ImportError as error:
        raise NotFetchedError("huggingface_hub is not installed") from error
    try:
        return Path(hf_hub_download(entry.hub, FILE, local_files_only=True))
    except OSError:
        pass  # not fetched before
    if constants.HF_HUB_OFFLINE:
        raise NotFetchedError("HF_HUB_OFFLINE is set")
    _reach(constants.ENDPOINT)
    try:
        return Path(hf_hub_download(entry.hub, FILE))
    except (errors.HfHubHTTPError, OSError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise NotFetchedError(reason) from error


def _reach(endpoint: str) -> None:
    """Raise unless something answers at `endpoint`.

    Asked once, within `SECONDS`: huggingface_hub itself tries for 23 s, on a machine without
    internet as on any other.
    """
    try:
        with urllib.request.urlopen(  # an address that the user's own environment names
            urllib.request.Request(endpoint, method="HEAD"), timeout=SECONDS
        ):
            return
    except urllib.error.HTTPError:
        return  # an answer
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotFetchedError(f"{endpoint} cannot be reached ({reason})") from error
