"""Cameras as an administrator configures them."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse

from mediastream.access import Visibility
from mediastream.live import sources
from mediastream.live.recording.shelf import Keep
from mediastream.live.terms import Terms


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
    username = models.CharField("name at the source", max_length=100, blank=True)
    password = models.CharField("password at the source", max_length=200, blank=True)
    any_certificate = models.BooleanField(
        "trust any certificate", default=False, help_text="For a camera that signs its own. Its password goes there."
    )
    fps = models.PositiveSmallIntegerField(
        "pictures a second",
        default=25,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="At most; none are made up.",
    )
    size = models.CharField(
        max_length=9,
        blank=True,
        validators=[RegexValidator(r"^[1-9]\d{1,3}x[1-9]\d{1,3}\Z", "Give width and height as 1280x720.")],
        help_text="At most, such as 1280x720; empty: as it comes. Video that is MJPEG already is passed on as it is.",
    )
    quality = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(2), MaxValueValidator(31)],
        help_text="FFmpeg's q of JPEG: 2 is the best, 31 the smallest.",
    )
    still_every = models.PositiveSmallIntegerField(
        "seconds between stills",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="For a slow camera: ask its http:// address for one picture after another instead of a stream.",
    )
    drop_identical = models.BooleanField(
        "leave out identical pictures",
        default=False,
        help_text="Saves bytes where a source repeats them, or its scene stands still to the last bit. Each is sent "
        "again after a second.",
    )
    always_on = models.BooleanField(
        default=False, help_text="Also while nobody watches: it costs as much then, and is there at once."
    )
    record = models.BooleanField(
        default=False, help_text="Keep its pictures as video. The camera then runs while nobody watches, too."
    )
    keep_hours = models.PositiveIntegerField(
        "hours kept",
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(87_600)],
        help_text="What is older is deleted.",
    )
    keep_gb = models.DecimalField(
        "gigabytes kept",
        max_digits=9,
        decimal_places=3,
        default=Decimal(10),
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(Decimal(100_000))],
        help_text="At most; the oldest is deleted first. One is 1,000,000,000 bytes.",
    )
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.MEMBERS)

    class Meta:
        ordering = ["name", "slug"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("live:camera", args=[self.slug])

    def clean(self) -> None:
        """Take a name and password out of the address, and see whether this kind of source takes them."""
        self.source, username, password = sources.split(self.source.strip())
        if username or password:
            self.username, self.password = username, password
        try:
            parsed = self.terms.parsed()
        except sources.SourceInvalid as fault:
            raise ValidationError(f"Not a source: {fault}.") from None
        if self.still_every and not parsed.kind.by_http:
            raise ValidationError({"still_every": "Stills are asked for over http:// or https:// only."})
        self.source = parsed.text

    @property
    def terms(self) -> Terms:
        return Terms(
            self.source, self.fps, self.visibility, self.username, self.password, self.size, self.quality,
            self.any_certificate, self.still_every, self.drop_identical,
        )  # fmt: skip

    @property
    def keep(self) -> Keep:
        return Keep(self.keep_hours, int(self.keep_gb * 10**9))

    @property
    def masked_source(self) -> str:
        return sources.masked(self.source)
