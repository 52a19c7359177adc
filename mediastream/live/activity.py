"""Cameras that start, told to the topic `activity` while they are public."""

from typing import Any

from django.urls import reverse

from mediastream.access import Visibility
from mediastream.feeds import activity, hub
from mediastream.live.models import Camera
from mediastream.live.terms import Terms
from mediastream.request_threads import in_background


def tell_started(slug: str, terms: Terms) -> None:
    """By its slug, which is what an address names: its row may not be asked for here, on the loop."""
    if not hub.serves():  # a command, or a server that nobody has asked for a topic yet
        return
    event = activity.happened("started", terms.visibility, _key(slug), reverse("live:camera", args=[slug]), slug)
    if event is not None:
        in_background(lambda: activity.tell(event, lambda: _is_public(slug)))


def _is_public(slug: str) -> bool:
    return Camera.objects.filter(slug=slug, visibility=Visibility.PUBLIC).exists()


def remember(instance: Camera, **_: Any) -> None:
    """post_init: the slug by which it was told of."""
    if "slug" in instance.__dict__:
        instance.former_slug = instance.slug  # type: ignore[attr-defined]


def saved(instance: Camera, using: str, **_: Any) -> None:
    """post_save of Camera."""
    former = getattr(instance, "former_slug", instance.slug)
    if former and former != instance.slug:
        activity.take_back(_key(former), using)
    if instance.visibility != Visibility.PUBLIC:
        activity.take_back(_key(instance.slug), using)
    remember(instance)


def deleted(instance: Camera, using: str, **_: Any) -> None:
    """post_delete of Camera."""
    activity.take_back(_key(instance.slug), using)


def _key(slug: str) -> str:
    return f"live/{slug}"
