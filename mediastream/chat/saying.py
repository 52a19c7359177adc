"""What may be said, by whom and how often; and a room keeps its latest messages alone. Synchronous."""

import math
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from mediastream.chat.models import LONGEST, Message, Mute
from mediastream.chat.topic import KEPT
from mediastream.errors import BadInput, NoRight, TooMany

MOST = 5  # messages of one person, in all rooms, in
WITHIN = timedelta(seconds=10)

UNSEEN = ("Cc", "Cn", "Co", "Cs")  # categories of characters that no screen shows, halves of pairs among them


def cleaned(text: str) -> str:
    """One line, without what cannot be seen. Raises BadInput."""
    if len(text) > 10 * LONGEST:
        raise BadInput(f"A message has {LONGEST} characters at most.")
    seen = (letter for letter in text if letter.isspace() or unicodedata.category(letter) not in UNSEEN)
    line = " ".join("".join(seen).split())
    if not line or len(line) > LONGEST:
        raise BadInput(f"A message has 1 to {LONGEST} characters; this one has {len(line)}.")
    return line


def say(room: str, author: Any, text: str) -> Message:
    """Raises BadInput, NoRight or TooMany."""
    line, now = cleaned(text), timezone.now()
    with transaction.atomic():
        if Mute.objects.filter(user=author).exists():
            raise NoRight("An administrator has muted you: you may read, and not write.")
        _check_rate(author, now)
        message = Message.objects.create(room=room, author=author, text=line, said_at=now)
        _prune(room)
    return message


def _check_rate(author: Any, now: datetime) -> None:
    """By the clock on the wall: what lies ahead of it, as it was put back, does not count."""
    latest = Message.objects.filter(author=author, said_at__range=(now - WITHIN, now)).order_by("-said_at")
    times = list(latest.values_list("said_at", flat=True)[:MOST])
    if len(times) == MOST:
        wait = math.ceil((times[-1] + WITHIN - now).total_seconds()) or 1
        raise TooMany(f"{MOST} messages in {WITHIN.seconds} seconds are enough; go on in {wait} s.", wait)


def _prune(room: str) -> None:
    too_old = Message.objects.filter(room=room).values_list("pk", flat=True)[KEPT : KEPT + 1].first()
    if too_old is not None:
        old: Any = Message.objects.filter(room=room, pk__lte=too_old)
        old.for_its_age = True
        old.delete()
