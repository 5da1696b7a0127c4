"""Which exit code an error has, without loading what could not have raised it."""

import sys

Names = list[tuple[str, str]]

# Exit code to the errors that end with it: module, class.
CODES: dict[int, Names] = {
    3: [("batch.data.validation.rejects", "TooManyRejected"), ("batch.data.tables.location", "SourceError")],
    4: [
        ("batch.store.server", "StoreUnfit"),
        ("redis", "RedisError"),
        ("batch.jobs.refresh.carried", "ListsGone"),
    ],
    5: [("batch.store.lease", "LeaseTaken"), ("batch.jobs.refresh.writer", "BaseGone")],
    6: [("batch.publish.writer", "GateClosed")],
    2: [("builtins", "ValueError"), ("builtins", "LookupError"), ("builtins", "FileNotFoundError")],
}
A_BUG = 1


def exit_code_of(exc: Exception) -> int:
    """Return the first code whose errors hold this one; `A_BUG` where none does."""
    return next((code for code, names in CODES.items() if any(_is(exc, *name) for name in names)), A_BUG)


def _is(exc: Exception, module: str, name: str) -> bool:
    """Say whether an error is of a class; a module that nobody has loaded raised nothing."""
    return module in sys.modules and isinstance(exc, getattr(sys.modules[module], name))
