"""/metrics: who may read it, and that it says what is."""

import pytest
from django.conf import LazySettings
from django.test import Client

from mediastream import streams
from mediastream.streams import Label, Stream

pytestmark = pytest.mark.django_db
TOKEN = "0123456789abcdef"


def lines(client: Client) -> dict[str, float]:
    text = client.get("/metrics").content.decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize(
    ("headers", "address", "status"),
    [
        ({}, "127.0.0.1", 200),
        ({}, "::1", 200),
        ({}, "::ffff:127.0.0.1", 200),
        ({}, "192.0.2.7", 403),
        ({}, "", 403),
        ({"X-Forwarded-For": "192.0.2.7"}, "127.0.0.1", 403),
        ({"Forwarded": "for=192.0.2.7"}, "127.0.0.1", 403),
        ({"Authorization": f"Bearer {TOKEN}"}, "192.0.2.7", 200),
        ({"Authorization": f"bearer {TOKEN}", "X-Forwarded-For": "192.0.2.7"}, "127.0.0.1", 200),
        ({"Authorization": f"Bearer {TOKEN}x"}, "192.0.2.7", 403),
        ({"Authorization": "Bearer "}, "192.0.2.7", 403),
        ({"Authorization": "Bearer ÿ"}, "192.0.2.7", 403),
        ({"Authorization": f"Basic {TOKEN}"}, "192.0.2.7", 403),
    ],
)
def test_who_may_read(settings: LazySettings, headers: dict[str, str], address: str, status: int) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert Client(REMOTE_ADDR=address).get("/metrics", headers=headers).status_code == status


def test_without_a_token_none_is_good(client: Client, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = None
    answer = Client(REMOTE_ADDR="192.0.2.7").get("/metrics", headers={"Authorization": "Bearer None"})
    assert answer.status_code == 403


def test_streams_are_counted_while_they_run_and_after(client: Client) -> None:
    """Counters are the process's, so other tests' streams may be among them."""
    stream = streams.opened(Stream(Label("kind-under-test", "x"), None, lambda: None), brief=False)
    stream.bytes = 100
    said = lines(client)
    assert said['mediastream_streams_open{kind="kind-under-test"}'] == 1
    assert said['mediastream_stream_bytes_total{kind="kind-under-test"}'] == 100
    stream.reason = streams.LEFT
    streams.closed(stream)
    streams.closed(stream)  # twice counts once
    said = lines(client)
    assert said['mediastream_streams_open{kind="kind-under-test"}'] == 0
    assert said['mediastream_stream_bytes_total{kind="kind-under-test"}'] == 100
    assert said['mediastream_streams_ended_total{kind="kind-under-test",reason="left"}'] == 1
    assert {"mediastream_ffmpegs", "mediastream_loop_lag_seconds", "process_open_fds"} <= set(said)


def test_drops_are_counted(client: Client) -> None:
    before = lines(client).get('mediastream_dropped_total{kind="mjpeg"}', 0)
    streams.drop("mjpeg")
    assert lines(client)['mediastream_dropped_total{kind="mjpeg"}'] == before + 1
