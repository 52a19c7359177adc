"""The whole HTTP surface, one table."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from mediastream import health, keeping, staticfiles
from mediastream.metrics import metrics

admin.site.site_header = admin.site.site_title = "mediastream"
admin.site.index_title = "Library, cameras and people"

urlpatterns = [
    path("", include("media_library.views")),
    path("", include("transcode.views")),
    path("", include("transcode.thumbnail_views")),
    path("", include("transcode.hls_views")),
    path("live/<slug:slug>/recording/save", keeping.save, name="save_recording"),
    path("live/", include(("mediastream.live.views", "live"))),
    path("feeds/", include(("mediastream.feeds.views", "feeds"))),
    path("", include("mediastream.chat.views")),
    path("accounts/login/", LoginView.as_view(template_name="login.html"), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
    path("metrics", metrics),
    path("static/<path:name>", staticfiles.static),
    path("favicon.ico", staticfiles.favicon),
]

handler400 = "mediastream.faults.bad_request"
handler403 = "mediastream.faults.forbidden"
handler404 = "mediastream.faults.not_found"
handler500 = "mediastream.faults.server_error"
