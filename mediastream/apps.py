from django.apps import AppConfig


class MediastreamConfig(AppConfig):
    name = "mediastream"
