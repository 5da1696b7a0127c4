"""What stands for a program that tests/forked.py forks; it imports no package, to start at once."""

import json
import os
import signal
import socket
import sys


def main() -> None:
    """Have a program run, and end as it does."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.connect(sys.argv[1])
    about = {"arguments": sys.argv[2:], "variables": dict(os.environ)}
    about["folder"] = os.getcwd()  # noqa: PTH109 # pathlib is no small import
    socket.send_fds(server, [json.dumps(about).encode()], [0, 1, 2])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    code = int(server.recv(16) or 1)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
