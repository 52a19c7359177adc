"""Jobs in the admin: how far each is, and why it failed; cancel and retry."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import date
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from media_library.admin import MediaAdmin
from media_library.models import Media
from mediastream.access import visible_to
from transcode import fallback, hardware
from transcode.jobs import asking, queueing
from transcode.jobs.models import Job, Kind, State
from transcode.jobs.topics import told

LIVE: Any = forms.Script("mediastream/jobs.js", type="module")
SHOWN = 10  # of an item's jobs, the latest

# django-q2's own pages: its messages are not the jobs, and to change them there would only confuse the two.
admin.site.unregister([model for model in (Failure, OrmQ, Schedule, Success) if admin.site.is_registered(model)])


def shown(job: Job) -> SafeString:
    """For jobs.js, which keeps it true."""
    bar: SafeString | str = ""
    if job.state == State.RUNNING and job.percent is not None:
        bar = format_html('<progress max="100" value="{}"></progress>', job.percent)
    return format_html('<span data-job="{}" data-state="{}">{} {}</span>', job.pk, job.state, told(job), bar)


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    list_display = ("kind", "item", "progress", "reason", "took")
    list_filter = ("state", "kind")
    search_fields = ("media__title", "media__original_name")
    list_select_related = ("media",)
    fields = ("kind", "item", "progress", "reason", "log", "attempts", "created_at", "started_at", "ended_at")
    readonly_fields = fields
    actions = ("cancel", "retry")

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(js=[LIVE])

    @admin.display(description="state")
    def progress(self, job: Job) -> SafeString:
        return shown(job)

    @admin.display(description="when", ordering="created_at")
    def took(self, job: Job) -> str:
        asked = date(job.created_at, "M j, H:i")
        if job.started_at is None or job.ended_at is None:
            return asked if job.started_at is None else f"since {date(job.started_at, 'H:i:s')}"
        return f"{asked}, in {(job.ended_at - job.started_at).total_seconds():.1f} s"

    @admin.display(description="FFmpeg's last lines")
    def log(self, job: Job) -> SafeString:
        return format_html("<pre>{}</pre>", job.tail) if job.tail else SafeString("none")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Of the items that this person may see."""
        seen = Media.objects.filter(visible_to(request.user))
        return super().get_queryset(request).filter(media__in=seen)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        told = {"encoder": hardware.chosen(), "trials": hardware.trials(), "failure": fallback.last()}
        return super().changelist_view(request, {**(extra_context or {}), **told})

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        """Nothing of a job is edited, and its row has moved on since it was read."""

    def response_change(self, request: HttpRequest, obj: Job) -> HttpResponse:
        """The buttons of a job's own page."""
        if "_cancel" in request.POST:
            self.cancel(request, [obj])
        elif "_retry" in request.POST:
            self.retry(request, [obj])
        return HttpResponseRedirect(request.path)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="item", ordering="media__title")
    def item(self, job: Job) -> SafeString:
        page = reverse("admin:media_library_media_change", args=[job.media_id])
        return format_html('<a href="{}">{}</a>', page, job.media)

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, jobs: Iterable[Job]) -> None:
        self._each(request, jobs, queueing.cancel, "cancelled", "was over")

    @admin.action(description="Retry", permissions=["change"])
    def retry(self, request: HttpRequest, jobs: Iterable[Job]) -> None:
        self._each(request, jobs, queueing.retry, "queued again", "is not over, or another one is waiting")

    def _each(self, request: HttpRequest, jobs: Iterable[Job], act: Callable[[int], bool], yes: str, no: str) -> None:
        for job in jobs:
            done = act(job.pk)
            self.message_user(request, f"{job}: {yes if done else no}", messages.SUCCESS if done else messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        """What runs is left by its worker as soon as that sees the row gone."""
        queueing.cancel(obj.pk)
        super().delete_model(request, obj)


# What lies below has registered, perhaps with more on its page than the library's own.
Registered: Any = type(admin.site.get_model_admin(Media)) if admin.site.is_registered(Media) else MediaAdmin


class MediaWithJobs(Registered):  # type: ignore[misc]
    """The library's page of an item, with its jobs: the library itself does not know of them.

    A table, and no inline form: scripts that upload by this form need not know of jobs either.
    """

    actions = (*Registered.actions, "optimise", "encode", "derived")

    @admin.action(description="Optimise for streaming (no loss; replaces the file)", permissions=["change"])
    def optimise(self, request: HttpRequest, queryset: QuerySet[Media]) -> None:
        self._ask(request, queryset, lambda _: [Kind.REMUX])

    @admin.action(description="Encode for browsers (with some loss; replaces the file)", permissions=["change"])
    def encode(self, request: HttpRequest, queryset: QuerySet[Media]) -> None:
        self._ask(request, queryset, lambda _: [Kind.ENCODE])

    @admin.action(description="Make poster, thumbnails and subtitles", permissions=["change"])
    def derived(self, request: HttpRequest, queryset: QuerySet[Media]) -> None:
        self._ask(request, queryset, asking.deserved)

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(js=[LIVE])  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: Media | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "jobs")

    def get_fieldsets(self, request: HttpRequest, obj: Media | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [*fieldsets, ("Jobs", {"fields": ("jobs",)})] if obj else fieldsets

    @admin.display(description="latest")
    def jobs(self, media: Media) -> SafeString:
        rows = (
            (
                reverse("admin:jobs_job_change", args=[job.pk]), job.get_kind_display(), shown(job),
                f": {job.reason}" if job.reason else "",
            )
            for job in Job.objects.filter(media=media)[:SHOWN]
        )  # fmt: skip
        return format_html_join("", '<div><a href="{}">{}</a> {}{}</div>', rows) or SafeString("none")

    def _ask(self, request: HttpRequest, queryset: QuerySet[Media], kinds: Callable[[Media], list[Kind]]) -> None:
        for media in queryset:
            for kind in kinds(media):
                queueing.enqueue(kind, media)
        jobs = format_html('<a href="{}">Jobs</a>', reverse("admin:jobs_job_changelist"))
        self.message_user(request, format_html("Queued; {} tells how far they are.", jobs), messages.SUCCESS)


if admin.site.is_registered(Media):
    admin.site.unregister(Media)
admin.site.register(Media, MediaWithJobs)
