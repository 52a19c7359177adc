"""What goes on in the library, for the topic `activity`. It is anybody's to read, so it tells of public items alone."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from media_library.models import Media
from mediastream.access import Visibility
from mediastream.feeds import activity


def tell_stored(media: Media, **_: Any) -> None:
    """Receives media_ready."""
    event = activity.happened("stored", *_told(media))
    if event is not None:
        transaction.on_commit(lambda: activity.tell(event, lambda: _is_public(media)), robust=True)


async def tell_watched(media: Media) -> None:
    """Somebody has opened its page; who is nobody's business."""
    event = activity.happened("watched", *_told(media))
    if event is not None:
        await sync_to_async(activity.tell)(event, lambda: _is_public(media))


def _told(media: Media) -> tuple[str, str, str, str]:
    return media.visibility, _key(media), media.get_absolute_url(), media.title


def _key(media: Media) -> str:
    return f"watch/{media.pk}"


def _is_public(media: Media) -> bool:
    return Media.objects.filter(pk=media.pk, visibility=Visibility.PUBLIC).exists()


def saved(instance: Media, using: str, **_: Any) -> None:
    """post_save of Media."""
    if instance.visibility != Visibility.PUBLIC:
        activity.take_back(_key(instance), using)


def deleted(instance: Media, using: str, **_: Any) -> None:
    """post_delete of Media."""
    activity.take_back(_key(instance), using)
