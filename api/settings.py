"""The API's settings: frozen, read from the environment once at start, each with unit, default and doc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.contract.environment import check, read, setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting `NAME` is read from the environment variable `ALMANAC_NAME`.

    What the batch and the API must agree on beyond the store's address (bucket width, depth, seen policy)
    is no setting: the API reads it from the manifest.
    """

    redis_url: str = setting("", "store: redis:// URL; empty: the embedded store in state_dir")
    prefix: str = setting("almanac", "first part of every key in the store")
    variant: str = setting("default", "name whose current generation is served")
    state_dir: Path = setting(Path(".almanac"), "folder of the embedded store")
    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(8000, "port to listen on; 0: any free one")
    connect_timeout_s: float = setting(0.5, "longest wait for a connection to the store, seconds")
    read_timeout_s: float = setting(1.0, "longest wait for a reply of the store, seconds")
    pool_size: int = setting(16, "most connections to the store")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read `ALMANAC_*`; what is unset or empty keeps its default.

        Raises:
            ValueError: A value does not fit its setting; the message names the variable and the value.
        """
        return read(cls, env)

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        check("PORT", self.port, 0 <= self.port <= 65_535, "0..65535")
        check("CONNECT_TIMEOUT_S", self.connect_timeout_s, 0 < self.connect_timeout_s <= 60, "in (0, 60]")
        check("READ_TIMEOUT_S", self.read_timeout_s, 0 < self.read_timeout_s <= 60, "in (0, 60]")
        check("POOL_SIZE", self.pool_size, 1 <= self.pool_size <= 1000, "1..1000")
