"""Static files, by the same byte serving as everything else.

`collectstatic` gives each file a name with a hash of its content, so that it may be kept for ever. Only
names of its manifest are served: a path from outside is looked up, never joined to a folder.
"""

import mimetypes
from pathlib import Path

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.http import HttpRequest, HttpResponseBase

from mediastream.errors import Unknown
from mediastream.faults import allow
from mediastream.responses import file_response

FOR_EVER = "public, max-age=31536000, immutable"


@allow("GET", "HEAD")
async def static(request: HttpRequest, name: str) -> HttpResponseBase:
    storage = staticfiles_storage
    hashed = set(storage.hashed_files.values()) if isinstance(storage, ManifestStaticFilesStorage) else set()
    if name not in hashed:
        raise Unknown("There is no such static file.")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    content_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    path = Path(storage.path(name))
    return await file_response(request, path, identity=name, content_type=content_type, cache_control=FOR_EVER)
