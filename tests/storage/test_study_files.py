"""Study files: YAML that is read as it was meant, or refused; and the studies that come along."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qpmstudy.config import PipelineConfig, flatten, with_values
from qpmstudy.errors import ConfigError
from qpmstudy.stage_graph import stage_keys
from storage.study import StudySpec, grid, load_study, parse_study
from storage.study.space import settings
from storage.study.yaml_file import MAX_BYTES

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("**/*.yaml"))
MINIMAL = "name: a\nspace: {finetune.l1_fm: {values: [0, 1]}}\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], StudySpec]:
    def from_text(text: str) -> StudySpec:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return from_text


def test_a_minimal_study_takes_the_defaults(load: Callable[[str], StudySpec]) -> None:
    spec = load(MINIMAL)
    assert spec.pipeline == PipelineConfig()
    assert spec.objectives == {"accuracy": "max", "plausibility": "max"}
    assert (str(spec.seeds), spec.sampler, spec.configurations) == ("3", "grid", 2)
    assert spec.objective_split == "validation"
    assert spec.stores() == [("birds", "patch-descriptor")]
    assert spec.resources("dense").cpu == 1


def test_a_full_study(load: Callable[[str], StudySpec]) -> None:
    spec = load(
        "name: full-1.b\n"
        "description: everything at once\n"
        "pipeline:\n"
        "  embeddings: {backbone: patch-descriptor}\n"
        "  dense: {lr: 1e-3, epochs: 2}\n"
        "space:\n"
        "  size: {paths: [adapter.hidden, adapter.features], low: 32, high: 64, step: 16}\n"
        "  finetune.lr: {low: 1.0e-3, high: 1e-1, log: true}\n"
        "  embeddings.dataset: {values: [cub2011, birds]}\n"
        "seeds: 2\n"
        "objectives: {sid: max, dead_features: min}\n"
        "sampler: tpe\n"
        "trials: 7\n"
        "stages: {dense: {gpu: 0.5, cpu: 2}}\n"
    )
    assert spec.pipeline.dense.lr == 0.001
    assert spec.pipeline.dense.epochs == 2
    assert spec.configurations == 7
    assert spec.resources("dense").gpu == 0.5
    assert spec.stores() == [("cub2011", "patch-descriptor"), ("birds", "patch-descriptor")]
    size, lr, _ = spec.parameters
    assert (size.paths, size.levels()) == (("adapter.hidden", "adapter.features"), (32, 48, 64))
    assert (lr.levels(), lr.low, lr.high, lr.log) == (None, 0.001, 0.1, True)


@pytest.mark.parametrize(
    ("written", "number"), [("1e-3", 0.001), ("1E3", 1000.0), ("-1.e0", -1.0), ("2.5e-1", 0.25)]
)
def test_scientific_notation_is_a_number(
    load: Callable[[str], StudySpec], written: str, number: float
) -> None:
    text = f"name: a\nspace: {{dense.lr: {{values: [{written}]}}}}\n"
    if number > 0:
        assert grid(load(text).parameters) == [{"dense.lr": number}]
    else:
        with pytest.raises(ConfigError, match=rf"greater than 0 \(got {number}\)"):
            load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: &x a\nspace: *x\n", r"aliases \(\*name\) are refused"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", "aliases"),
        ("name: a\nname: b\n", "the key 'name' stands twice"),
        ("space: {dense.lr: {low: 1, low: 2}}\n", "the key 'low' stands twice"),
        ("? [a]\n: b\n", "a key must be a word"),
        ("name: 2020-13-45\n", "month must be in 1..12"),
        ("name: " + "9" * 5000, "no valid YAML"),
        ("parallel: 0x" + "f" * 5000, "a whole number is larger than any float"),
        ("parallel: 1" + ":1" * 3000, "a whole number is larger than any float"),
        ("name: !!bool maybe", "no valid YAML"),
        ("name: !!timestamp soon", "no valid YAML"),
        ("name: !!python/object/apply:os.system [x]\n", "could not determine a constructor"),
        ("a: " + "[" * 9000, "nested too deeply|no valid YAML"),
        ("a: " + "1:" * 10_000 + "1\n", "a value has more than 10000 characters"),
        ("a: [1\n", "no valid YAML"),
        ("name: a\n---\nname: b\n", "single document"),
        ("\x00", "no valid YAML"),
    ],
)
def test_yaml_that_is_refused(load: Callable[[str], StudySpec], text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_a_device_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigError, match="/dev/zero is no file"):
        load_study(Path("/dev/zero"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no study file .*nothing.yaml"):
        load_study(tmp_path / "nothing.yaml")
    (tmp_path / "l1fm.yaml").write_text("name: [\n")
    with pytest.raises(ConfigError, match=r"no study file .*l1fn.yml. Did you mean '.*l1fm.yaml'"):
        load_study(tmp_path / "l1fn.yml")
    with pytest.raises(ConfigError, match=r'in "[^"]*l1fm.yaml", line 2'):
        load_study(tmp_path / "l1fm.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read: .*directory"):
        load_study(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"binary.yaml is no study file: that is YAML.*byte 6"):
        load_study(tmp_path / "binary.yaml")
    (tmp_path / "huge.yaml").write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=rf"more than {MAX_BYTES} bytes"):
        load_study(tmp_path / "huge.yaml")


def test_whole_numbers_and_fractions_are_one_value(load: Callable[[str], StudySpec]) -> None:
    keys = []
    for one, tenth in (("1", "0.1"), ("1.0", "1e-1"), ("1e0", "1.0e-1")):
        spec = load(
            f"name: a\npipeline: {{finetune: {{l1_fv: {one}}}, dense: {{lr: {tenth}}}}}\n"
            f"space: {{finetune.l1_fm: {{values: [{one}]}}, select.gap: {{values: [{tenth}]}}}}\n"
        )
        (chosen,) = grid(spec.parameters)
        config = with_values(spec.pipeline, settings(spec.parameters, chosen))
        keys.append(stage_keys(config, "f", 0))
    assert keys[0] == keys[1] == keys[2]


@pytest.mark.parametrize("file", STUDIES, ids=lambda path: path.stem)
def test_every_study_file_is_right(file: Path) -> None:
    spec = load_study(file)
    second = file.read_text(encoding="utf-8").splitlines()[1]  # the first is for editors
    command = f"# python cli.py study launch {file.relative_to(ROOT).as_posix()}"
    assert second == command or second.startswith(command + " ")
    assert spec.description
    assert spec.configurations >= 1
    assert set(flatten(spec.pipeline)) == set(flatten(PipelineConfig()))


def test_there_are_studies() -> None:
    assert STUDIES


def bundled(**variants: dict[str, object]) -> dict[str, object]:
    return {"name": "a", "space": {"method": {"variants": variants}}, "seeds": 1}


def test_variants_set_several_values_and_leave_the_rest_as_it_is() -> None:
    spec = parse_study(
        bundled(
            ours={}, compact={"select.features": 40, "select.per_class": 4}, free={"dense.div": 0}
        ),
        "x.yaml",
    )
    (method,) = spec.parameters
    assert [chosen["method"] for chosen in grid(spec.parameters)] == ["ours", "compact", "free"]
    assert settings(spec.parameters, {"method": "compact"}) == {
        "select.features": 40,
        "select.per_class": 4,
        "dense.div": 0.5,
    }
    for name in ("ours", "compact", "free"):
        row = flatten(with_values(spec.pipeline, settings(spec.parameters, {"method": name})))
        assert method.value_in(row) == name
    assert spec.choices("select.features") == (50, 40)
    assert spec.choices("dense.div") == (0.5, 0.0)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (bundled(a={}, b={"select.feature": 4}), "no value 'select.feature'. Did you mean"),
        (bundled(a={}, b={"dense.lr": -1}), "space.method.b: dense.lr: Input should be greater"),
        (bundled(a={}, b={"dense.div": 0.5}), "'a' and 'b' are the same configuration"),
        (bundled(a={}), "`variants` needs at least two"),
        (bundled(a={}, b={"select.per_class": 60}), "select.per_class = 60 is more than"),
    ],
)
def test_wrong_variants_are_refused(space: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=r"x.yaml has \d+ error") as caught:
        parse_study(space, "x.yaml")
    assert words in str(caught.value)
