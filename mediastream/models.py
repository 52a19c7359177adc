"""What access.py keeps of its own."""

from django.conf import settings
from django.db import models


class TicketEpoch(models.Model):
    """How many times a user has ended their tickets by signing out."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True)
    epoch = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.epoch}"
