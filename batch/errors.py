"""An error as people and scripts meet it: its exit code, its sentence, and whether trying again may help."""

import errno
import os
from pathlib import Path

from api.address import hide_passwords

_OF_FACTS, _OF_STORE, _OF_GATE = 3, 4, 6  # exit codes: facts refused, no store, the gate held it back
FOLDER_ERRORS = {
    getattr(errno, name)
    for name in ("EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT", "EFBIG", "ENOTDIR", "EEXIST", "EISDIR")
}


def exit_code_of(exc: BaseException) -> int:
    """Return an error's own exit code; else 2 for argument and folder, 4 for the store, 1 for bugs."""
    import redis  # after something failed: `almanac --help` need not wait for it

    if isinstance(exc, redis.RedisError):
        return 4
    if isinstance(exc, KeyboardInterrupt):
        return 130
    bad_argument = isinstance(exc, ValueError | LookupError | FileNotFoundError) or _is_of_a_folder(exc)
    return int(getattr(exc, "exit_code", 2 if bad_argument else 1))


def describe(exc: BaseException, folder: Path) -> str:
    """Return what an error says, in one line and without passwords; a folder's names the state folder."""
    said = str(exc)
    if isinstance(exc, OSError) and _is_of_a_folder(exc):
        place, why = exc.filename or "what belongs into a file", os.strerror(exc.errno or 0)
        said = f"cannot write {place}: {why}; runs keep what they need in {folder} (ALMANAC_STATE_DIR)"
    return hide_passwords(" ".join(said.split()))


def is_of_inputs(exc: BaseException) -> bool:
    """Say whether facts, settings or arguments are to blame: the same ones would fail again."""
    own = isinstance(exc, ValueError | LookupError) and not isinstance(exc, KeyError)
    return (own or exit_code_of(exc) in (_OF_FACTS, _OF_GATE)) and not is_away(exc)


def is_away(exc: BaseException) -> bool:
    """Say whether database or store did not answer, or broke off: the very same may work a minute later."""
    import redis

    cause = exc.__cause__ if exit_code_of(exc) == _OF_STORE and exc.__cause__ is not None else exc
    if isinstance(cause, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        return False
    return isinstance(cause, redis.ConnectionError | redis.TimeoutError) or getattr(exc, "is_away", False)


def _is_of_a_folder(exc: BaseException) -> bool:
    return isinstance(exc, OSError) and exc.errno in FOLDER_ERRORS
