"""Static files, by the same byte serving as everything else.

`collectstatic` gives each file a name with a hash of its content, so that it may be kept for ever. Only
names of its manifest are served: a path from outside is looked up, never joined to a folder.
"""

import mimetypes
from functools import cache
from pathlib import Path

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from mediastream.errors import Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import file_response
from mediastream.streams import Label

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=0, must-revalidate"


@cache
def known_names() -> dict[str, str]:
    """Each name that may be served, with its Cache-Control. Plain names are what DEBUG writes into pages."""
    if not isinstance(staticfiles_storage, ManifestStaticFilesStorage):
        return {}
    plain = dict.fromkeys(staticfiles_storage.hashed_files, ASK_AGAIN)
    return plain | dict.fromkeys(staticfiles_storage.hashed_files.values(), FOR_EVER)


@lean
@allow("GET", "HEAD")
async def static(request: HttpRequest, name: str) -> HttpResponseBase:
    cache_control = known_names().get(name)
    if cache_control is None:
        raise Unknown("There is no such static file.")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    content_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    path = Path(staticfiles_storage.path(name))
    # A plain name's content changes under it; its hashed name is the one never used again.
    identity = staticfiles_storage.hashed_files.get(name, name)  # type: ignore[attr-defined]
    label = Label("static", name)
    return await file_response(
        request, path, identity=identity, content_type=content_type, cache_control=cache_control, label=label
    )


@allow("GET", "HEAD")
async def favicon(request: HttpRequest) -> HttpResponseBase:
    """Where browsers look on pages that name no icon, the admin's among them."""
    return HttpResponseRedirect(staticfiles_storage.url("mediastream/icon.svg"))
