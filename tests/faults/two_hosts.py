"""Two hosts on one machine: network namespaces with a cable between them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from command import CLI, Result

SCANNER = Path(__file__).with_name("port_scan.py")


def ip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=20, check=False
    )


def reason_to_skip() -> str:
    """Return why namespaces cannot be had here, "" if they can."""
    if not shutil.which("ip"):
        return "two hosts need the command `ip` (apt-get install iproute2)"
    name = f"q{os.getpid()}"
    made = ip("netns", "add", name)
    if made.returncode:
        return f"two hosts need the right to make network namespaces: {made.stderr.strip()}"
    ip("netns", "delete", name)
    return ""


@dataclass(frozen=True)
class Host:
    """One namespace: its name, its address on the cable, and a home of its own."""

    name: str
    address: str
    cable: str  # its end
    home: Path

    def start(self, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Run our command line on this host."""
        return self.python(str(CLI), *map(str, arguments), **environment)

    def python(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        # plain files of the machine are seen by both: that is their shared file system
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, *arguments],
            env={**os.environ, "XDG_STATE_HOME": str(self.home / "state"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, timeout: float = 120, **environment: str) -> Result:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Result(process.returncode, out, err)

    def scan(self, address: str) -> dict[int, str]:
        """Return every open TCP port of an address, and what it says to who has no token."""
        process = self.python(str(SCANNER), address)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        return {int(port): said for port, _, said in (x.partition(" ") for x in out.splitlines())}

    def computes(self, stage: str) -> bool:
        """Return whether a worker of this host runs a task of the stage."""
        mine = Path("/run/netns", self.name).stat().st_ino
        for process in psutil.process_iter():
            try:
                if process.cmdline()[:1] == [f"ray::{stage}"]:
                    space = Path(f"/proc/{process.pid}/ns/net").stat().st_ino
                    if space == mine:
                        return True
            except (psutil.NoSuchProcess, OSError):
                continue
        return False

    def plug(self, state: str) -> None:
        """Set this end of the cable "up" or "down"."""
        done = ip("-n", self.name, "link", "set", self.cable, state)
        assert done.returncode == 0, done.stderr


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Give two hosts that reach each other and nobody else."""
    stem = f"q{os.getpid() % 100000}"
    hosts = [
        Host(f"{stem}{end}", f"10.213.77.{number}", f"{stem}{end}", folder / end)
        for number, end in enumerate("ab", start=1)
    ]
    first, second = hosts
    commands: list[list[str]] = [["netns", "add", host.name] for host in hosts]
    commands += [["link", "add", first.cable, "type", "veth", "peer", "name", second.cable]]
    for host in hosts:
        commands += [["link", "set", host.cable, "netns", host.name]]
        commands += [["-n", host.name, "address", "add", f"{host.address}/24", "dev", host.cable]]
        commands += [["-n", host.name, "link", "set", "lo", "up"]]
        commands += [["-n", host.name, "link", "set", host.cable, "up"]]
    try:
        for command in commands:
            done = ip(*command)
            assert done.returncode == 0, f"ip {' '.join(command)}: {done.stderr}"
        yield first, second
    finally:
        for host in hosts:
            ip("netns", "delete", host.name)  # the cable goes with it
