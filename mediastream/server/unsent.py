"""How much the kernel holds unsent for a client: past that it takes no more (TCP_NOTSENT_LOWAT, tcp(7)).

A cap on SO_SNDBUF would bound it too, and cost four fifths of the rate, as that counts what is under way as well.
"""

from socket import AF_INET, AF_INET6, IPPROTO_TCP
from typing import Protocol

TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; Python's socket module has no name for it before 3.13
USUAL = 128 * 1024  # bytes


class _Socket(Protocol):
    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


def allow(socket: _Socket, most: int) -> None:
    """Bytes. On a listening socket it is for all that it accepts. Unix sockets have nothing of the kind."""
    if socket.family in (AF_INET, AF_INET6):
        socket.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, most)
