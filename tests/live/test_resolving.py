"""A camera leads the server to no address of the machine's own, unless it is there itself."""

import socket

import aiohttp
import pytest

from mediastream.live import resolving
from mediastream.live.failures import CaptureFailed, Reason
from mediastream.live.resolving import Resolver, inward
from tests.live.httpsource import source
from tests.live.test_capture import failure_of, terms


@pytest.mark.parametrize(
    ("address", "is_inward"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("0.0.0.0", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("::", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("10.0.0.1", False),
        ("192.168.1.10", False),
        ("203.0.113.5", False),
        ("fd00::1", False),
        ("2001:db8::1", False),
        ("camera.example", False),
    ],
)
def test_addresses(address: str, is_inward: bool) -> None:
    assert inward(address) is is_inward


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001"])
async def test_whatever_a_name_or_number_stands_for(host: str) -> None:
    with pytest.raises(CaptureFailed, match="this server's own"):
        await Resolver("203.0.113.5").resolve(host, 80)
    assert await Resolver(host).resolve(host, 80), "the administrator's own choice"
    assert await Resolver("127.0.0.1").resolve(host, 80), "whoever is there may lead there"


@pytest.mark.parametrize("to", ["127.0.0.2", "gate.example"])
async def test_a_redirect_to_the_servers_own_addresses(monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    async def resolve(*_: object) -> list[dict[str, object]]:
        return [{"hostname": to, "host": "127.0.0.2", "port": 1, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    async with source(lambda it: it.redirect(f"http://{to}:1/")) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert failure.words == "Connection refused", "one that is there itself may"
        monkeypatch.setattr(resolving, "inward", lambda address: address == "127.0.0.2")  # 127.0.0.1 is elsewhere
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert (failure.reason, failure.words) == (Reason.REFUSED, "it redirects to an address of this server's own")
