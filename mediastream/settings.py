"""Django's settings: values only, from one reading of the environment (environment.py)."""

import re

from mediastream.environment import read
from mediastream.request_bodies import Bounds

ENVIRONMENT = read()
DATA_DIR = ENVIRONMENT.data_dir
TEMPORARY = DATA_DIR / "tmp"
TEMPORARY.mkdir(parents=True, exist_ok=True)

DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts
FFMPEG = ENVIRONMENT.ffmpeg
TRANSCODES = ENVIRONMENT.transcodes
JOBS = ENVIRONMENT.jobs
ENCODER = ENVIRONMENT.encoder
TRANSCODE_CACHE = DATA_DIR / "cache" / "transcode"
TRANSCODE_CACHE_SIZE = ENVIRONMENT.cache
RECORDINGS = DATA_DIR / "recordings"
RECORDING_SEGMENT = ENVIRONMENT.recording_segment
RECORDING_RESERVE = ENVIRONMENT.recording_reserve
METRICS_TOKEN = ENVIRONMENT.metrics_token
DOWNLOAD_GRACE = ENVIRONMENT.download_grace
CHUNK_SIZE = ENVIRONMENT.chunk_size
TRUSTED_PROXIES = ENVIRONMENT.trusted_proxies
SENDFILE = ENVIRONMENT.sendfile

INSTALLED_APPS = [
    "mediastream",
    "mediastream.feeds",
    "mediastream.chat",
    "mediastream.live",
    "media_library",
    "transcode",
    "mediastream.open_streams",
    "django_q",
    "transcode.jobs",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mediastream.faults.FaultMiddleware",
]
# No GZipMiddleware: it holds back streams and would encode media (decision 16 in docs/architecture.md).

# For the feeds' groups (feeds/group.py). No socket of ours is a member: what is not taken for a minute is dropped.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        # A member would otherwise be forgotten after a day.
        "CONFIG": {"capacity": 10_000, "group_expiry": 100 * 365 * 86400},
    }
}

ROOT_URLCONF = "mediastream.urls"
ASGI_APPLICATION = "mediastream.asgi.application"
WSGI_APPLICATION = "mediastream.wsgi.application"
CSRF_FAILURE_VIEW = "mediastream.faults.csrf_failure"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "mediastream.sqlite3",
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            # IMMEDIATE: a transaction that begins by reading could not be upgraded while another writes,
            # and fails at once however long the timeout. WAL: readers do not wait for the writer.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}

STORAGES = {
    "default": {"BACKEND": "media_library.storage.LocalStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
MEDIA_ROOT = DATA_DIR / "media"
STATIC_ROOT = DATA_DIR / "static"
STATIC_URL = "/static/"

# Uploads go to disk at once, on the file system they stay on, so that storing is a rename.
FILE_UPLOAD_HANDLERS = ["media_library.storage.UploadHandler"]
FILE_UPLOAD_TEMP_DIR = TEMPORARY
FILE_UPLOAD_PERMISSIONS = 0o644
REQUEST_BODY_BOUNDS = Bounds(
    ENVIRONMENT.max_upload,
    (re.compile(r"/admin/media_library/media/(add|[0-9a-f-]{36}/change)/"),),
    TEMPORARY,
)

# The rows of transcode.jobs say what is to be done and what was; django-q2 hands it to the job worker's processes.
Q_CLUSTER = {
    "name": "mediastream",
    "orm": "default",
    "workers": max(JOBS, 1),
    # A job ends by its own bounds long before; and a message may wait behind jobs of that length.
    "timeout": 7 * 3600,
    "retry": 15 * 3600,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,  # our rows tell
    "catch_up": False,
    "scheduler": False,
    "queue_limit": 1,
    "poll": 1.0,  # seconds; a read, which in WAL mode keeps nobody waiting
    "guard_cycle": 1,
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "mediastream.masking.Formatter", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "filters": {"without_exhaustion": {"()": "mediastream.seldom.WithoutExhaustion"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # One line for each 4xx would drown the rest.
        "django.request": {
            "handlers": ["stderr"],
            "level": "ERROR",
            "propagate": False,
            "filters": ["without_exhaustion"],
        },
        # A scanner's wrong Host header is answered by 400; a traceback for each would drown the rest too.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "asyncio": {"level": "WARNING"},
        # It tells of each of its processes and messages.
        "django-q": {"level": "WARNING"},
    },
}
