"""`navarch certificates`: when the cluster's certificates end, and new ones under what runs."""

from __future__ import annotations

import typer

from navarch.app.layout import DATA, RUN, Layout
from navarch.cli.options import DataOption, Form, FormOption, RunOption

certificates_app = typer.Typer(help="The cluster's certificates.", no_args_is_help=True)


@certificates_app.command("list")
def certificates_list(
    data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text
) -> None:
    """List the cluster's certificates: who shows them, and when they end."""
    from navarch.app import renewal
    from navarch.base.clock import SystemClock, rfc3339
    from navarch.cli import output

    found = renewal.certificates(Layout(data_dir, run_dir))
    if output_form is Form.json:
        facts = [{"name": one.name, "subject": one.subject, "notAfter": rfc3339(one.ends_at)} for one in found]
        output.facts({"certificates": facts})
        return
    now = SystemClock().now()
    rows = [(one.name, rfc3339(one.ends_at), f"{(one.ends_at - now).days}d", one.purpose) for one in found]
    output.table(("NAME", "ENDS", "LEFT", "SHOWN BY"), rows)


@certificates_app.command("renew")
def certificates_renew(
    data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text
) -> None:
    """Make all certificates anew but the authorities'; what runs goes on. Done by itself 60 days before they end."""
    from navarch.app import renewal
    from navarch.cli import output

    layout = Layout(data_dir, run_dir)
    renewal.renew(layout)
    if output_form is Form.json:
        output.facts({"renewed": [one.name for one in renewal.certificates(layout) if not one.name.endswith("ca")]})
    else:
        output.done("certificates renewed; server and agent show the new ones")
