"""The process environment, read once and strictly into one frozen value.

A variable that is unknown (under our prefix) or malformed stops the start with one line that names
it: a typo in a deployment must not quietly mean "default". Everything else takes plain values.
"""

import ipaddress
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import environs
import psutil
from marshmallow import ValidationError, validate

from mediastream import chunking

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "MEDIASTREAM_"
MIB = 1024 * 1024
ENCODERS = ("auto", "software", "nvenc", "qsv", "vaapi", "videotoolbox")  # transcode/encoders.py
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class EnvironmentInvalid(SystemExit):
    """A variable cannot be used. A SystemExit, so that every command ends with the line alone."""


@dataclass(frozen=True)
class Sendfile:
    """How a proxy is told to send a file: by `header`, whose value is `prefix` and the path below the media
    folder; without a prefix, the whole path."""

    header: str
    prefix: str | None


@dataclass(frozen=True)
class Environment:
    """What the environment asks for. Sizes are bytes, times are seconds."""

    host: str
    port: int
    data_dir: Path
    debug: bool
    allowed_hosts: list[str]
    trusted_proxies: list[str]
    sendfile: Sendfile | None
    max_upload: int
    transcodes: int
    jobs: int
    encoder: str
    profiles: dict[str, dict[str, int | str]]
    cache: int
    recording_segment: float
    recording_reserve: int
    download_grace: float
    chunk_size: int
    ffmpeg: str | None
    secret_key: str = field(repr=False)
    admin_password: str | None = field(repr=False)
    metrics_token: str | None = field(repr=False)


KNOWN = {
    "MEDIASTREAM_DATA_DIR", "MEDIASTREAM_STORAGE", "MEDIASTREAM_ADMIN_PASSWORD", "MEDIASTREAM_SECRET_KEY",
    "MEDIASTREAM_ALLOWED_HOSTS", "MEDIASTREAM_TRUSTED_PROXIES", "MEDIASTREAM_DEBUG", "MEDIASTREAM_MAX_UPLOAD",
    "MEDIASTREAM_TRANSCODES", "MEDIASTREAM_DOWNLOAD_GRACE", "MEDIASTREAM_FFMPEG", "MEDIASTREAM_METRICS_TOKEN",
    "MEDIASTREAM_SENDFILE", "MEDIASTREAM_CHUNK_SIZE", "MEDIASTREAM_RECORDING_SEGMENT",
    "MEDIASTREAM_RECORDING_RESERVE", "MEDIASTREAM_JOBS", "MEDIASTREAM_ENCODER", "MEDIASTREAM_PROFILES",
    "MEDIASTREAM_CACHE",
}  # fmt: skip


