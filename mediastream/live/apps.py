from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "mediastream.live"
    verbose_name = "Live cameras"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_init, post_save

        from mediastream import watch
        from mediastream.live import activity, camera, chat, topic
        from mediastream.live.changes import end_changed, end_changed_elsewhere, forget_recordings
        from mediastream.live.models import Camera

        post_save.connect(end_changed, Camera)
        post_delete.connect(end_changed, Camera)
        post_delete.connect(forget_recordings, Camera)
        watch.on_notice["camera"] = end_changed_elsewhere

        post_init.connect(activity.remember, Camera)
        post_save.connect(activity.saved, Camera)
        post_delete.connect(activity.deleted, Camera)
        camera.on_start.append(activity.tell_started)
        topic.register()
        chat.register()
        post_delete.connect(chat.forget_room, Camera)
