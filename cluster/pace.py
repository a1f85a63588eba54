"""How fast a phase gets on, and how long it still takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """A phase that had done `begun_with` images at the time `begun`, in seconds."""

    begun_with: int
    begun: float

    def rate(self, done: int, now: float) -> float:
        """Return the images a second since it began; 0 before the first."""
        elapsed = now - self.begun
        return (done - self.begun_with) / elapsed if elapsed > 0 else 0.0

    def words(self, done: int, total: int, now: float) -> str:
        """Return "45.2 images/s, 3 min 20 s left", or how it was once all is done."""
        rate = self.rate(done, now)
        if done >= total:
            fresh = done - self.begun_with
            images = "1 image" if fresh == 1 else f"{fresh} images"
            return f"{images} in {duration(now - self.begun)}, {rate:.1f} images/s"
        left = f", {duration((total - done) / rate)} left" if rate else ""
        return f"{rate:.1f} images/s{left}"


def duration(seconds: float) -> str:
    """Return "45 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
