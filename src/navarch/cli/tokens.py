"""`navarch token`: what another machine joins with."""

from __future__ import annotations

from typing import Annotated

import typer

from navarch.app.layout import DATA, RUN, Layout
from navarch.cli.options import DataOption, Form, FormOption, RunOption

token_app = typer.Typer(help="Tokens that other machines join with.", no_args_is_help=True)


@token_app.command("create")
def token_create(
    token: Annotated[str, typer.Argument(help="The token itself [made at random].", show_default=False)] = "",
    ttl: Annotated[str, typer.Option(help="How long it can be used; 0 for ever.")] = "24h",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    usages: Annotated[str, typer.Option(help="What it may be used for.")] = "authentication,signing",
    groups: Annotated[str, typer.Option(help="Groups of whoever uses it.", show_default=False)] = "",
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Make a token, and print the command to join with it."""
    from datetime import timedelta

    from navarch.app import tokens
    from navarch.app.machine import seconds
    from navarch.base.clock import SystemClock, SystemIds, rfc3339
    from navarch.cli import output

    layout = Layout(data_dir, run_dir)
    settings = tokens.settings_of(layout)
    named = {"groups": [one for one in groups.split(",") if one]} if groups else {}
    try:
        made = tokens.make(
            token or tokens.new_text(SystemIds()),
            SystemClock().now(),
            timedelta(seconds=seconds(ttl)),
            usages=[one for one in usages.split(",") if one],
            description=description,
            **named,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    tokens.create(layout, made)
    command = tokens.join_command(layout, settings, made, output.program())
    if output_form is Form.json:
        expires = rfc3339(made.expires) if made.expires else None
        output.facts({"token": made.text, "expires": expires, "command": command})
    else:
        print(command)


@token_app.command("list")
def token_list(data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text) -> None:
    """List the tokens that there are."""
    from navarch.app import tokens
    from navarch.base.clock import SystemClock, rfc3339
    from navarch.cli import output

    layout = Layout(data_dir, run_dir)
    tokens.settings_of(layout)
    found, now = tokens.listed(layout), SystemClock().now()
    if output_form is Form.json:
        facts = [
            {
                "token": one.text,
                "expires": rfc3339(one.expires) if one.expires else None,
                "usages": one.usages,
                "groups": one.groups,
                "description": one.description,
            }
            for one in found
        ]
        output.facts({"tokens": facts})
        return
    rows = [
        (
            one.text,
            "ended" if one.over(now) else f"{(one.expires - now).total_seconds() / 3600:.0f}h" if one.expires else "-",
            ",".join(one.usages) or "-",
            ",".join(one.groups) or "-",
            one.description,
        )
        for one in found
    ]
    output.table(("TOKEN", "LEFT", "USAGES", "GROUPS", "DESCRIPTION"), rows)


@token_app.command("delete")
def token_delete(
    token: Annotated[str, typer.Argument(help="The token, or its first six characters.")],
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
) -> None:
    """Delete a token. Nobody can join with it from then on; machines that have joined stay."""
    from navarch.app import tokens
    from navarch.cli import output

    layout = Layout(data_dir, run_dir)
    tokens.settings_of(layout)
    output.done(f"token {tokens.delete(layout, token)} deleted")
