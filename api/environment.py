"""Settings from the environment: the API and the batch read `ALMANAC_*` by the same rules."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.address import check_store_url, is_cluster
from api.contract.keys import Keys
from api.variables import PREFIX


def _check_store_url(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value():
        check_store_url(secret.get_secret_value())
    return secret


StoreUrl = Annotated[SecretStr, AfterValidator(_check_store_url)]


class EnvironmentSettings(BaseSettings):
    """Frozen settings: `depth` is read from `ALMANAC_DEPTH`; what is unset or empty keeps its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        """Take `values`, and what they leave out from the environment.

        Raises:
            ValueError: One does not fit; the sentence names the variable, the value unless it is a secret,
                and what is wanted.
        """
        try:
            super().__init__(**values)
        except ValidationError as exc:
            # `from None`: the cause's text repeats the values, secrets too.
            raise ValueError("; ".join(map(self._sentence, exc.errors()))) from None

    def replace(self, **values: Any) -> Self:
        """Return the settings with other values, checked as those of the environment are."""
        return type(self)(**{**self.model_dump(), **values})

    @classmethod
    def _sentence(cls, error: Any) -> str:
        """Write pydantic's `Input should be …` as `ALMANAC_NAME=value must be …`."""
        name = str(error["loc"][0])
        secret = name in cls.model_fields and cls.model_fields[name].annotation is SecretStr
        wanted = error["msg"].partition(" should ")[2] or error["msg"]
        return f"{PREFIX}{name.upper()}={'***' if secret else error['input']} must {wanted}"


class StoreSettings(EnvironmentSettings):
    """Where the store is, and what its keys are called: one meaning for both processes."""

    redis_url: StoreUrl = Field(
        SecretStr(""),
        description="store: redis://, redis+cluster:// or redis+sentinel:// URL; empty: the embedded store "
        "in state_dir",
    )
    prefix: str = Field("almanac", description="first part of every key in the store")

    @property
    def keys(self) -> Keys:
        """Return the names of the keys."""
        return Keys(self.prefix, in_cluster=is_cluster(self.redis_url.get_secret_value()))

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if set(prefix) & set("{}"):
            raise ValueError("it should be without { and }, which say where in a cluster a key lies")
        return prefix
