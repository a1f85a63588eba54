"""One kind of registry for every plug point: backbone, dataset, adapter, method, solver, sampler.

An entry is a name and the place its implementation is imported from on first use,
so that listing the choices imports nothing.
"""

import difflib
import importlib
from collections.abc import Iterable
from typing import Generic, TypeVar, cast

from qpmstudy.errors import ConfigError, NotInstalledError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of `known`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def how_to_install(package: str) -> str:
    """Return the command that installs a package in the version that goes with this one."""
    extra = EXTRAS.get(package)
    return f"pip install -c constraints.txt -e {'.' if extra is None else repr(f'.[{extra}]')}"


T = TypeVar("T")
EXTRAS = {"highspy": "highs", "onnx": "onnx", "s3fs": "s3"}
"""Of the packages that not everybody needs, by which extra of pyproject.toml they come."""


class Registry(Generic[T]):
    """Names of one kind and where their implementations live."""

    def __init__(self, kind: str, targets: dict[str, str]) -> None:
        """`targets` maps a name to "package.module:attribute"."""
        self.kind = kind
        self._targets = dict(targets)

    def names(self) -> tuple[str, ...]:
        """Return every registered name, in the order of registration."""
        return tuple(self._targets)

    def check(self, name: str) -> None:
        """Raise unless something is called `name`; imports nothing.

        Raises:
            ConfigError: the name is not registered.
        """
        if name not in self._targets:
            raise ConfigError(
                f"Unknown {self.kind} {name!r}: the choices are {', '.join(self._targets)}."
                + did_you_mean(name, self._targets)
            )

    def get(self, name: str) -> T:
        """Import and return the implementation called `name`.

        Raises:
            ConfigError: the name is not registered.
            NotInstalledError: it is, but a package that it needs is not installed.
        """
        self.check(name)
        module, attribute = self._targets[name].split(":")
        try:
            return cast(T, getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if package in ("qpmstudy", "storage", "cluster"):
                raise  # our own bug, not a missing installation
            raise NotInstalledError(
                f"The {self.kind} {name!r} needs the package {package!r}, which is not "
                f"installed: {how_to_install(package)}"
            ) from error
