"""Cameras as an administrator configures them."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from mediastream.access import Visibility
from mediastream.live import sources
from mediastream.live.camera import Terms


def validate_source(text: str) -> None:
    try:
        sources.parse(text)
    except sources.SourceInvalid as fault:
        raise ValidationError(f"Not a source: {fault}.") from None


class Camera(models.Model):
    """A source of pictures under a short name. It belongs to no one: private means administrators."""

    slug = models.SlugField(unique=True, help_text="Its name in addresses: /live/NAME/")
    name = models.CharField(max_length=100)
    source = models.CharField(
        max_length=500,
        validators=[validate_source],
        help_text="rtsp://, http:// or another address; the absolute path of a file; /dev/video0; or test-pattern.",
    )
    fps = models.PositiveSmallIntegerField(
        "pictures a second", default=25, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.MEMBERS)

    class Meta:
        ordering = ["name", "slug"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("live:camera", args=[self.slug])

    @property
    def terms(self) -> Terms:
        return Terms(self.source, self.fps, self.visibility)

    @property
    def masked_source(self) -> str:
        return sources.masked(self.source)
