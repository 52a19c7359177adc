"""The environment is read strictly: a value that cannot be meant stops the start with one line."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mediastream import environment
from mediastream.environment import EnvironmentInvalid, Sendfile, default_hosts, read, stored_secret


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    return {"MEDIASTREAM_DATA_DIR": str(tmp_path / "data")}


def test_defaults(base: dict[str, str], tmp_path: Path) -> None:
    found = read(base)
    assert (found.host, found.port, found.debug) == ("127.0.0.1", 8000, False)
    assert found.data_dir == tmp_path / "data"
    assert found.allowed_hosts == ["127.0.0.1", "[::1]", "localhost"]
    assert found.trusted_proxies == []
    assert found.sendfile is None
    assert found.max_upload == 10 * 1024**3
    assert found.transcodes == 2 * (os.cpu_count() or 1)
    assert found.download_grace == 1.0
    assert found.ffmpeg is None
    assert found.admin_password is None


def test_the_default_data_folder_lies_beside_the_project(tmp_path: Path) -> None:
    """Read with a key given, so that nothing is written there."""
    assert read({"MEDIASTREAM_SECRET_KEY": "k"}).data_dir == environment.ROOT / "var"


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("HOST", "::", "host", "::"),
        ("PORT", "1", "port", 1),
        ("PORT", "65535", "port", 65535),
        ("MEDIASTREAM_DEBUG", "on", "debug", True),
        ("MEDIASTREAM_DEBUG", "0", "debug", False),
        ("HOST", "localhost", "host", "localhost"),
        ("MEDIASTREAM_TRUSTED_PROXIES", "10.0.0.1,fd00::/8", "trusted_proxies", ["10.0.0.1", "fd00::/8"]),
        ("MEDIASTREAM_TRUSTED_PROXIES", "*", "trusted_proxies", ["*"]),
        ("MEDIASTREAM_MAX_UPLOAD", "1048576", "max_upload", 1048576),
        ("MEDIASTREAM_TRANSCODES", "3", "transcodes", 3),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "0", "download_grace", 0.0),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "2.5", "download_grace", 2.5),
        ("MEDIASTREAM_CHUNK_SIZE", "16384", "chunk_size", 16384),
        ("MEDIASTREAM_CHUNK_SIZE", "4194304", "chunk_size", 4194304),
        ("MEDIASTREAM_FFMPEG", "/bin/sh", "ffmpeg", "/bin/sh"),
        ("MEDIASTREAM_SECRET_KEY", "s3cret", "secret_key", "s3cret"),
        ("MEDIASTREAM_ADMIN_PASSWORD", "p4ss", "admin_password", "p4ss"),
    ],
)
def test_values(base: dict[str, str], name: str, value: str, field: str, expected: object) -> None:
    assert getattr(read(base | {name: value}), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "::1::2"),
        ("HOST", "a..b"),
        ("HOST", "x" * 70),
        ("MEDIASTREAM_FFMPEG", "/no/such/ffmpeg"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("PORT", " "),
        ("MEDIASTREAM_DEBUG", "maybe"),
        ("MEDIASTREAM_MAX_UPLOAD", "10G"),
        ("MEDIASTREAM_MAX_UPLOAD", "1"),
        ("MEDIASTREAM_TRANSCODES", "0"),
        ("MEDIASTREAM_TRANSCODES", "many"),
        ("MEDIASTREAM_CHUNK_SIZE", "16383"),
        ("MEDIASTREAM_CHUNK_SIZE", "4194305"),
        ("MEDIASTREAM_CHUNK_SIZE", "64K"),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "-1"),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "nan"),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "inf"),
        ("MEDIASTREAM_DOWNLOAD_GRACE", "1e9"),
        ("MEDIASTREAM_TRUSTED_PROXIES", "proxy.example"),
        ("MEDIASTREAM_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("MEDIASTREAM_SENDFILE", "on"),
        ("MEDIASTREAM_SENDFILE", "x-sendfile=/x/"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect="),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/x"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=x/"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/x//"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/../"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/x/./"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/a b/"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/ä/"),
        ("MEDIASTREAM_SENDFILE", "x-accel-redirect=/x/\n"),
        # Names nobody has: a typo must not quietly mean the default.
        ("MEDIASTREAM_PROT", "9000"),
        ("MEDIASTREAM_", "x"),
        ("MEDIASTREAM_UNKNOWN", ""),
        # Engines of later versions.
        ("DATABASE_URL", "postgres://user:hush@db/name"),
        ("REDIS_URL", "redis://:hush@cache"),
        ("MEDIASTREAM_STORAGE", "s3://bucket?secret=hush"),
        ("MEDIASTREAM_STORAGE", "files"),
        ("WEB_CONCURRENCY", "2"),
        ("WEB_CONCURRENCY", "x"),
    ],
)
def test_what_cannot_be_meant_stops_the_start_with_one_line(base: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(EnvironmentInvalid) as caught:
        read(base | {name: value})
    said = str(caught.value)
    assert said.startswith("mediastream: ")
    assert name in said
    assert len(said.splitlines()) == 1
    assert "hush" not in said


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x-sendfile", Sendfile("X-Sendfile", None)),
        ("X-Sendfile", Sendfile("X-Sendfile", None)),
        ("x-accel-redirect=/_stored/", Sendfile("X-Accel-Redirect", "/_stored/")),
        ("X-Accel-Redirect=/a/b.c~d-e/", Sendfile("X-Accel-Redirect", "/a/b.c~d-e/")),
    ],
)
def test_who_sends_files(base: dict[str, str], value: str, expected: Sendfile) -> None:
    named = {"MEDIASTREAM_SENDFILE": value, "MEDIASTREAM_TRUSTED_PROXIES": "127.0.0.1"}
    assert read(base | named).sendfile == expected


def test_a_proxy_that_is_to_send_files_must_be_trusted(base: dict[str, str]) -> None:
    with pytest.raises(EnvironmentInvalid, match="MEDIASTREAM_TRUSTED_PROXIES"):
        read(base | {"MEDIASTREAM_SENDFILE": "x-sendfile"})


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentInvalid, match="MEDIASTREAM_DATA_DIR") as caught:
        read({"MEDIASTREAM_DATA_DIR": str(tmp_path / "file")})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "HOST",
        "PORT",
        "WEB_CONCURRENCY",
        "DATABASE_URL",
        "REDIS_URL",
        *sorted(environment.KNOWN - {"MEDIASTREAM_DATA_DIR"}),
    ],
)
def test_an_empty_value_is_an_unset_one(base: dict[str, str], name: str) -> None:
    """Compose and unit files write "no value" so."""
    assert read(base | {name: ""}) == read(base)


@pytest.mark.parametrize(("name", "value"), [("WEB_CONCURRENCY", "1"), ("MEDIASTREAM_STORAGE", "file")])
def test_the_one_engine_there_is_may_be_named(base: dict[str, str], name: str, value: str) -> None:
    assert read(base | {name: value}) == read(base)


def test_a_relative_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children and threads may have another working folder."""
    monkeypatch.chdir(tmp_path)
    assert read({"MEDIASTREAM_DATA_DIR": "../x/data"}).data_dir == tmp_path.parent / "x" / "data"


