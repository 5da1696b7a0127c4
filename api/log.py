"""JSON lines on stdout: the event is `noun.verb_past`, the facts go in fields."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from api.address import hide_passwords

request_id: ContextVar[str] = ContextVar("request_id", default="")  # of the request that is being answered

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class JsonLines(logging.Formatter):
    """Format a record as one JSON object: at, level, event, then the `extra` fields; passwords hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without the newline."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return hide_passwords(orjson.dumps(line, default=str, option=_OPTIONS).decode())


def configure(level: str = "INFO") -> None:
    """Send every logger's records of `level` and above to stdout as JSON lines; other handlers get INFO."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    handler.setLevel(level)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min(logging.INFO, handler.level))
