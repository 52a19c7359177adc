"""Moderation: messages are hidden, shown again or deleted, and their authors muted."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mediastream.access import is_administrator
from mediastream.chat import rooms
from mediastream.chat.models import Message, Mute


class ForAdministrators(admin.ModelAdmin):
    """Alone: a room may be that of somebody's private item."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_administrator(request.user)

    has_add_permission = has_module_permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request.user)

    has_change_permission = has_delete_permission = has_view_permission


@admin.register(Message)
class MessageAdmin(ForAdministrators):
    list_display = ("said", "author", "muted", "said_at", "where", "hidden")
    list_filter = ("hidden",)
    list_select_related = ("author",)
    search_fields = ("text", "author__username", "room")
    fields = ("text", "author", "said_at", "where", "hidden")
    readonly_fields = ("text", "author", "said_at", "where")
    actions = ("hide", "show_again", "mute", "unmute")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="text", ordering="text")
    def said(self, message: Message) -> SafeString:
        """A word as long as a message would push all else out of the page."""
        return format_html('<bdi style="overflow-wrap: anywhere">{}</bdi>', message.text)

    @admin.display(description="room", ordering="room")
    def where(self, message: Message) -> SafeString | str:
        page = rooms.page(message.room)
        return format_html('<a href="{}">{}</a>', page, page) if page else message.room

    @admin.display(description="muted", boolean=True)
    def muted(self, message: Message) -> bool:
        return message.is_muted  # type: ignore[attr-defined, no-any-return]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        is_muted = Exists(Mute.objects.filter(user=OuterRef("author")))
        return super().get_queryset(request).annotate(is_muted=is_muted)  # type: ignore[no-any-return]

    @admin.action(description="Hide")
    def hide(self, request: HttpRequest, chosen: QuerySet[Message]) -> None:
        self._set_hidden(chosen, hidden=True)

    @admin.action(description="Show again")
    def show_again(self, request: HttpRequest, chosen: QuerySet[Message]) -> None:
        self._set_hidden(chosen, hidden=False)

    def _set_hidden(self, chosen: QuerySet[Message], *, hidden: bool) -> None:
        """One by one, as pages are told of each; the oldest first, as they were said."""
        for message in chosen.filter(hidden=not hidden).order_by("pk"):
            message.hidden = hidden
            message.save(update_fields=["hidden"])

    @admin.action(description="Mute their authors")
    def mute(self, request: HttpRequest, chosen: QuerySet[Message]) -> None:
        for author in set(chosen.values_list("author", flat=True)):
            Mute.objects.get_or_create(user_id=author)
        self.message_user(request, "They may read, and not write.")

    @admin.action(description="Let their authors write again")
    def unmute(self, request: HttpRequest, chosen: QuerySet[Message]) -> None:
        Mute.objects.filter(user__in=chosen.values("author")).delete()
        self.message_user(request, "They may write again.")


@admin.register(Mute)
class MuteAdmin(ForAdministrators):
    list_display = ("user", "since", "note")
    raw_id_fields = ("user",)
