"""Who may have what, as one table: every address of the URLconf, by role and method.

The tests that ask it (core: Django's clients and WSGI; system: the real server) take the addresses from the
URLconf, so that a new one without a row here fails.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

ROLES = ("anonymous", "inactive", "member", "owner", "staff", "superuser")
VISIBILITIES = ("public", "members", "private")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")

# Who may see an item that belongs to "owner".
MAY_SEE = {
    "public": set(ROLES),
    "members": {"member", "owner", "staff", "superuser"},
    "private": {"owner", "superuser"},
}
# A camera belongs to no one: private means administrators.
MAY_SEE_CAMERA = MAY_SEE | {"private": {"superuser"}}
# A session of an account that has been closed is worth no more than none.
SIGNED_OUT = {"anonymous", "inactive"}

# open: anybody's. metrics: this machine's, see tests/core/test_metrics.py. item, camera: bytes, by visibility.
# item page, camera page: the same, but a person is asked to sign in. camera span: the same, but which span is to be
# said. camera form, item form: take POST alone. item part: the same as item, of a part it may not have. topic: as a
# camera, and endless. room: POST by who may see the item and is signed in. token: POST by a script with the topic's
# token. admin: Django's own and ours beside it, staff's as far as their permissions go. form: what Django's sign-in
# takes.
ROWS = {
    "": "open",
    "accounts/login/": "form",
    "accounts/logout/": "form",
    "admin/": "admin",
    "admin/(?P<url>.*)$": "admin",
    "admin/^(?P<app_label>feeds|chat|live|streams|jobs|media_library|auth)/$": "admin",
    "admin/autocomplete/": "admin",
    "admin/jsi18n/": "admin",
    "admin/login/": "form",
    "admin/logout/": "admin",
    "admin/password_change/": "admin",
    "admin/password_change/done/": "admin",
    "admin/r/<path:content_type_id>/<path:object_id>/": "admin",
    "chat/<str:room>/messages": "room",
    "favicon.ico": "open",
    "feeds/": "open",
    "feeds/<str:topic>/events": "topic",
    "feeds/<str:topic>/publish": "token",
    "feeds/<str:topic>/stream": "topic",
    "healthz/live": "open",
    "healthz/ready": "open",
    "live/": "open",
    "live/<slug:slug>/": "camera page",
    "live/<slug:slug>/mjpeg": "camera",
    "live/<slug:slug>/recording.json": "camera",
    "live/<slug:slug>/recording.mp4": "camera span",
    "live/<slug:slug>/recording/save": "camera form",
    "live/<slug:slug>/snapshot.jpg": "camera",
    "live/<slug:slug>/stream.mp4": "camera",
    "media/<uuid:media_id>/file": "item",
    "media/<uuid:media_id>/hls/<slug:rendition>/<str:part>": "item part",
    "media/<uuid:media_id>/hls/<slug:rendition>/index.m3u8": "item part",
    "media/<uuid:media_id>/hls/leave": "item form",
    "media/<uuid:media_id>/hls/master.m3u8": "item part",
    "media/<uuid:media_id>/hls/subtitles-<int:stream>/index.m3u8": "item part",
    "media/<uuid:media_id>/playback.json": "item",
    "media/<uuid:media_id>/poster.jpg": "item",
    "media/<uuid:media_id>/stream.mp4": "item",
    "media/<uuid:media_id>/thumbnails.vtt": "item",
    "media/<uuid:media_id>/thumbnails/<int:number>.jpg": "item",
    "media/<uuid:media_id>/subtitles/<int:stream>.vtt": "item part",
    "metrics": "metrics",
    "static/<path:name>": "open",
    "watch/<uuid:media_id>/": "item page",
}
for _model in (
    "auth/group",
    "auth/user",
    "chat/message",
    "chat/mute",
    "feeds/topic",
    "jobs/job",
    "live/camera",
    "media_library/media",
):
    for _page in (
        "",
        "<path:object_id>/",
        "add/",
        *(f"<path:object_id>/{act}/" for act in ("change", "delete", "history")),
    ):
        ROWS[f"admin/{_model}/{_page}"] = "admin"
ROWS["admin/auth/user/<id>/password/"] = "admin"
ROWS["admin/streams/openstream/"] = ROWS["admin/streams/openstream/<int:number>/end/"] = "admin"
ROWS["admin/live/camera/test/"] = ROWS["admin/live/camera/<int:stored>/test/"] = "admin"

# What an account with staff status and no permission has: the way in, its own password, and texts for scripts.
STAFF_HAS = {"admin/", "admin/jsi18n/", "admin/logout/", "admin/password_change/", "admin/password_change/done/"}

STARTS_FFMPEG = ("stream.mp4", "mjpeg", "snapshot.jpg")


# Where it is not by who asks.
FORM = {200, 302, 403, 405}
BY_METHOD = {
    "form": dict.fromkeys(METHODS, FORM),
    "token": {"POST": {401}},
    "camera form": {method: {400, 401, 403, 405} for method in METHODS if method not in ("GET", "HEAD")},
}


@dataclass(frozen=True)
class Case:
    route: str
    kind: str
    visibility: str
    method: str

    def path(self, item: str, slug: str) -> str:
        """`item`, `slug`: of this visibility."""
        values = {
            "media_id": item,
            "slug": slug,
            "topic": slug,
            "room": f"watch.{item}",
            "name": "mediastream/icon.svg",
            "app_label": "auth",
            "number": "0",
            "url": "nowhere",
        }
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda match: values[match[1]], self.route)
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values.get(match[1], "1"), path)
        return "/" + re.sub(r"[\^$]", "", path)

    @property
    def starts_ffmpeg(self) -> bool:
        return self.route.endswith(STARTS_FFMPEG)

    @property
    def endless(self) -> bool:
        return self.starts_ffmpeg or self.kind == "topic"

    def statuses(self, role: str) -> set[int]:
        """What this role may be answered."""
        if self.kind == "admin":
            return self._admin(role)
        if self.kind in ("item form", "room"):
            return self._item_form(role)
        if self.kind in BY_METHOD:
            return BY_METHOD[self.kind].get(self.method, {405})
        if self.method not in ("GET", "HEAD"):
            return {405}
        if self.kind == "metrics":  # by where from, not by whom
            return {200, 403}
        if self.kind == "open":
            return {302} if self.route == "favicon.ico" else {200, 206}
        if role in (MAY_SEE if self.kind.startswith("item") else MAY_SEE_CAMERA)[self.visibility]:
            return {"camera span": {400}, "item part": {200, 206, 404}}.get(self.kind, {200, 206})
        if role not in SIGNED_OUT:
            return {403}
        return {302} if self.kind.endswith("page") else {401}

    def _item_form(self, role: str) -> set[int]:
        if self.kind == "room" and self.method not in ("GET", "HEAD"):  # the token of a form may be asked for first
            return {403} | self._room(role)
        if self.method != "POST":
            return {405}
        if role in MAY_SEE[self.visibility]:
            return {400}
        return {401} if role in SIGNED_OUT else {403}

    def _room(self, role: str) -> set[int]:
        if self.method != "POST":
            return {405}
        if role in SIGNED_OUT:
            return {401}
        return {400} if role in MAY_SEE[self.visibility] else {403}

    def _admin(self, role: str) -> set[int]:
        if role == "superuser" or (role == "staff" and self.route in STAFF_HAS):
            return {200, 302, 400, 403, 404, 405}
        if role == "staff":
            return {302, 403, 404, 405}
        return {302, 403, 405} if self.method == "POST" or self.route == "admin/logout/" else {302}


def topics(item: str, slug: str, number: str) -> dict[str, set[str]]:
    """The topics of families that are about what has this visibility, with the roles that may read them; `slug` is the
    visibility's name, and `number` that of the camera's row."""
    return {
        f"live.{slug}": MAY_SEE_CAMERA[slug],
        f"chat.live.{number}": MAY_SEE_CAMERA[slug],
        f"chat.watch.{item}": MAY_SEE[slug],
        f"jobs.{item}": MAY_SEE[slug],
        "jobs": {"superuser"},
        "sessions": {"superuser"},
    }


# Which are nothing at all, whoever asks. An item is named in one way alone, or its room had a second one beside it.
NO_TOPICS = ("jobs.", "chat.watch.", "chat.live.0", "chat.live.01", "chat.nowhere.1", "live.nowhere", "chat", "jobs.x")


def cases() -> Iterator[Case]:
    """Of every address of the URLconf. A visibility matters to items and cameras alone."""
    for route in sorted(set(routes(get_resolver()))):
        kind = ROWS[route]
        guarded = kind.startswith(("item", "camera", "topic", "room"))
        for visibility in VISIBILITIES if guarded else ("public",):
            for method in METHODS if guarded else ("GET", "POST"):
                yield Case(route, kind, visibility, method)


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route
