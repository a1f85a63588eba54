"""Prints every open TCP port of an address, and what it says to who has no token.

A script of its own: it is run on another host.
"""

import socket
import sys
import urllib.error
import urllib.request

import grpc

METHODS = (
    "NodeInfoGcsService/GetAllNodeInfo",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Push",
    "CoreWorkerService/PushTask",
    "ReporterService/GetTraceback",
    "RayletDriver/Init",
)
"""One of each service that a process of Ray offers."""
REFUSED = "refused"


def is_open(address: str, port: int) -> bool:
    """Connect to a port; one that is closed says so at once."""
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex((address, port)) == 0


def by_http(address: str, port: int) -> str | None:
    """Return what a request without a token gets, None where HTTP is not spoken."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=5) as answer:
            return f"answers with {len(answer.read())} bytes over HTTP"
    except urllib.error.HTTPError as error:
        return REFUSED if error.code in (401, 403) else f"answers {error.code} over HTTP"
    except OSError:
        return None
    except Exception:  # bytes that are no HTTP
        return None


def by_grpc(address: str, port: int) -> str:
    """Return what calls without a token get."""
    said = []
    with grpc.insecure_channel(f"{address}:{port}") as channel:
        for method in METHODS:
            call = channel.unary_unary(f"/ray.rpc.{method}", bytes, bytes)
            try:
                call(b"", timeout=10)
            except grpc.RpcError as error:
                said.append(error.code())
            else:
                return f"answers {method}"
    if grpc.StatusCode.UNAUTHENTICATED in said:
        return REFUSED
    return f"is unknown: {sorted({code.name for code in said})}"


if __name__ == "__main__":
    (target,) = sys.argv[1:]
    for port in [port for port in range(1, 65536) if is_open(target, port)]:
        print(port, by_http(target, port) or by_grpc(target, port))
