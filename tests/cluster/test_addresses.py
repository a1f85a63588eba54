"""Which addresses stay on this machine, and what can be reached."""

import socket

import pytest

from cluster.addresses import bind_error, connect_error, free_port, host_and_port, is_loopback


@pytest.mark.parametrize("address", [None, "", "127.0.0.1", "127.0.0.1:6379", "localhost:1", "::1"])
def test_loopback(address: str | None) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0.1:6379", "head:6379", "auto", "[fd00::1]:6"]
)
def test_beyond_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_host_and_port() -> None:
    assert host_and_port("head:6379") == ("head", 6379)
    assert host_and_port("[::1]:6379") == ("::1", 6379)
    assert host_and_port("head") is host_and_port(":6379") is host_and_port("ray://x") is None


def test_a_port_in_use_can_be_reached_and_not_had() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert connect_error(f"127.0.0.1:{port}") is None
        error = bind_error("127.0.0.1", port)
        assert error is not None
        assert "in use" in str(error.strerror)
    assert "refused" in str(connect_error(f"127.0.0.1:{port}"))
    assert connect_error("head") == "it is not HOST:PORT"


def test_a_free_port_can_be_had() -> None:
    assert bind_error("127.0.0.1", free_port()) is None
