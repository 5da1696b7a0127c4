"""The command line: parse, call, print; no logic. The only room with imports inside functions."""