def test_an_error_ends_a_command_with_the_line_and_no_traceback(base: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from mediastream.environment import read; read()"],
        env={**os.environ, **base, "PORT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "PORT" in ended.stderr


def test_the_secret_key_is_made_once_for_its_owner_alone(base: dict[str, str]) -> None:
    first = read(base).secret_key
    folder = Path(base["MEDIASTREAM_DATA_DIR"])
    assert len(first) >= 50
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
    assert read(base).secret_key == first
    assert [path.name for path in folder.iterdir()] == ["secret_key"]


def test_each_data_folder_has_its_own_key(tmp_path: Path) -> None:
    assert stored_secret(tmp_path / "a") != stored_secret(tmp_path / "b")


def test_threads_that_start_together_share_one_key(tmp_path: Path) -> None:
    for attempt in range(10):
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(stored_secret, [tmp_path / str(attempt)] * 8))
        assert len(keys) == 1
        assert [path.name for path in (tmp_path / str(attempt)).iterdir()] == ["secret_key"]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    imports = "from pathlib import Path; from mediastream.environment import stored_secret"
    code = f"{imports}; print(stored_secret(Path({str(tmp_path)!r})))"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(8)]
    keys = {child.communicate(timeout=60)[0] for child in children}
    assert len(keys) == 1
    assert keys == {(tmp_path / "secret_key").read_bytes() + b"\n"}


def test_what_a_crash_left_does_not_stop_the_next_start(tmp_path: Path) -> None:
    """In a container every start has the same process id, so a draft's name must not come from it alone."""
    (tmp_path / f".secret_key.{os.getpid()}").write_text("half")
    assert len(stored_secret(tmp_path)) >= 50


def test_secrets_do_not_show_in_the_repr(base: dict[str, str]) -> None:
    shown = repr(read(base | {"MEDIASTREAM_SECRET_KEY": "hush-1", "MEDIASTREAM_ADMIN_PASSWORD": "hush-2"}))
    assert "hush" not in shown
    assert "8000" in shown


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_everywhere_adds_this_machines_names(base: dict[str, str], host: str) -> None:
    hosts = read(base | {"HOST": host}).allowed_hosts
    assert {"localhost", "127.0.0.1", "[::1]", socket.gethostname()} <= set(hosts)
    assert "*" not in hosts
    assert not any("%" in name or name.count(":") == 1 for name in hosts)


@pytest.mark.parametrize(("host", "name"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "[2001:db8::1]")])
def test_listening_on_one_address_adds_that(host: str, name: str) -> None:
    assert default_hosts(host) == sorted({"localhost", "127.0.0.1", "[::1]", name})


def test_hosts_that_are_given_replace_this_machines_names_but_not_loopback(base: dict[str, str]) -> None:
    """Health checks on the machine itself go to loopback, however the server is called outside."""
    given = {"HOST": "0.0.0.0", "MEDIASTREAM_ALLOWED_HOSTS": "films.example,tv.example"}
    assert read(base | given).allowed_hosts == ["127.0.0.1", "[::1]", "films.example", "localhost", "tv.example"]
