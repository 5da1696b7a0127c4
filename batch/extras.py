"""Packages that only some commands need."""

import importlib.util


def demand(module: str, extra: str) -> None:
    """Say how to install what is missing.

    Raises:
        LookupError: `module`, which the extra brings, is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise LookupError(f"this needs {module}, which is not installed: pip install 'almanac-feed[{extra}]'")
