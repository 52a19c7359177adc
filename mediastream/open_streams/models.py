"""No table: a model is what the admin lists on its front page."""

from django.db import models


class OpenStream(models.Model):
    class Meta:
        managed = False
        default_permissions = ()
        verbose_name = "open stream"

    def __str__(self) -> str:
        return "open stream"
