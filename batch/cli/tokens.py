"""`almanac tokens`: who may read, write and administer over HTTP. Parse, call, print."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from batch.cli.options import Json, read_settings
from batch.cli.output import Output, as_table

app = typer.Typer(help="Who may read, write and administer over HTTP.", no_args_is_help=True)


@app.command()
def add(
    scope: Annotated[
        Literal["read", "write", "admin"],
        typer.Option(help="each includes the ones before it: read, write, admin"),
    ],
    name: Annotated[str, typer.Option(help="whose it is")] = "",
    json: Json = False,
) -> None:
    """Make a token; it is shown this once, the API takes it without a restart."""
    from api.tokens import add_token

    token, text = add_token(_file(), scope, name)
    Output(json=json).emit({"id": token.token_id, "scope": token.scope, "token": text})


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List the tokens, without their texts."""
    from api.tokens import read_tokens

    rows = [asdict(token) for token in read_tokens(_file())]
    shown = [{name: value for name, value in row.items() if name != "sha256"} for row in rows]
    Output(json=json).emit({"tokens": shown}, lambda c: c.print(as_table({"tokens": shown or "none"})))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="as `almanac tokens list` names it")], json: Json = False
) -> None:
    """End a token at once."""
    from api.tokens import revoke_token

    revoke_token(_file(), token_id)
    Output(json=json).emit({"revoked": token_id})


def _file() -> Path:
    from api.tokens import FILE

    return read_settings().state_dir / FILE
