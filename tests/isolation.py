"""A data folder of its own for the test session, set before Django's settings are read.

Loaded with -p (pyproject.toml), as pytest-django reads the settings before any conftest.py.
"""

import atexit
import os
import shutil
import tempfile

for name in [*os.environ]:
    if name.startswith("MEDIASTREAM_") or name in ("HOST", "PORT", "DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY"):
        del os.environ[name]
# Each server and command that is started would compile all of the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
folder = tempfile.mkdtemp(prefix="mediastream-tests-")
os.environ["MEDIASTREAM_DATA_DIR"] = folder
atexit.register(shutil.rmtree, folder, ignore_errors=True)
