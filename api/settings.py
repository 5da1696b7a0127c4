"""The API's settings: frozen, read from the environment once at start, each with unit, default and doc."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from api.environment import StoreSettings

_HASHED = "(read|write|admin):[0-9a-f]{64}"


def _check_tokens(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(f"({_HASHED}(,{_HASHED})*)?", secret.get_secret_value()):
        raise ValueError(
            "it should be scope:sha256, with commas between: read:, write: or admin: and 64 hex digits"
        )
    return secret


HashedTokens = Annotated[SecretStr, AfterValidator(_check_tokens)]  # a person may give the texts by mistake


class Settings(StoreSettings):
    """Every setting `NAME` is read from the environment variable `ALMANAC_NAME`.

    What the batch and the API must agree on beyond the store's address (bucket width, depth, seen policy)
    is no setting: the API reads it from the manifest.
    """

    variant: str = Field("default", description="name whose current generation is served")
    experiments: Literal["on", "off"] = Field(
        "on", description="whether experiments that run decide whose lists answer: on or off"
    )
    exposures_waiting_mb: int = Field(
        256,
        ge=1,
        le=65_536,
        description="most memory in the store for records of experiments' answers that the batch has not "
        "drained, MB; beyond it they are dropped",
    )
    overlay: Literal["on", "off"] = Field(
        "off",
        description="whether what a user just liked or passed over moves posts in their list: on or off",
    )
    overlay_places: int = Field(
        5, ge=1, le=20, description="how many places the overlay may move a post at most"
    )
    events_wait: int = Field(
        0,
        ge=0,
        le=10,
        description="how many replicas must have an event, or a takedown, before it is acknowledged (WAIT)",
    )
    state_dir: Path = Field(Path(".almanac"), description="folder of the embedded store")
    host: str = Field("127.0.0.1", description="address to listen on")
    root_path: str = Field(
        "",
        pattern="^(/[^/?#]+)*$",
        description="prefix that a proxy in front takes off, such as /feed; `/docs` needs it",
    )
    cors_origins: str = Field(
        "",
        pattern=r"^(\*|https?://[^/\s,]+(\s*,\s*https?://[^/\s,]+)*)?$",
        description="origins whose pages may read our answers, such as https://shop.example, with commas "
        "between; *: any",
    )
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0: any free one")
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="processes that serve the address, at most one a core; SIGHUP replaces them in turns",
    )
    connect_timeout_s: float = Field(
        0.5, gt=0, le=60, description="longest wait for a connection to the store, seconds"
    )
    read_timeout_s: float = Field(
        1.0, gt=0, le=60, description="longest wait for a reply of the store, seconds"
    )
    tokens: HashedTokens = Field(
        SecretStr(""),
        description="access tokens beside those of state_dir: scope:sha256 of the text, with commas between",
    )
    pool_size: int = Field(16, ge=1, le=1000, description="most connections to the store")
    max_connections: int = Field(
        4096,
        ge=1,
        le=65_536,
        description="most connections of clients; beyond it those longest without a whole request are closed",
    )
    idle_timeout_s: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="longest wait for the next request, seconds; behind a proxy, more than the proxy's own",
    )
