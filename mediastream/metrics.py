"""What this process does, for Prometheus. For this machine, or whoever holds the token: it tells of all items.

Nothing is counted for this page alone: it reads what the rooms know of themselves when it is asked.
"""

import ipaddress
import secrets
from collections import Counter
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mediastream import process, streams, watch
from mediastream.errors import NoRight
from mediastream.faults import allow
from transcode import registry as transcodes

PROXIED = ("X-Forwarded-For", "Forwarded", "Via")


class StreamCollector(Collector):
    """Of the streams, what feeds them, and the loop they run on."""

    def collect(self) -> Iterable[Metric]:
        yield from _streams()
        dropped = CounterMetricFamily("mediastream_dropped", "Frames a viewer was too slow for.", labels=["kind"])
        for kind, count in streams.dropped().items():
            dropped.add_metric([kind], count)
        yield dropped
        ffmpegs = sum(count for name, count in process.running().items() if name.startswith("ffmpeg"))
        yield GaugeMetricFamily("mediastream_ffmpegs", "FFmpeg processes that run.", value=ffmpegs)
        yield GaugeMetricFamily("mediastream_transcodes", "Places for transcoding taken.", value=transcodes.running())
        yield GaugeMetricFamily("mediastream_transcodes_limit", "Those there are.", value=settings.TRANSCODES)
        yield GaugeMetricFamily(
            "mediastream_loop_lag_seconds", "How late the event loop was when last measured.", value=watch.lag()
        )


def _streams() -> Iterable[Metric]:
    opened = GaugeMetricFamily("mediastream_streams_open", "Responses under way.", labels=["kind"])
    sent = CounterMetricFamily("mediastream_stream_bytes", "Bytes of bodies sent.", labels=["kind"])
    ended = CounterMetricFamily(
        "mediastream_streams_ended", "Responses that are over: complete, left by the client, or cut.",
        labels=["kind", "reason"],
    )  # fmt: skip
    under_way = Counter(stream.label.kind for stream in streams.open_streams())
    bytes_sent = Counter({kind: total.bytes for kind, total in streams.totals().items()})
    for stream in streams.open_streams():
        bytes_sent[stream.label.kind] += stream.bytes
    for kind in sorted({*under_way, *streams.totals()}):
        opened.add_metric([kind], under_way[kind])
        sent.add_metric([kind], bytes_sent[kind])
    for kind, total in streams.totals().items():
        for reason, count in total.ended.items():
            ended.add_metric([kind, reason], count)
    return opened, sent, ended


_registry = CollectorRegistry()
_registry.register(StreamCollector())
ProcessCollector(registry=_registry)
PlatformCollector(registry=_registry)
GCCollector(registry=_registry)


@allow("GET", "HEAD")
async def metrics(request: HttpRequest) -> HttpResponseBase:
    if not (_has_token(request) or _local(request)):
        raise NoRight("Metrics are for this machine, or for who sends MEDIASTREAM_METRICS_TOKEN as a bearer token.")
    encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encoder(_registry), content_type=content_type, headers={"Cache-Control": "no-store"})


def _has_token(request: HttpRequest) -> bool:
    """RFC 6750 section 2.1."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted: str | None = settings.METRICS_TOKEN
    return wanted is not None and scheme.lower() == "bearer" and secrets.compare_digest(token.encode(), wanted.encode())


def _local(request: HttpRequest) -> bool:
    """Asked by this machine itself, and not by a proxy on it for somebody else."""
    if any(name in request.headers for name in PROXIED):
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
