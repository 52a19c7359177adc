"""Topics as an administrator configures them."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from mediastream.access import Visibility
from mediastream.feeds import families, sources
from mediastream.feeds.terms import Policy, Terms


def validate_name(name: str) -> None:
    """Any characters but those that would end a path segment's name or a line, and the two that mean folders."""
    if re.search(r"[/\\]", name) or not name.isprintable() or name.strip() != name or name in (".", ".."):
        raise ValidationError("A name is printable text without slashes, or spaces at its ends.")
    if families.of(name) is not None:
        raise ValidationError("Topics of such names are the server's own.")


def validate_source(text: str) -> None:
    try:
        sources.parse(text)
    except sources.SourceInvalid as fault:
        raise ValidationError(f"Not a source: {fault}.") from None


class Topic(models.Model):
    """A feed under a name. It belongs to no one: private means administrators."""

    name = models.CharField(
        max_length=100, unique=True, validators=[validate_name], help_text="In addresses: /feeds/NAME/events"
    )
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.MEMBERS)
    policy = models.CharField(
        "who is too slow",
        max_length=10,
        default=Policy.OLDEST.value,
        choices=[
            (Policy.CONFLATE.value, "gets the last event of each key"),
            (Policy.OLDEST.value, "misses the oldest, and is told how many"),
            (Policy.DISCONNECT.value, "is disconnected, and told why"),
        ],
    )
    history = models.PositiveIntegerField(
        "events kept",
        default=1000,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="For readers who come back, or are slow. They take 8 MiB of memory at most.",
    )
    key_field = models.CharField(
        max_length=64,
        blank=True,
        help_text="Of the data of an event, what it is about, such as symbol: readers may ask for some keys alone.",
    )
    source = models.CharField(
        max_length=500,
        blank=True,
        validators=[validate_source],
        help_text="Empty: events are published. Otherwise simulator, or the address of a feed elsewhere: wss:// for a "
        "WebSocket, sse+https:// for an event stream, https:// for JSON that is asked for again and again.",
    )
    rate = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(1000)],
        help_text="Events a second of the simulator; of polled JSON, how often it is asked for.",
    )
    always_on = models.BooleanField(default=False, help_text="Have the source run while nobody reads, too.")
    compressed = models.BooleanField(
        default=True,
        help_text="For readers that take it. Only while everybody may read it: what members or administrators read is "
        "never compressed, as lengths would tell of it.",
    )
    token_version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def terms(self) -> Terms:
        """Compressed is what is no secret: see docs/architecture.md."""
        compressed = self.compressed and self.visibility == Visibility.PUBLIC
        return Terms(Policy(self.policy), self.history, compressed)
