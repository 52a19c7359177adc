from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "mediastream.live"
    verbose_name = "Live cameras"
    default_auto_field = "django.db.models.BigAutoField"
