"""Jobs in the admin, by its own forms."""

import pytest
from django.test import Client

from tests.media import Clips
from tests.media_library.conftest import client_of, collect_static, make_clip, make_visitor
from transcode.jobs import queueing
from transcode.jobs.admin import JobAdmin, told
from transcode.jobs.models import Job, Kind, State

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(clips: Clips) -> Job:
    collect_static()
    return queueing.enqueue(Kind.POSTER, make_clip(clips, "silent.mp4"))


@pytest.fixture
def admin() -> Client:
    return client_of(make_visitor("superuser"))


def page(job: Job) -> str:
    return f"/admin/jobs/job/{job.pk}/change/"


def test_a_jobs_page_has_the_button_that_makes_sense(job: Job, admin: Client) -> None:
    shown = admin.get(page(job)).content.decode()
    assert 'name="_cancel"' in shown
    assert 'name="_retry"' not in shown
    assert 'name="_save"' not in shown
    answer = admin.post(page(job), {"_cancel": "1"}, follow=True).content.decode()
    assert "Poster of Item: cancelled" in answer
    assert 'name="_retry"' in answer
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert "queued again" in admin.post(page(job), {"_retry": "1"}, follow=True).content.decode()
    job.refresh_from_db()
    assert (job.state, job.ended_at) == (State.QUEUED, None)


def test_a_form_that_was_opened_before_writes_nothing_back(
    job: Job, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the form's read of the row and its save, the job goes on."""
    read = JobAdmin.get_object

    def get_object(*given: object) -> object:
        found = read(*given)  # type: ignore[arg-type]
        queueing.claim(job.pk)
        return found

    monkeypatch.setattr(JobAdmin, "get_object", get_object)
    assert admin.post(page(job), {"_save": "Save"}).status_code == 302
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.RUNNING, 1)


@pytest.mark.parametrize(("visitor", "status"), [("staff", 403), ("member", 302)])
def test_who_may_not_change_jobs_has_no_buttons(job: Job, visitor: str, status: int) -> None:
    assert client_of(make_visitor(visitor)).post(page(job), {"_cancel": "1"}).status_code == status
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_how_far_it_is() -> None:
    assert told(Job(state=State.RUNNING, percent=41.7, speed=1.634)) == "running 42 %, 1.63x as fast as it plays"
    assert told(Job(state=State.RUNNING)) == "running"
    assert told(Job(state=State.FAILED, percent=41.7)) == "failed"
