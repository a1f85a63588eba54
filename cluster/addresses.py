"""Network addresses: which stay on this machine, and whether Ray may listen beyond it."""

import ipaddress
import socket

LOOPBACK = "127.0.0.1"
BEYOND = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Environment variable: 0 makes Ray listen on loopback alone. Otherwise it replaces 127.0.0.1,
even where that is asked for, by an address that others reach, and listens on every interface."""
CONNECT_SECONDS = 5.0
"""For an answer from the head of a cluster."""


def is_loopback(address: str | None) -> bool:
    """Return whether HOST or HOST:PORT is this machine's loopback; no address means so, too."""
    if not address:
        return True
    parts = host_and_port(address)
    host = parts[0] if parts else address
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind_error(host: str, port: int) -> OSError | None:
    """Return why this machine cannot listen there, None if it can; port 0 asks for the host alone.

    Whoever listens there already is noticed, whichever of the machine's addresses it listens on.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
    except OSError as error:
        return error
    return None


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def host_and_port(address: str) -> tuple[str, int] | None:
    """Return the parts of HOST:PORT or [HOST]:PORT, None where it is no such address."""
    host, colon, port = address.rpartition(":")
    if ":" in host and not host.startswith("["):
        return None  # an IPv6 address by itself
    host = host.removeprefix("[").removesuffix("]")
    return (host, int(port)) if colon and host and port.isdecimal() else None


def connect_error(address: str) -> str | None:
    """Return why nobody can be reached at HOST:PORT, None if somebody can.

    Ray itself tries for a quarter of an hour before it says so.
    """
    parts = host_and_port(address)
    if parts is None:
        return "it is not HOST:PORT"
    try:
        socket.create_connection(parts, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
