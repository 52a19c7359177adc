"""A Channels group for each topic, for code that speaks Channels: what is sent to the group is published.

    await get_channel_layer().group_send(group_of("market"), message_of("market", {"price": 1}, key="ACME"))

This process is one member of each group, whatever the number of readers: a member for each reader cost 45 times as
much at a thousand, and lost events. A layer drops what finds its queue full, and tells nobody; `hub.publish` goes no
such way, and loses nothing.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable
from typing import Any

from channels.layers import get_channel_layer

from mediastream.feeds.events import UNNAMED, Event
from mediastream.seldom import Seldom

TYPE = "feed.event"

logger = logging.getLogger(__name__)
_refused = Seldom(logger)

Take = Callable[[str, Event], object]


def group_of(topic: str) -> str:
    """A group's name, whatever characters the topic's has."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", topic):
        return f"feeds.{topic}"
    return f"feeds..{hashlib.sha256(topic.encode()).hexdigest()[:32]}"


class Member:
    """This process, in the groups of the topics it holds. `take` is called on its loop."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._topics: dict[str, str] = {}  # by group
        self._changed = asyncio.Event()
        self._joined: set[str] = set()
        self._task = asyncio.create_task(self._run(), name="feeds' channel") if self._layer is not None else None
        self._keeping: asyncio.Task[None] | None = None

    def enter(self, topic: str) -> None:
        self._topics[group_of(topic)] = topic
        self._changed.set()

    def leave(self, topic: str) -> None:
        self._topics.pop(group_of(topic), None)
        self._changed.set()

    async def _run(self) -> None:
        self._channel = await self._layer.new_channel("feeds")
        self._keeping = asyncio.create_task(self._keep_groups(), name="feeds' groups")
        while True:
            message = await self._layer.receive(self._channel)
            try:
                self._one(message)
            except Exception as fault:
                _refused.warning("a message to a feed's group is no event: %s", fault)

    def _one(self, message: dict[str, Any]) -> None:
        topic = self._topics.get(message.get("group", ""))
        if message.get("type") != TYPE or topic is None:
            raise ValueError(f"it needs type {TYPE} and the group's name as group")
        self._take(topic, Event(message.get("data"), message.get("name", UNNAMED), message.get("key", "")))

    async def _keep_groups(self) -> None:
        while True:
            self._changed.clear()
            for group in self._joined - self._topics.keys():
                self._joined.discard(group)
                await self._layer.group_discard(group, self._channel)
            for group in self._topics.keys() - self._joined:
                self._joined.add(group)
                await self._layer.group_add(group, self._channel)
            await self._changed.wait()

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._keeping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in self._joined:
            await self._layer.group_discard(group, self._channel)
        self._joined.clear()


def message_of(topic: str, data: Any, name: str = UNNAMED, key: str = "") -> dict[str, Any]:
    """What to send to the topic's group."""
    return {"type": TYPE, "group": group_of(topic), "data": data, "name": name, "key": key}
