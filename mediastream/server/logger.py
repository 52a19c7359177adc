"""gunicorn's logger, with tickets masked in all it writes, and addresses in its access log as they came.

Who configures formatters of other classes (JSON for one) has taken the matter over.

gunicorn would log the path decoded, line breaks included, with which a client could write lines of its own.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): Logger's `setup` and `atoms`, and the
attributes `error_log` and `access_log`.
"""

import logging
from typing import Any

from gunicorn.glogging import Logger

from mediastream.masking import Formatter


class MaskingLogger(Logger):  # type: ignore[misc]
    """Set as `logger_class` in gunicorn_conf.py."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                theirs = handler.formatter
                if type(theirs) is logging.Formatter:
                    handler.setFormatter(Formatter(theirs._fmt, theirs.datefmt))

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        return atoms | {"U": environ["RAW_URI"].partition("?")[0]}
