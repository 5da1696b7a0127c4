"""`almanac tokens`: who may read, write and administer over HTTP. Parse, call, print."""

from dataclasses import asdict
from typing import Annotated

import typer

from api.tokens import FILE, Scope, add_token, read_tokens, revoke_token
from batch.cli.options import Json, read_settings
from batch.cli.output import Output, as_table

app = typer.Typer(help="Who may read, write and administer over HTTP.", no_args_is_help=True)


@app.command()
def add(
    scope: Annotated[Scope, typer.Option(help="each includes the ones before it: read, write, admin")],
    name: Annotated[str, typer.Option(help="whose it is")] = "",
    json: Json = False,
) -> None:
    """Make a token; it is shown this once, the API takes it without a restart."""
    token, text = add_token(read_settings().state_dir / FILE, scope, name)
    Output(json=json).emit({"id": token.token_id, "scope": token.scope, "token": text})


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List the tokens, without their texts."""
    tokens = read_tokens(read_settings().state_dir / FILE)
    rows = [asdict(token) for token in tokens]
    shown = [{name: value for name, value in row.items() if name != "sha256"} for row in rows]
    Output(json=json).emit({"tokens": rows}, lambda c: c.print(as_table({"tokens": shown or "none"})))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="as `almanac tokens list` names it")], json: Json = False
) -> None:
    """End a token at once."""
    revoke_token(read_settings().state_dir / FILE, token_id)
    Output(json=json).emit({"revoked": token_id})
