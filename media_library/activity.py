"""What goes on in the library, for the topic `activity`. It is anybody's to read, so it tells of public items alone."""

from typing import Any

from media_library.models import Media
from mediastream.access import Visibility
from mediastream.feeds import hub
from mediastream.feeds.events import Event


def tell_stored(media: Media, **_: Any) -> None:
    """Receives media_ready."""
    if media.visibility == Visibility.PUBLIC:
        said = {"what": "stored", "title": media.title, "watch": media.get_absolute_url()}
        hub.publish_on_commit("activity", Event(said, "stored"))
