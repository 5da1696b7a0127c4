"""The error of a change that is not made."""


class Refused(Exception):
    """A request that may not change anything, or not any more; the page says why."""
