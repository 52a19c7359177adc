"""Where an address on HTTP may lead on to.

An administrator names a source, and may name any host. Where that one redirects to is its own choice, and cameras
are known to be taken over: one must not lead this server to what listens for the machine's own programs
(loopback), nor to what a cloud tells its machines alone (169.254.169.254). The private networks stay open, as
cameras live there. It is asked of the very addresses that are connected to, as a name may have others a moment
later.
"""

import socket
from ipaddress import IPv6Address, ip_address

import aiohttp
from aiohttp.abc import ResolveResult

from mediastream.live.failures import CaptureFailed, Reason


def inward(address: str) -> bool:
    """Whether this address, if it is one, is of the machine itself or of its link alone."""
    try:
        given = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(given, IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return given.is_loopback or given.is_link_local or given.is_unspecified


class Resolver(aiohttp.ThreadedResolver):
    """`named`: the host that the administrator named. If that is inward, so may be where it leads."""

    def __init__(self, named: str) -> None:
        super().__init__()
        self._named = named
        self._free = inward(named)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        within = any(inward(one["host"]) for one in found)
        if host == self._named:
            self._free = within
        elif within:
            self._refuse()
        return found

    def check(self, host: str) -> None:
        """The same of a host that may be an address, which is never resolved. Raises CaptureFailed."""
        if host != self._named and inward(host):
            self._refuse()

    def _refuse(self) -> None:
        if not self._free:
            raise CaptureFailed(Reason.REFUSED, "it redirects to an address of this server's own")
