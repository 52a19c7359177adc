import pytest
from django.core.files.base import ContentFile

from media_library.facts import Facts, StreamFacts, browser_type
from media_library.models import Media, State, file_name, poster_name

H264 = StreamFacts("video", "h264", "avc1.42c01e", pixel_format="yuv420p", width=320, height=180)
AAC = StreamFacts("audio", "aac", "mp4a.40.2", channels=2)


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [(None, ""), (0, "0:00"), (0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599.7, "1:00:00"), (36610, "10:10:10")],
)
def test_the_clock_reads_as_people_write_it(seconds: float | None, clock: str) -> None:
    assert Media(duration=seconds).clock == clock


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("Film.MP4", ".mp4"),
        ("no suffix", ""),
        ("a.tar.gz", ".gz"),
        ("evil.mp4\n", ""),
        ("evil.m/../p4", ""),
        ("film.mpé", ""),
        ("film.verylong", ""),
        ("film.", ""),
        ("😀.webm", ".webm"),
    ],
)
def test_a_stored_name_keeps_nothing_of_the_clients_but_a_plain_suffix(name: str, suffix: str) -> None:
    stored = file_name(Media(), name)
    folder, _, rest = stored.partition("/")
    assert folder == "media"
    assert rest[3:].removesuffix(suffix).isalnum()
    assert rest.endswith(suffix)
    assert len(rest) == 3 + 32 + len(suffix)


def test_a_poster_is_a_jpeg_whatever_it_was_called() -> None:
    assert poster_name(Media(), "x.exe").endswith(".jpg")


def test_facts_survive_the_row() -> None:
    facts = Facts("mov,mp4", "video/mp4", 12.5, (H264, AAC))
    media = Media(reason="of an earlier failure")
    media.set_facts(facts)
    assert media.facts == facts
    assert (media.state, media.reason) == (State.READY, "")
    assert media.video == H264


def test_facts_of_a_later_version_are_read_as_far_as_they_are_known() -> None:
    media = Media(streams=[{"kind": "audio", "codec": "aac", "loudness": -23}])
    assert media.facts.streams == (StreamFacts("audio", "aac"),)
    assert media.video is None


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ([H264, AAC], 'video/mp4; codecs="avc1.42c01e, mp4a.40.2"'),
        ([H264], 'video/mp4; codecs="avc1.42c01e"'),
        ([H264, StreamFacts("data", "tmcd")], 'video/mp4; codecs="avc1.42c01e"'),
        ([StreamFacts("video", "mpeg4"), AAC], ""),
        ([StreamFacts("video", "h264", "avc1.f4000d", pixel_format="yuv444p")], ""),
        ([StreamFacts("video", "h264", "avc1.6e001e", pixel_format="yuv420p10le"), AAC], ""),
    ],
)
def test_browser_type_is_empty_for_what_no_browser_plays(streams: list[StreamFacts], expected: str) -> None:
    assert browser_type("video/mp4", streams) == expected


def test_a_row_without_a_title_has_a_name_all_the_same() -> None:
    media = Media()
    assert str(media) == str(media.id)
    assert str(Media(title="Film")) == "Film"


def test_links_are_paths_of_this_item() -> None:
    media = Media()
    assert media.links() == {
        "watch": f"/watch/{media.id}/",
        "file": f"/media/{media.id}/file",
        "hls": f"/media/{media.id}/hls/master.m3u8",
        "stream": f"/media/{media.id}/stream.mp4",
    }
    assert media.get_absolute_url() == media.links()["watch"]


@pytest.mark.django_db
def test_an_owner_who_leaves_does_not_take_the_item_along(django_user_model: type) -> None:
    owner = django_user_model.objects.create_user("owner")
    media = Media(owner=owner)
    media.file.save("x.mp4", ContentFile(b"x"))
    owner.delete()
    media.refresh_from_db()
    assert media.owner is None
