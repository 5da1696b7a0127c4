"""Who changes something in the store, as its logs name them."""

import getpass
import os
import socket


def who_am_i() -> str:
    """Return whoever runs this process: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
