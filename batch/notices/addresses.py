"""Who gets which notices: the text of ALMANAC_NOTICES. An address is a secret, and no error repeats it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch.notices.finding import SEVERITIES, Severity
from batch.settings import Settings


@dataclass(frozen=True, slots=True)
class Address:
    """An address that apprise knows.

    Attributes:
        place: Its place in the setting or file, from 1: how the log names it.
        least: The least grave notices that it gets.
        url: Its URL: a secret.
    """

    place: int
    least: Severity
    url: str = field(repr=False)

    def wants(self, severity: Severity) -> bool:
        """Say whether notices of this severity go there."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.least)


def read_addresses(settings: Settings) -> list[Address]:
    """Return the addresses of ALMANAC_NOTICES, then those of ALMANAC_NOTICES_FILE.

    Raises:
        ValueError: The file cannot be read; the message names the file.
    """
    texts = [settings.notices.get_secret_value()]
    if settings.notices_file:
        try:
            texts.append(Path(settings.notices_file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            why = getattr(exc, "strerror", None) or "it is no text"
            raise ValueError(f"ALMANAC_NOTICES_FILE={settings.notices_file} cannot be read: {why}") from None
    return parse_addresses(texts)


def parse_addresses(texts: Sequence[str]) -> list[Address]:
    """Return the addresses of some texts: with blanks between or a line each; `#` begins a remark.

    Before a URL may stand the least severity that it gets, such as `error=`; without it, it gets all.

    >>> [(a.place, a.least, a.url) for a in parse_addresses(["json://a error=json://b?x=y", "# none"])]
    [(1, 'info', 'json://a'), (2, 'error', 'json://b?x=y')]
    """
    lines = (line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = [word for line in lines for word in line.split()]
    return [_parse(place, word) for place, word in enumerate(words, 1)]


def _parse(place: int, word: str) -> Address:
    least, found, url = word.partition("=")
    if found and least in SEVERITIES:
        return Address(place, least, url)
    return Address(place, "info", word)
