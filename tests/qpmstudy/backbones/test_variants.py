"""Options in a backbone's name: parsed, refused, and in all that tells two variants apart."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_networks import tiny

from qpmstudy.backbones import check_backbone
from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pretrained import Pretrained
from qpmstudy.backbones.variants import PRECISIONS, Variant, parse, spelled, with_option
from qpmstudy.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dinov2-vitb14-reg", Variant(12)),
        ("dinov2-vitb14-reg@layer=11", Variant(11)),
        ("dinov2-vitg14@layer=39,norm=no", Variant(39, norm=False)),
        ("dino-vits8@size=448", Variant(12, size=448)),
        ("dinov3-vitl16@precision=bfloat16", Variant(24, precision="bfloat16")),
        (
            "dinov2-vitb14-reg@layer=11,norm=no,size=448,precision=bfloat16",
            Variant(11, norm=False, size=448, precision="bfloat16"),
        ),
        ("resnet50@layer=3,size=320", Variant(3, size=320)),
    ],
)
def test_a_name_says_which_tokens(name: str, expected: Variant) -> None:
    entry, found = parse(name)
    assert found == expected
    assert entry is CATALOGUE[name.partition("@")[0]]
    assert spelled(entry, found) == name
    check_backbone(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dinov2-vitb14@", "has '' where an option should stand: write dinov2-vitb14@layer=11"),
        ("dinov2-vitb14@layer", "has 'layer' where an option should stand"),
        ("dinov2-vitb14@layer=", "has 'layer=' where an option"),
        ("dinov2-vitb14@layer=11,", "has '' where an option"),
        ("dinov2-vitb14@layer=3,layer=4", "gives layer twice"),
        ("dinov2-vitb14@layers=3", r"no option 'layers': .* Did you mean 'layer'\?"),
        ("dinov2-vitb14@layer=13", "layer to be 1 to 12: '13'"),
        ("dinov2-vitb14@layer=0", "layer to be 1 to 12"),
        ("dinov2-vitb14@layer=-1", "layer to be a whole number, not '-1'"),
        ("dinov2-vitb14@layer=\u0663", "layer to be a whole number"),
        ("dinov2-vitb14@norm=maybe", "norm to be yes or no: 'maybe'"),
        ("dinov2-vitb14@size=225", "a multiple of its patches' 14 pixels, at most 2048: '225'"),
        ("dinov2-vitb14@size=0", "size to be a multiple"),
        ("dinov2-vitb14@size=99990", "size to be a multiple"),
        ("dinov2-vitb14@precision=float64", "precision to be float32 or bfloat16: 'float64'"),
        ("resnet50@norm=no", "'resnet50' has no final norm"),
        ("resnet50@layer=5", "layer to be 1 to 4"),
        ("patch-descriptor@layer=1", "'patch-descriptor' has no options, but layer was given"),
        ("pixels@size=56", "'pixels' has no options"),
        ("dinov4@layer=1", r"Unknown backbone 'dinov4': .* Did you mean 'dinov"),
        # one variant, one name
        ("dinov2-vitb14@layer=12", "is called 'dinov2-vitb14'"),
        ("dinov2-vitb14@norm=yes,size=448", "is called 'dinov2-vitb14@size=448'"),
        ("dinov2-vitb14@size=448,layer=3", "is called 'dinov2-vitb14@layer=3,size=448'"),
        ("dinov2-vitb14@layer=03", "is called 'dinov2-vitb14@layer=3'"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_backbone(name)
    with pytest.raises(ConfigError, match=message):
        open_backbone(name, Path("never-read.pth"))


def test_an_option_beside_the_name_is_put_into_it() -> None:
    for name, expected in (
        ("dino-vits16", "dino-vits16@precision=bfloat16"),
        ("dino-vits16@layer=3", "dino-vits16@layer=3,precision=bfloat16"),
        ("dino-vits16@precision=bfloat16", "dino-vits16@precision=bfloat16"),
    ):
        assert with_option(name, "precision", "bfloat16") == expected
    assert with_option("dino-vits16", "precision", "float32") == "dino-vits16"
    with pytest.raises(ConfigError, match="says precision=bfloat16, but float32 was asked for"):
        with_option("dino-vits16@precision=bfloat16", "precision", "float32")
    with pytest.raises(ConfigError, match="'pixels' has no options"):
        check_backbone(with_option("pixels", "precision", "float32"))


def test_every_option_changes_name_hash_and_tokens(tmp_path: Path) -> None:
    entry, vit = tiny("dinov2-vits14-reg")
    torch.save(vit.random(), tmp_path / "w.pth")
    usual = Variant(2)
    variants = [
        usual,
        replace(usual, layer=1),
        replace(usual, norm=False),
        replace(usual, size=112),
        replace(usual, precision="bfloat16"),
    ]
    opened = [Pretrained(entry, tmp_path / "w.pth", variant) for variant in variants]
    assert len({backbone.name for backbone in opened}) == len(variants)
    assert len({backbone.weight_hash for backbone in opened}) == len(variants)
    assert [backbone.grid[0] for backbone in opened] == [16, 16, 16, 8, 16]
    assert opened[3].preprocessing["crop"] == 112
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (2, 3, 224, 224), generator=generator, dtype=torch.uint8)
    tokens = []
    for backbone in opened:
        side = backbone.preprocessing["crop"]
        assert isinstance(side, int)
        tokens.append(backbone.embed(backbone.normalised(pictures[..., :side, :side]))[0])
    assert tokens[3].shape == (2, 64, 48)
    for other in (1, 2, 4):
        assert not torch.equal(tokens[0], tokens[other])
        assert tokens[other].dtype == torch.float32
    # a precision, not another question: near the others' tokens, to the rounding of its operands
    error = (tokens[4] - tokens[0]).norm() / tokens[0].norm()
    assert 1e-4 < error < 2e-2


def test_the_choices_of_precision_begin_with_the_exact_one() -> None:
    assert PRECISIONS[0] == Variant(1).precision == "float32"
