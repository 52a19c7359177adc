from django.apps import AppConfig


class OpenStreamsConfig(AppConfig):
    """By its label databases know its migrations. People read "Sessions", as of the topic that fills its page."""

    name = "mediastream.open_streams"
    label = "streams"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from mediastream.open_streams import topic

        topic.register()
