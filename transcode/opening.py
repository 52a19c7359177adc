"""A plan (progressive.py) as a body, or as the file that came of it before. Lives on the home loop."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

from media_library.items import Item
from mediastream import ffmpeg
from mediastream.bodies import Body
from mediastream.errors import TranscodeFailed, Unknown
from transcode import argv, fallback, hardware, hls, progressive, registry, shared
from transcode.encoders import SOFTWARE, Encoder
from transcode.index import Index
from transcode.player import Player
from transcode.profiles import Profile
from transcode.progressive import Plan
from transcode.renditions import Source

logger = logging.getLogger(__name__)
MOST = 0.5  # of the cache's bound, for one stream: a long film would drive out all else, and at the end itself


@dataclass(frozen=True)
class Kept:
    """`identity`: never of other bytes. The same command does not always give the same, so it says when it was made."""

    path: Path
    identity: str


async def planned(item: Item, player: Player, profile: Profile | None, start: float) -> Plan:
    """From the beginning nothing needs the file's index, which takes a child a moment the first time."""
    source = await hls.source_of(item) if start and item.video else Source(item.facts, Index())
    return progressive.plan(source, player, profile, start)


async def kept(item: Item, plan: Plan) -> Kept | None:
    """What an earlier viewer's encode has left, if it is kept."""
    if plan.start or not plan.encodes:
        return None
    key = await _key(item, plan)
    path = await hls.store().find(key)
    try:
        return Kept(path, f"{key} {path.stat().st_mtime_ns}") if path is not None else None
    except FileNotFoundError:
        return None


async def opened(item: Item, plan: Plan) -> Body:
    """Raises Unknown, Busy, TranscodeFailed. An encode from the beginning is shared, and kept once it is whole; what is
    merely copied costs less than a second copy of it in the cache would be worth. What is too long for the cache is not
    shared either: there is nowhere for those behind to read it from."""
    if not plan.encodes:
        return await _begun(item, plan)
    if plan.start:
        return await _part_of_kept(item, plan) or await _begun(item, plan)
    bound = plan.most_bytes(item.facts, _size(item))
    if bound is None or bound > settings.TRANSCODE_CACHE_SIZE * MOST:
        return await _begun(item, plan)
    return await shared.opened(await _key(item, plan), lambda: _begun(item, plan), hls.store())


async def _part_of_kept(item: Item, plan: Plan) -> Body | None:
    """Copied out of the whole, where that was encoded before."""
    whole = await kept(item, replace(plan, start=0.0, x264=None))
    if whole is None:
        return None
    video, audio = (None if plan.video is None else 0), (None if plan.audio is None else int(plan.video is not None))
    part = Plan(plan.profile, plan.start + argv.SHIFT, video, audio, plan.copied or "h264", True)
    try:
        return await _by(whole.path, part, SOFTWARE)
    except TranscodeFailed as fault:
        logger.warning("%s of the cache cannot be read: %s", whole.identity, fault)
        return None


async def _key(item: Item, plan: Plan) -> str:
    return f"{hls.folder_of(item)}/stream-{await hls.made_by(_command(item.path, plan, _encoder(plan)))}.mp4"


def _encoder(plan: Plan) -> Encoder:
    return hardware.chosen() if plan.encodes_video else SOFTWARE


async def _begun(item: Item, plan: Plan) -> Body:
    _size(item)
    if not plan.encodes_video:
        return await _by(item.path, plan, SOFTWARE)
    failures = (TranscodeFailed, registry.Silent)
    return await fallback.encoded(str(item.id), lambda encoder: _by(item.path, plan, encoder), failures)


async def _by(path: Path, plan: Plan, encoder: Encoder) -> Body:
    command = _command(path, plan, encoder)
    limits, light = plan.profile.limits(encoder), not plan.encodes_video
    return await registry.open_transcode(command, settings.TRANSCODES, settings.CHUNK_SIZE, limits, light)


def _size(item: Item) -> int:
    """Bytes. Raises Unknown if the file is gone."""
    try:
        return item.path.stat().st_size
    except OSError:
        raise Unknown("The file of this item is gone from the storage; upload it again.") from None


def _command(path: Path, plan: Plan, encoder: Encoder) -> list[str]:
    return argv.progressive(
        ffmpeg.executable(settings.FFMPEG), path, plan.profile, plan.start, video=plan.video, audio=plan.audio,
        encoder=encoder, copied=plan.copied, copies_audio=plan.copies_audio, x264=plan.x264,
    )  # fmt: skip
