from django.apps import AppConfig


class MediastreamConfig(AppConfig):
    name = "mediastream"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.conf import settings
        from django.contrib.auth import get_user_model
        from django.contrib.auth.signals import user_logged_out
        from django.db.models.signals import post_delete, post_save

        from mediastream import bus, checks
        from mediastream.exiting import keep_zombies
        from mediastream.visitors import end_tickets, user_changed

        keep_zombies()
        bus.configure(settings.DATA_DIR / "bus")
        user_logged_out.connect(end_tickets)
        post_save.connect(user_changed, get_user_model())
        post_delete.connect(user_changed, get_user_model())
        checks.register_all()
