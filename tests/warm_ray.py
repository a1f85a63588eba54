"""One local cluster for the launches that tests make in their own process.

To start Ray, and a process that has imported torch, takes longer than most studies of tests.
"""

from contextlib import ExitStack


class WarmRay:
    """A cluster that is up from the first test that wants it to the first that does not."""

    def __init__(self) -> None:
        self._up = ExitStack()

    def up(self) -> None:
        """Start it, unless it runs."""
        import ray

        from cluster.session import ray_session

        if not ray.is_initialized():
            self._up.enter_context(ray_session(verbose=False))

    def down(self) -> None:
        """Stop it, if it runs."""
        self._up.close()


WARM = WarmRay()
