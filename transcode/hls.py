"""An item's HLS as this process makes it: its index, its renditions as work to do, its subtitles; one cache for all.

All of it is found by what it was made from: the stored name, which is never used again, what the probe found, the
command line and FFmpeg's version. So nothing in the cache is ever out of date. Lives on the home loop.
"""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from media_library.facts import Facts
from media_library.items import Item
from mediastream import ffmpeg, process
from mediastream.errors import Busy, TranscodeFailed, Unknown
from mediastream.ffmpeg import last_words
from mediastream.limits import Limits
from mediastream.process import ChildTimeout
from transcode import hardware, hls_argv, index, registry
from transcode.cache import Cache
from transcode.decision import texts
from transcode.derived import SUBTITLES, token
from transcode.encoders import SOFTWARE, Encoder
from transcode.renditions import Rendition, Source, named
from transcode.session import Work
from transcode.sessions import Sessions

SOURCES = 256  # items whose index is kept in memory
SUBTITLES_DEADLINE = 120.0  # seconds: the whole file is read for them
SUBTITLES_MOST = 16 * 1024 * 1024  # bytes
LIMITS = Limits(address_space=4 * 1024**3, cpu_seconds=120)

_sources: OrderedDict[str, Source] = OrderedDict()
_works: OrderedDict[tuple[str, str, Encoder], Work] = OrderedDict()
_making: dict[str, "asyncio.Task[Any]"] = {}  # by key: who asks for the same waits for the same


@cache
def store() -> Cache:
    return Cache(settings.TRANSCODE_CACHE, settings.TRANSCODE_CACHE_SIZE)


@cache
def sessions() -> Sessions:
    return Sessions(store(), settings.TRANSCODES)


def _executable() -> str:
    return ffmpeg.executable(settings.FFMPEG)


def folder_of(item: Item) -> str:
    """Its folder in the cache."""
    return _folder(item.name, item.facts)


@lru_cache(4 * SOURCES)
def _folder(name: str, facts: Facts) -> str:
    said = json.dumps([name, asdict(facts)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


async def _once(key: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Shielded: who leaves while others wait does not end it. Each kind of work has a deadline of its own."""
    task = _making.get(key)
    if task is None:
        task = _making[key] = asyncio.create_task(work(), name=f"hls {key}")
        task.add_done_callback(lambda _: _making.pop(key, None))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


async def source_of(item: Item) -> Source:
    """Facts and index. Raises Unknown if the file is gone."""
    folder = folder_of(item)
    if folder not in _sources:
        if not item.path.exists():
            raise Unknown("The file of this item is gone from the storage; upload it again.")
        known: index.Index = await _once(f"{folder}/index", lambda: _index(item, folder))
        _sources[folder] = Source(item.facts, known)
        while len(_sources) > SOURCES:
            _sources.popitem(last=False)
    return _sources[folder]


async def _index(item: Item, folder: str) -> index.Index:
    key = f"{folder}/index.json"
    kept = await store().find(key)
    if kept is not None:
        try:
            return index.Index.from_json(json.loads(await asyncio.to_thread(kept.read_bytes)))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # evicted meanwhile, or of another version: it is read anew
    read = await index.read(item.path)
    if read.lengths:
        await store().put(key, read.to_json())
    return read


async def work_named(item: Item, name: str) -> Work:
    """What a session needs to make this rendition. Raises Unknown if the item has none of this name."""
    encoder = hardware.chosen()
    key = folder_of(item), name, encoder
    if key not in _works:
        rendition = named(name, await source_of(item))
        if rendition is None:
            raise Unknown("This item has no rendition of this name.")
        _works[key] = await _work_of(item, rendition, encoder)
        while len(_works) > 4 * SOURCES:
            _works.popitem(last=False)
    return _works[key]


async def _work_of(item: Item, rendition: Rendition, usual: Encoder) -> Work:
    """`usual`: who encodes it; where that is hardware, software may have to make parts of it."""
    stream = item.facts.streams[rendition.stream]

    def argv(first: int, encoder: Encoder) -> list[str]:
        return hls_argv.segments(
            _executable(), item.path, rendition, first, stream.codec, stream.rate, encoder, mixed=usual is not SOFTWARE
        )

    digest = await made_by(argv(0, usual), rendition.layout)
    return Work(
        f"{folder_of(item)}/{rendition.name}-{digest}", str(item.id), rendition.name, rendition.kind,
        rendition.layout, argv, rendition.profile,
    )  # fmt: skip


async def subtitles(item: Item, stream: int) -> tuple[Path, str]:
    """One text stream as WebVTT: the file, and its key. Its job has made it, or it is made now.

    Raises Unknown, Busy, DiskFull, TranscodeFailed.
    """
    if stream not in texts(item.facts):
        raise Unknown("This item has no text subtitles of this number.")
    kept = SUBTITLES.folder_of(item.id, item.name) / f"{stream}.vtt"
    if await asyncio.to_thread(kept.exists):
        return kept, f"{token(item.name)}-{stream}"
    key = f"{folder_of(item)}/subtitles-{stream}.vtt"
    path: Path | None = await store().find(key)
    if path is None:
        path = await _once(key, lambda: _extract(item, stream, key))
    return path, key


async def _extract(item: Item, stream: int, key: str) -> Path:
    argv = hls_argv.subtitles(_executable(), item.path, {stream: "pipe:1"})
    registry.take_place(settings.TRANSCODES)
    try:
        finished = await process.run(argv, SUBTITLES_DEADLINE, LIMITS, SUBTITLES_MOST)
    except ChildTimeout:
        raise Busy("The subtitles were not read in time; try again.", registry.RETRY_AFTER) from None
    finally:
        registry.give_place_back()
    if finished.returncode != 0:
        raise TranscodeFailed(f"The subtitles cannot be read: {last_words(finished.stderr)}.")
    return await store().put(key, finished.stdout)


async def made_by(*said: object) -> str:
    """What has the same name here was made by the same command of the same FFmpeg."""
    whole = f"{' '.join(map(str, said))} {await _version(_executable())}"
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


_versions: dict[str, str] = {}


async def _version(executable: str) -> str:
    """What FFmpeg says it is: another one encodes otherwise."""
    if executable not in _versions:
        finished = await process.run([executable, "-version"], 20.0)
        _versions[executable] = finished.stdout.decode(errors="replace").partition("\n")[0]
    return _versions[executable]


def begin() -> None:
    """Sweep the cache, in a thread: it may be large."""
    global _sweep
    _sweep = asyncio.create_task(_prepare(), name="sweep of the cache of transcodes")


async def _prepare() -> None:
    await store().ready()
    await _version(_executable())  # else the first viewer would wait for it


_sweep: "asyncio.Task[None] | None" = None


async def close_all() -> None:
    waited = [task for task in (*_making.values(), _sweep) if task is not None]
    for task in waited:
        task.cancel()
    await asyncio.gather(*waited, return_exceptions=True)
    await sessions().close_all()
    await store().settled()
