"""What was said, and who may say nothing."""

from django.conf import settings
from django.db import models

LONGEST = 500  # characters of a message


class Message(models.Model):
    """`room`: rooms.py. One that is hidden is kept, for those who moderate."""

    room = models.CharField(max_length=100)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    text = models.CharField(max_length=LONGEST)
    said_at = models.DateTimeField("said")
    hidden = models.BooleanField(default=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["room", "id"]), models.Index(fields=["author", "said_at"])]

    def __str__(self) -> str:
        return self.text[:80]


class Mute(models.Model):
    """This person may read, and not write."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    since = models.DateTimeField(auto_now_add=True)
    note = models.CharField(max_length=200, blank=True, help_text="For administrators.")

    class Meta:
        verbose_name = "muted person"
        verbose_name_plural = "muted people"

    def __str__(self) -> str:
        return str(self.user)
