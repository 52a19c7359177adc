"""One row for each stored item."""

import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

from media_library.facts import Facts, StreamFacts, browser_type
from media_library.storage import stored_name
from mediastream.access import Visibility


class State(models.TextChoices):
    """Pending: stored, not yet probed. Ready: can be played. Failed: the probe failed, see `reason`."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


def file_name(media: "Media", filename: str) -> str:
    """The stored name keeps nothing of the client's but a plain suffix, for whoever looks into the folder."""
    suffix = Path(filename).suffix.lower()
    return stored_name("media", suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 6 else "")


def poster_name(media: "Media", filename: str) -> str:
    return stored_name("posters", ".jpg")


class Media(models.Model):
    """A stored video or sound. `duration` in seconds; what the probe found is in `facts`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.MEMBERS)
    file = models.FileField(upload_to=file_name, max_length=255)
    original_name = models.CharField(max_length=255, blank=True, editable=False)
    size = models.PositiveBigIntegerField("size in bytes", default=0, editable=False)
    poster = models.FileField(upload_to=poster_name, max_length=255, blank=True, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING, editable=False)
    reason = models.TextField(blank=True, editable=False)
    container = models.CharField(max_length=100, blank=True, editable=False)
    content_type = models.CharField(max_length=100, default="application/octet-stream", editable=False)
    duration = models.FloatField("duration in seconds", null=True, editable=False)
    streams = models.JSONField(default=list, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "media"

    def __str__(self) -> str:
        return self.title or str(self.id)

    def get_absolute_url(self) -> str:
        return reverse("watch", args=[self.id])

    @property
    def facts(self) -> Facts:
        streams = tuple(StreamFacts.from_json(stream) for stream in self.streams)
        return Facts(self.container, self.content_type, self.duration, streams)

    def set_facts(self, facts: Facts) -> None:
        self.container = facts.container[:100]
        self.content_type = facts.content_type
        self.duration = facts.duration
        self.streams = facts.streams_json()
        self.state, self.reason = State.READY, ""

    def set_failed(self, reason: str) -> None:
        self.state, self.reason = State.FAILED, reason

    @property
    def video(self) -> StreamFacts | None:
        return next((stream for stream in self.facts.streams if stream.kind == "video"), None)

    @property
    def clock(self) -> str:
        """The duration as people write it; "" if it is not known."""
        if self.duration is None:
            return ""
        minutes, seconds = divmod(round(self.duration), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    @property
    def browser_type(self) -> str:
        return browser_type(self.content_type, list(self.facts.streams))

    @property
    def path(self) -> Path:
        """The local path of the file."""
        return Path(self.file.path)

    def links(self) -> dict[str, Any]:
        """URL paths of everything this item is served as."""
        return {
            "watch": self.get_absolute_url(),
            "file": reverse("file", args=[self.id]),
            "hls": f"/media/{self.id}/hls/master.m3u8",
            "stream": reverse("stream", args=[self.id]),
        }
