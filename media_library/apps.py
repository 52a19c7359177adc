from django.apps import AppConfig


class MediaLibraryConfig(AppConfig):
    name = "media_library"
    verbose_name = "Media library"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from media_library import activity, chat
        from media_library.deletion import forget_files
        from media_library.items import item_changed
        from media_library.models import Media
        from media_library.signals import media_ready

        chat.register()
        post_delete.connect(chat.forget_room, Media)
        media_ready.connect(activity.tell_stored)
        post_save.connect(activity.saved, Media)
        post_delete.connect(activity.deleted, Media)
        post_delete.connect(forget_files, Media)
        post_save.connect(item_changed, Media)
        post_delete.connect(item_changed, Media)
