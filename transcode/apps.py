from django.apps import AppConfig


class TranscodeConfig(AppConfig):
    name = "transcode"
    verbose_name = "Transcoding"

    def ready(self) -> None:
        from django.db.models.signals import post_delete

        from media_library.models import Media
        from transcode.derived import forget

        post_delete.connect(forget, Media)
