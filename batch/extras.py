"""Packages that only some commands need: the extras of pyproject.toml."""

import importlib.util


def require_extra(module: str, extra: str) -> None:
    """Require a package of an extra; the error says how to install it.

    Raises:
        LookupError: `module`, which the extra brings, is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise LookupError(f"this needs {module}, which is not installed: pip install 'almanac-feed[{extra}]'")
