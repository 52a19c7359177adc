from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "transcode.jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from media_library.signals import media_ready, probe_wanted
        from transcode.jobs import asking, topics

        media_ready.connect(asking.after_storing)
        probe_wanted.connect(asking.probes)
        topics.register()