def read(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read `environ`. Raises EnvironmentInvalid, whose text is one line for the operator."""
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in KNOWN)
    if unknown:
        raise EnvironmentInvalid(f"mediastream: unknown setting {unknown[0]}; see docs/settings.md")
    _refuse_engines_not_built(environ)
    try:
        return _typed(environ)
    except (environs.EnvError, ValueError) as fault:
        raise EnvironmentInvalid(f"mediastream: {fault}; see docs/settings.md") from None
    except OSError as fault:
        raise EnvironmentInvalid(f"mediastream: the folder MEDIASTREAM_DATA_DIR cannot be used: {fault}") from None


def _typed(environ: Mapping[str, str]) -> Environment:
    # An empty variable counts as unset, as compose files and unit files write "no value" that way.
    reader = _Reader({name: value for name, value in environ.items() if value != ""})
    host = reader.str("HOST", default="127.0.0.1", validate=_check_host)
    data_dir = Path(os.path.abspath(reader.str("MEDIASTREAM_DATA_DIR", default=str(ROOT / "var"))))
    between = validate.Range
    trusted_proxies: list[str] = reader.list("MEDIASTREAM_TRUSTED_PROXIES", default=[], validate=_check_proxies)
    return Environment(
        host=host,
        port=reader.int("PORT", default=8000, validate=between(min=1, max=65535)),
        data_dir=data_dir,
        debug=reader.bool("MEDIASTREAM_DEBUG", default=False),
        allowed_hosts=_hosts(reader, host),
        trusted_proxies=trusted_proxies,
        sendfile=_sendfile(reader, trusted_proxies),
        max_upload=reader.int("MEDIASTREAM_MAX_UPLOAD", default=10 * 1024 * MIB, validate=between(min=MIB)),
        transcodes=reader.int(
            "MEDIASTREAM_TRANSCODES", default=2 * (os.cpu_count() or 1), validate=between(min=1, max=1000)
        ),
        jobs=reader.int("MEDIASTREAM_JOBS", default=2, validate=between(min=0, max=32)),
        encoder=reader.str("MEDIASTREAM_ENCODER", default="auto", validate=validate.OneOf(ENCODERS)),
        profiles=_profiles(reader),
        cache=reader.int("MEDIASTREAM_CACHE", default=4096 * MIB, validate=between(min=64 * MIB)),
        recording_segment=reader.float("MEDIASTREAM_RECORDING_SEGMENT", default=10.0, validate=between(min=1, max=60)),
        recording_reserve=reader.int("MEDIASTREAM_RECORDING_RESERVE", default=1024 * MIB, validate=between(min=0)),
        download_grace=reader.float("MEDIASTREAM_DOWNLOAD_GRACE", default=1.0, validate=between(min=0, max=3600)),
        chunk_size=reader.int(
            "MEDIASTREAM_CHUNK_SIZE", default=chunking.MOST, validate=between(min=chunking.LEAST, max=4 * MIB)
        ),
        ffmpeg=reader.str("MEDIASTREAM_FFMPEG", default=None, validate=_check_program),
        secret_key=reader.str("MEDIASTREAM_SECRET_KEY", default=None) or stored_secret(data_dir),
        admin_password=reader.str("MEDIASTREAM_ADMIN_PASSWORD", default=None),
        metrics_token=reader.str("MEDIASTREAM_METRICS_TOKEN", default=None, validate=_check_token),
    )


def _hosts(reader: "_Reader", host: str) -> list[str]:
    """Loopback names stay allowed whatever is listed: health checks on the machine itself use them."""
    listed: list[str] = reader.list("MEDIASTREAM_ALLOWED_HOSTS", default=[])
    return sorted({*listed, *LOOPBACK}) if listed else default_hosts(host)


# Unreserved characters alone (RFC 3986 section 2.3): such a path needs no escaping, here or in the proxy.
_SENDFILE = re.compile(r"x-sendfile|x-accel-redirect=((?:/(?!\.\.?/)[\w.~-]+)+/)", re.ASCII | re.IGNORECASE)


def _sendfile(reader: "_Reader", trusted_proxies: list[str]) -> Sendfile | None:
    text = reader.str("MEDIASTREAM_SENDFILE", default=None, validate=_check_sendfile)
    if text is None:
        return None
    if not trusted_proxies:  # the header goes to these alone, so the setting would do nothing
        raise ValueError("MEDIASTREAM_SENDFILE needs the proxy's address in MEDIASTREAM_TRUSTED_PROXIES")
    prefix = text.partition("=")[2] or None
    return Sendfile("X-Accel-Redirect" if prefix else "X-Sendfile", prefix)


def _check_sendfile(text: str | None) -> None:
    if text is not None and _SENDFILE.fullmatch(text) is None:
        raise ValidationError(f"{text} is neither x-sendfile nor x-accel-redirect=/path/")


PROFILES = ("360p", "480p", "720p", "1080p", "file")  # transcode/profiles.py
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")  # those that keep up with playing
_PROFILE = re.compile(
    rf"(?P<video_bitrate>[1-9][0-9]{{1,5}})k|(?P<preset>{'|'.join(PRESETS)})"
    r"|threads=(?P<threads>[1-9][0-9]?)|nice=(?P<niceness>1?[0-9])",
    re.ASCII,
)


def _profiles(reader: "_Reader") -> dict[str, dict[str, int | str]]:
    """By name: the fields of profiles.Profile that are changed."""
    listed: list[str] = reader.list("MEDIASTREAM_PROFILES", default=[])
    return dict(_profile(text.strip()) for text in listed)


def _profile(text: str) -> tuple[str, dict[str, int | str]]:
    name, _, said = text.partition("=")
    matches = [_PROFILE.fullmatch(part) for part in said.split("/")]
    if name not in PROFILES or None in matches:
        raise ValueError(
            f"MEDIASTREAM_PROFILES: {text} is not like 720p=2500k or 720p=2500k/superfast/threads=2/nice=5"
        )
    found = {field: value for match in matches if match for field, value in match.groupdict().items() if value}
    if len(found) < len(matches):
        raise ValueError(f"MEDIASTREAM_PROFILES: {text} says one thing twice")
    numbers = {field: int(value) for field, value in found.items() if field != "preset"}
    if "video_bitrate" in numbers:
        numbers["video_bitrate"] *= 1000
    return name, {**found, **numbers}


def bracketed(host: str) -> str:
    """A host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def _check_host(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # the second for a name that is none, such as a..b
        raise ValidationError(f"{host} is no address of this machine") from None


def _check_program(name: str | None) -> None:
    if name is not None and shutil.which(name) is None:
        raise ValidationError(f"{name} is not a program that can be run")


def _check_token(token: str | None) -> None:
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise ValidationError("16 or more printable ASCII characters, without spaces")


def _check_proxies(addresses: list[str]) -> None:
    """Addresses, networks or `*`: what gunicorn takes; it would answer another with a traceback."""
    for address in addresses:
        try:
            ipaddress.ip_network("::" if address == "*" else address)
        except ValueError as fault:
            raise ValidationError(str(fault)) from None


class _Reader(environs.Env):
    """environs over a mapping instead of os.environ, so that tests need no patching."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = dict(environ)

    def _get_value(self, env_key: str, default: object) -> object:
        return self._environ.get(env_key, default)


def _refuse_engines_not_built(environ: Mapping[str, str]) -> None:
    """PostgreSQL, Redis, S3 and several workers come in later versions: say so rather than ignore them."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        if environ.get(name):
            raise EnvironmentInvalid(f"mediastream: {name} is not supported by this version; unset it")
    storage = environ.get("MEDIASTREAM_STORAGE") or "file"
    if storage != "file":
        kind = urlsplit(storage).scheme or storage
        raise EnvironmentInvalid(f"mediastream: MEDIASTREAM_STORAGE={kind} is not supported by this version; use file")
    workers = environ.get("WEB_CONCURRENCY") or "1"
    if workers != "1":
        raise EnvironmentInvalid("mediastream: WEB_CONCURRENCY over 1 is not supported by this version; use 1")


def default_hosts(host: str) -> list[str]:
    """The names a browser on this machine, or of this machine, may use in the Host header."""
    names = {*LOOPBACK}
    if host in ("0.0.0.0", "::"):  # noqa: S104 - comparing, not binding
        names |= {socket.gethostname(), socket.getfqdn()}
        for addresses in psutil.net_if_addrs().values():
            names |= {address.address for address in addresses if address.family == socket.AF_INET}
            names |= {
                f"[{address.address.partition('%')[0]}]" for address in addresses if address.family == socket.AF_INET6
            }
    else:
        names.add(bracketed(host))
    return sorted(name for name in names if re.fullmatch(r"[\w.:\-\[\]]+", name))


def stored_secret(data_dir: Path) -> str:
    """The generated secret key, kept with mode 0600 and shared by all processes of this data folder.

    link(2) makes the first writer win without a window in which a reader sees half a key.
    """
    path = data_dir / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        data_dir.mkdir(parents=True, exist_ok=True)
    # A name of its own, not of the process id: threads share that, and in a container each start has the same.
    descriptor, draft = tempfile.mkstemp(dir=data_dir, prefix=".secret_key.")
    with open(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return path.read_text().strip()
