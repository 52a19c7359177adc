"""One row for each job. The row is the truth; django-q2's message only says whose turn it is.

Rows change by conditional updates of single fields, never by saving the whole: a cancel that comes while progress is
written survives, and of two deliveries of one job the second finds it taken.
"""

from django.db import models

from media_library.models import Media


class Kind(models.TextChoices):
    PROBE = "probe", "Probe"
    POSTER = "poster", "Poster"
    THUMBNAILS = "thumbnails", "Thumbnails"
    SUBTITLES = "subtitles", "Subtitles"
    REMUX = "remux", "Optimise for streaming"
    ENCODE = "encode", "Encode for browsers"


class State(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


UNFINISHED = (State.QUEUED, State.RUNNING)
ENDED = (State.DONE, State.FAILED, State.CANCELLED)
HEAVY = (Kind.REMUX, Kind.ENCODE)  # one at a time, so that a poster never waits for hours of these


class Job(models.Model):
    """`percent` 0 to 100 and `speed` in seconds of media a second, None while not known. `reason`: why it failed, or
    what it did. `tail`: FFmpeg's last lines. `worker`: the process that runs it, 0 for none."""

    kind = models.CharField(max_length=16, choices=Kind.choices)
    media = models.ForeignKey(Media, models.CASCADE, related_name="jobs")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    percent = models.FloatField(null=True)
    speed = models.FloatField(null=True)
    reason = models.TextField(blank=True)
    tail = models.TextField("FFmpeg's last lines", blank=True)
    attempts = models.PositiveIntegerField(default=0)
    worker = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            # Asked for twice, a job is done once.
            models.UniqueConstraint(
                fields=["media", "kind"], condition=models.Q(state__in=UNFINISHED), name="one_unfinished_of_a_kind"
            )
        ]
        indexes = [models.Index(fields=["state"])]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.media}"
