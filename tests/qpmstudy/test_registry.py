"""The registry: one error for an unknown name, another for a missing package, none hidden."""

import sys
import tomllib
from pathlib import Path

import pytest

from qpmstudy.errors import ConfigError, NotInstalledError
from qpmstudy.registry import EXTRAS, Registry, did_you_mean, how_to_install

THINGS: Registry[object] = Registry(
    "thing",
    {
        "sqrt": "math:sqrt",
        "colours": "colorsys:rgb_to_hsv",
        "absent": "no_such_package.inside:thing",
        "broken": "qpmstudy.no_such_module:thing",
        "typo": "math:squirt",
    },
)


def test_a_name_gives_its_implementation() -> None:
    import math

    assert THINGS.get("sqrt") is math.sqrt
    assert THINGS.names() == ("sqrt", "colours", "absent", "broken", "typo")


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"Unknown thing 'sqr': .* sqrt, .*mean 'sqrt'\?"):
        THINGS.get("sqr")
    with pytest.raises(ConfigError, match=r"Unknown thing 'xyz': .* typo\.$"):
        THINGS.get("xyz")


def test_a_missing_package_is_named() -> None:
    with pytest.raises(NotInstalledError, match=r"'absent' needs the package 'no_such_package'"):
        THINGS.get("absent")


def test_packages_of_an_extra_come_by_it() -> None:
    """Those that pyproject.toml names, so that none is installed in another version."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(one.startswith(package) for one in extras[extra])
        assert how_to_install(package) == f"pip install -c constraints.txt -e '.[{extra}]'"
    assert how_to_install("timm") == "pip install -c constraints.txt -e ."


def test_our_own_bugs_are_not_missing_packages() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"qpmstudy\.no_such_module"):
        THINGS.get("broken")
    with pytest.raises(AttributeError, match="squirt"):
        THINGS.get("typo")


def test_nothing_is_imported_before_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy_thing.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry: Registry[int] = Registry("thing", {"lazy": "lazy_thing:VALUE"})
    registry.names()
    assert "lazy_thing" not in sys.modules
    assert registry.get("lazy") == 3
    assert "lazy_thing" in sys.modules
    monkeypatch.delitem(sys.modules, "lazy_thing")


def test_suggestions() -> None:
    assert did_you_mean("l1fm", ["l1_fm", "lr"]) == " Did you mean 'l1_fm'?"
    assert did_you_mean("xyz", ["l1_fm", "lr"]) == ""
