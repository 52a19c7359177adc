from django.apps import AppConfig


class FeedsConfig(AppConfig):
    name = "mediastream.feeds"
    verbose_name = "Data feeds"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_init, post_save

        from mediastream import watch
        from mediastream.feeds import changes, hub, running
        from mediastream.feeds.models import Topic

        post_init.connect(changes.remember, Topic)
        post_save.connect(changes.changed, Topic)
        post_delete.connect(changes.changed, Topic)
        watch.on_notice["topic"] = changes.changed_elsewhere
        hub.on_interest.append(running.interested)
