from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "mediastream.chat"
    verbose_name = "Chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from mediastream.chat import topic
        from mediastream.chat.models import Message

        post_save.connect(topic.saved, Message)
        post_delete.connect(topic.deleted, Message)
