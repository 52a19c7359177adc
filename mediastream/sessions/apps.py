from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Its label is not its folder's name, which is that of Django's own sessions."""

    name = "mediastream.sessions"
    label = "streams"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from mediastream.sessions import topic

        topic.register()
