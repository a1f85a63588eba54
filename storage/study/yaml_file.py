"""Reading a study file: safe YAML, of bounded size, without aliases or repeated keys."""

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from qpmstudy.errors import ConfigError
from storage.study.parsing import parse_study
from storage.study.spec import StudySpec

MAX_BYTES = 2**20
MAX_WORD = 10_000
"""Characters of one value: numbers in base 60, as YAML has them, take quadratic time."""

MAX_BITS = 1024
"""Of a whole number. One of 0x and thousands of digits could not even be printed."""

MOST_NAMED = 6
"""Study files that are named where another one is missing."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses aliases, which can expand without bound, and keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are refused", problem_mark=mark)
        if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > MAX_WORD:
            mark = self.peek_event().start_mark
            problem = f"a value has more than {MAX_WORD} characters"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_yaml_int(self, node: Any) -> int:
        number: int = super().construct_yaml_int(node)
        if number.bit_length() > MAX_BITS:
            problem = "a whole number is larger than any float"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return number

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a word, not a list or mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)
# YAML 1.1 reads 1e-3 as text for want of a dot; everyone who writes it means a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"),
    list("-+0123456789"),
)


def load_study(path: Path) -> StudySpec:
    """Read and validate a study file.

    Raises:
        ConfigError: the file is missing, is no YAML, or breaks rules: all are listed.
    """
    return parse_study(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Return the content of a study file as it stands there.

    Raises:
        ConfigError: the file is missing, or no YAML.
    """
    try:
        if not path.exists():
            raise ConfigError(f"There is no study file {path}.{_nearest(path)}")
        if not (path.is_file() or path.is_dir()):
            raise ConfigError(f"{path} is no file: a device or pipe may never end.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes: that is no study file.")
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is no study file: that is YAML, text in UTF-8 (byte {error.start} cannot be)."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"The study file {path} cannot be read: {error.strerror or error}."
        ) from error
    try:
        return _parsed(text, str(path))
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply: that is no study file.") from error
    except (yaml.YAMLError, ValueError, KeyError, AttributeError) as error:
        # all but the first of words that are no date, number or truth value, though tagged as such
        raise ConfigError(f"{path} is no valid YAML: {error}") from error


def _parsed(text: str, name: str) -> Any:
    """Return what a text says; errors in it are told with the name of its file."""
    try:
        loader = _StrictLoader(text)
    except yaml.reader.ReaderError as error:  # a character that YAML forbids
        error.name = name
        raise
    loader.name = name
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _nearest(path: Path) -> str:
    files = {
        p.stem: p.name for end in ("yml", "yaml") for p in sorted(path.parent.glob(f"*.{end}"))
    }
    there = sorted(files.values())
    if near := difflib.get_close_matches(path.stem, files, n=1):
        return f" Did you mean {str(path.parent / files[near[0]])!r}?"
    return f" In {path.parent} there are {', '.join(there[:MOST_NAMED])}." if there else ""
