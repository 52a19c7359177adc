"""This server's own addresses, and one more: events published by its own process. Bench only."""

import asyncio

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.publishing import data
from mediastream import homeloop
from mediastream.feeds import hub
from mediastream.feeds.events import Event
from mediastream.lean import lean
from mediastream.urls import *  # noqa: F403
from mediastream.urls import urlpatterns as ours


@lean
async def publish(request: HttpRequest, topic: str, count: int, rate: int) -> HttpResponse:
    """`rate`: events a second, 0 for as fast as can be."""
    await homeloop.run(_publish(topic, count, rate))
    return HttpResponse()


async def _publish(topic: str, count: int, rate: int) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(count):
        if rate:
            await asyncio.sleep(began + number / rate - loop.time())
        await hub.apublish(topic, Event(data(number + 1)))


urlpatterns = [*ours, path("bench/<str:topic>/<int:count>/<int:rate>", publish)]
