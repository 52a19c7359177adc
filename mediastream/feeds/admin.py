"""Topics in the admin: who reads, how the source is, and the token by which scripts publish."""

from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mediastream.access import is_administrator
from mediastream.feeds import hub, running
from mediastream.feeds.known import known
from mediastream.feeds.models import Topic


@admin.register(Topic)
class TopicAdmin(admin.ModelAdmin):
    fieldsets = (
        (None, {"fields": ("name", "visibility", "policy", "history", "key_field", "compressed")}),
        ("Source", {"fields": ("source", "rate", "always_on", "state")}),
        ("Publishing", {"fields": ("token",)}),
    )
    readonly_fields = ("state", "token")
    list_display = ("name", "visibility", "policy", "source", "state", "readers")
    list_filter = ("visibility",)
    search_fields = ("name",)
    actions = ("new_tokens",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Administrators only: a source can be any address this server reaches."""
        return is_administrator(request.user)

    has_add_permission = has_module_permission

    def has_view_permission(self, request: HttpRequest, obj: Topic | None = None) -> bool:
        return is_administrator(request.user)

    has_change_permission = has_delete_permission = has_view_permission

    def get_fieldsets(self, request: HttpRequest, obj: Topic | None = None) -> Any:
        """What is not stored yet has no token."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:-1]

    @admin.display(description="source is")
    def state(self, topic: Topic) -> str:
        return running.state(topic.name) if topic.source else "none: events are published"

    @admin.display(description="readers")
    def readers(self, topic: Topic) -> int:
        feed = hub.feeds().get(topic.name)
        return feed.subscribers if feed is not None else 0

    @admin.display(description="token")
    def token(self, topic: Topic) -> SafeString:
        line = "curl -d '{{\"said\": \"hello\"}}' -H 'Authorization: Bearer {}' ORIGIN/feeds/{}/publish"
        return format_html("{}<pre>" + line + "</pre>", *[known(topic).token] * 2, quote(topic.name, safe=""))

    @admin.action(description="Make new tokens; the old ones end")
    def new_tokens(self, _request: HttpRequest, chosen: QuerySet[Topic]) -> None:
        for topic in chosen:
            topic.token_version = F("token_version") + 1
            topic.save(update_fields=["token_version"])
