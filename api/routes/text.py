"""Ids in paths: any text, what an escaped slash or line break says included."""

from typing import Final

from starlette.convertors import StringConvertor, register_url_convertor

TEXT: Final = "text"  # stands in a route's path: `{user_id:text}`


class TextConvertor(StringConvertor):
    """Takes what is there; Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor(TEXT, TextConvertor())
