"""What is told of jobs, and to whom."""

import json

import pytest

from tests.core.test_wsgi import Call
from tests.media_library.conftest import client_of, make_media, make_visitor
from tests.topics import lines_of
from transcode.jobs import queueing, topics
from transcode.jobs.models import Job, Kind, State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed_after")]


def test_an_items_job_from_its_beginning_to_its_end() -> None:
    media, other = make_media(), make_media()
    boss = client_of(make_visitor("superuser")).cookies["sessionid"].value
    calls = [Call(f"/feeds/jobs.{media.pk}/stream"), Call("/feeds/jobs/stream", HTTP_COOKIE=f"sessionid={boss}")]
    of_item, of_all = map(lines_of, calls)
    queueing.enqueue(Kind.REMUX, other)
    job = queueing.enqueue(Kind.POSTER, media)
    claimed = queueing.claim(job.pk)
    assert claimed is not None
    queueing.report(job.pk, percent=41.66, speed=2.0, tail="/var/secret.avi: it says")
    queueing.finish(claimed, State.FAILED, reason="/var/secret.avi is broken")
    told = [next(of_item) for _ in range(4)]
    assert [said["data"]["state"] for said in told] == ["queued", "running", "running", "failed"]
    assert {said["key"] for said in told} == {str(job.pk)}
    assert told[2]["data"] == {
        "job": job.pk, "item": str(media.pk), "kind": "poster", "state": "running", "percent": 41.7, "speed": 2.0,
        "told": "running 42 %, 2x as fast as it plays",
    }  # fmt: skip
    assert "secret" not in json.dumps(told)
    assert [next(of_all)["data"]["item"] for _ in range(2)] == [str(other.pk), str(media.pk)]
    for call in calls:
        call.close()


def test_a_job_that_is_gone_is_not_told_of() -> None:
    job = queueing.enqueue(Kind.POSTER, make_media())
    Job.objects.all().delete()
    topics.tell(job.pk)
