"""License files that fail for real, each in its own way, and what gurobipy says of them."""

from dataclasses import dataclass

from qpmstudy.selection.licenses import LicenseKind

SECRET = "5ec2e7ab-0000-4000-8000-5ec2e7ab5ec2"
"""The secret of the web license below: it opens nothing, and must not show up anywhere."""


@dataclass(frozen=True)
class Broken:
    """A license file that gurobipy refuses."""

    lines: str
    kind: LicenseKind
    says: str
    transient: bool = False


NODE = "TYPE=NODE\nVERSION=13\nHOSTID=12345678\nUSERNAME=x\nEXPIRATION={}\nKEY=ABC\nCKEY=ABC\n"
NO_NETWORK = ("https_proxy", "http://127.0.0.1:1")
"""Environment variable: a proxy that is not there keeps gurobipy off the network everywhere."""
BROKEN = {
    "token server silent": Broken(
        "TOKENSERVER=127.0.0.1\nPORT=1\n",
        LicenseKind.FLOATING,
        r"Failed to connect to token server '127\.0\.0\.1' \(port 1\).* \(error 10009\)",
        transient=True,
    ),
    "web license without network": Broken(
        f"WLSACCESSID=00000000-0000-4000-8000-000000000000\nWLSSECRET={SECRET}\nLICENSEID=123456\n",
        LicenseKind.WLS,
        r"token\.gurobi\.com.*\(error 10022\)",
        transient=True,
    ),
    "compute server silent": Broken(
        "COMPUTESERVER=127.0.0.1:1\nPASSWORD=x\n",
        LicenseKind.REMOTE,
        r"Failed to connect to 127\.0\.0\.1.*\(error 10022\)",
        transient=True,
    ),
    "expired": Broken(
        NODE.format("2020-01-31"),
        LicenseKind.NODE_LOCKED,
        r"License expired 2020-01-31 \(error 10009\)",
    ),
    "other machine": Broken(
        NODE.format("2099-01-31"), LicenseKind.NODE_LOCKED, r"HostID mismatch.*\(error 10009\)"
    ),
    "web license without secret": Broken(
        "WLSACCESSID=00000000-0000-4000-8000-000000000000\n",
        LicenseKind.WLS,
        r"No web license service secret given \(error 10003\)",
    ),
    "token license without server": Broken(
        "TYPE=TOKEN\n", LicenseKind.FLOATING, r"No TOKENSERVER specified.*\(error 10009\)"
    ),
    "damaged": Broken(
        "\x00\x01 not a license\n", LicenseKind.NONE, r"No HostID specified.*\(error 10009\)"
    ),
    "empty": Broken("", LicenseKind.NONE, r"No HostID specified.*\(error 10009\)"),
}
