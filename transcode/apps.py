from django.apps import AppConfig


class TranscodeConfig(AppConfig):
    name = "transcode"
    verbose_name = "Transcoding"

    def ready(self) -> None:
        from media_library.signals import media_ready
        from transcode.posters import make_poster

        media_ready.connect(make_poster)
