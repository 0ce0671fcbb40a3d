"""`navarch addon`: what a cluster can be given beside what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from navarch.app.layout import DATA, RUN, Layout
from navarch.cli.options import DataOption, Form, FormOption, RunOption

if TYPE_CHECKING:
    from navarch.app.addons.addon import Addon

addon_app = typer.Typer(help="Add-ons, such as Ingress or the Gateway API.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="ADDON", help="Its name, as `navarch addon list` shows it.")]


def _addon(name: str) -> Addon:
    from navarch.app.addons import ALL

    for addon in ALL:
        if addon.name == name:
            return addon
    raise typer.BadParameter(f"no add-on is called {name!r}: there is {', '.join(one.name for one in ALL)}")


@addon_app.command("enable")
def addon_enable(name: NameArgument, data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Give the cluster an add-on. Harmless where it has it already."""
    from navarch.app.addons import cluster
    from navarch.cli import output

    addon, layout = _addon(name), Layout(data_dir, run_dir)
    output.play(cluster.enabling(layout, addon))
    state = cluster.Cluster(layout).state(addon)
    output.note(f"{addon.about}, at {', '.join(state.addresses)}")


@addon_app.command("image")
def addon_image(name: NameArgument, data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Put an add-on's image onto this machine, which joined. Enabled again, the add-on runs here too."""
    from navarch.app.addons import cluster
    from navarch.cli import output

    output.play(cluster.placing(Layout(data_dir, run_dir), _addon(name)))


@addon_app.command("disable")
def addon_disable(name: NameArgument, data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Take an add-on away, with all that it consists of. Harmless where it is not."""
    from navarch.app.addons import cluster
    from navarch.cli import output

    addon, layout = _addon(name), Layout(data_dir, run_dir)
    output.play(cluster.disabling(layout, addon))
    if kinds := cluster.left(layout, addon):
        output.note(f"Objects of these kinds are there, so the kinds stay defined: {', '.join(kinds)}")


@addon_app.command("list")
def addon_list(data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text) -> None:
    """List the add-ons that there are, and how each is."""
    from navarch.app import tokens
    from navarch.app.addons import ALL, cluster
    from navarch.cli import output

    layout = Layout(data_dir, run_dir)
    tokens.settings_of(layout)
    states = [(addon, cluster.Cluster(layout).state(addon)) for addon in ALL]
    if output_form is Form.json:
        facts = [
            {
                "name": addon.name,
                "state": state.word,
                "version": state.version,
                "addresses": list(state.addresses),
                "missing": list(state.missing),
                "about": addon.about,
            }
            for addon, state in states
        ]
        output.facts({"addons": facts})
        return
    rows = [
        (addon.name, state.word, state.version or "-", ", ".join(state.addresses) or "-", addon.about)
        for addon, state in states
    ]
    output.table(("ADDON", "STATE", "VERSION", "ADDRESSES", "WHAT IT IS"), rows)
