from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import Client

from mediastream import drain

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready"])
def test_all_is_well(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200


def test_it_says_what_is_missing(client: Client, settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "gone"
    settings.FFMPEG = "no-such-ffmpeg"
    drain.begin()
    response = client.get("/healthz/ready")
    assert response.status_code == 503
    said = response.json()
    assert said["status"] == "unavailable"
    assert set(said["faults"]) == {"data_dir", "ffmpeg", "server"}
    assert response["Cache-Control"] == "no-store"


def test_a_database_that_refuses(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: QuerySet) -> bool:  # type: ignore[type-arg]
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(QuerySet, "aexists", refuse)
    response = client.get("/healthz/ready")
    assert response.status_code == 503
    assert set(response.json()["faults"]) == {"database"}


def test_a_server_that_stops_is_still_alive(client: Client) -> None:
    """Else its supervisor would kill it while its last downloads end."""
    drain.begin()
    assert client.get("/healthz/live").status_code == 200
    assert client.get("/healthz/ready").json()["faults"] == {"server": "stopping"}


def test_nobody_has_to_sign_in_nor_is_anything_asked_of_a_session(client: Client) -> None:
    assert "Set-Cookie" not in client.get("/healthz/ready")
