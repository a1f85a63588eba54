"""How many classes and images each preset has, and how far its backgrounds give classes away."""

from dataclasses import dataclass

# Rises whenever the pixels of any image change: folders of another version are refused.
RECIPE_VERSION = 2


@dataclass(frozen=True)
class BirdsPreset:
    """One size of the synthetic birds.

    Attributes:
        name: what the dataset registry calls it.
        classes: number of classes C.
        train, test, shift: images a class in each split.
        rho: probability that an image of train or test has its class's preferred background
            (0 in shift, where backgrounds say nothing about the class).
    """

    name: str
    classes: int
    train: int
    test: int
    shift: int
    rho: float = 0.3

    @property
    def counts(self) -> dict[str, int]:
        """Return the images a class of every split."""
        return {"train": self.train, "test": self.test, "shift": self.shift}


# Train counts include the 20 % that validation takes away.
PRESETS = {
    preset.name: preset
    for preset in (
        BirdsPreset("birds", classes=16, train=38, test=30, shift=30),
        BirdsPreset("birds-full", classes=20, train=40, test=30, shift=30),
        BirdsPreset("birds-small", classes=12, train=30, test=20, shift=20),
        BirdsPreset("birds-smoke", classes=8, train=20, test=12, shift=12),
        BirdsPreset("birds-stress", classes=16, train=38, test=30, shift=30, rho=0.8),
    )
}
