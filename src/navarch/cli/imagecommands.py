"""`navarch image`: what its commands take. What they do and print lies in `cli.images`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from navarch.app.layout import DATA, RUN, Layout
from navarch.cli.options import DataOption, Form, FormOption, RunOption

image_app = typer.Typer(help="Images on the node, for machines that reach no registry too.", no_args_is_help=True)

NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names as pods write them, or ids.")]


@image_app.command("import")
def image_import(
    file: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Image archives (OCI or docker save).", exists=True, dir_okay=False),
    ],
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Put the images of archives onto the node."""
    from navarch.cli import images

    images.take_in(Layout(data_dir, run_dir), file, as_json=output_form is Form.json)


@image_app.command("list")
def image_list(data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text) -> None:
    """List the node's images with their sizes and who uses them."""
    from navarch.cli import images

    images.show(Layout(data_dir, run_dir), as_json=output_form is Form.json)


@image_app.command("export")
def image_export(
    file: Annotated[Path, typer.Argument(help="The archive to write; replaced if it is there.", dir_okay=False)],
    names: NamesArgument,
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Write images to an archive. `navarch image import`, `ctr image import` and `docker load` read it."""
    from navarch.cli import images

    images.give_out(Layout(data_dir, run_dir), file, names, as_json=output_form is Form.json)


@image_app.command("remove")
def image_remove(
    names: NamesArgument,
    force: Annotated[bool, typer.Option("--force", help="Even those that pods use.")] = False,
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Remove images from the node. Of an image with several names, only the name goes."""
    from navarch.cli import images

    images.remove(Layout(data_dir, run_dir), names, force=force, as_json=output_form is Form.json)


@image_app.command("prune")
def image_prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Remove the images that no pod of the node uses. Those in its folder of images stay."""
    from navarch.cli import images

    images.prune(Layout(data_dir, run_dir), dry_run=dry_run, as_json=output_form is Form.json)


@image_app.command("build")
def image_build(
    folder: Annotated[
        Path | None,
        typer.Argument(help="What becomes the image's root.", exists=True, file_okay=False, show_default=False),
    ] = None,
    tag: Annotated[list[str], typer.Option("-t", "--tag", metavar="NAME:TAG", help="May be repeated.")] = [],  # noqa: B006
    debian: Annotated[
        str, typer.Option(metavar="PACKAGE,...", help="Debian packages, with all that they need, below the folder.")
    ] = "",
    entrypoint: Annotated[str, typer.Option(metavar="WORDS", help='Such as "python3 /app.py".')] = "",
    cmd: Annotated[str, typer.Option(metavar="WORDS", help="Its arguments, where a pod gives none.")] = "",
    env: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="May be repeated.")] = [],  # noqa: B006
    user: Annotated[str, typer.Option(metavar="UID[:GID]", help="Whom it runs as [root].")] = "",
    workdir: Annotated[str, typer.Option(metavar="PATH", help="Where it starts [/].")] = "",
    label: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="May be repeated.")] = [],  # noqa: B006
    port: Annotated[list[str], typer.Option(metavar="PORT[/udp]", help="It listens there. May be repeated.")] = [],  # noqa: B006
    exclude: Annotated[list[str], typer.Option(metavar="PATH", help="Of the folder, left out. May be repeated.")] = [],  # noqa: B006
    keep_owners: Annotated[
        bool, typer.Option("--keep-owners", help="Files keep their owners; else all are root's.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Write an archive instead of putting it onto the node."),
    ] = None,
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    output_form: FormOption = Form.text,
) -> None:
    """Make a small image of a folder, of Debian packages, or both. The same input makes the same image."""
    from navarch.cli import images

    wanted = images.Wanted(
        tags=tag,
        folder=folder,
        packages=[name for name in debian.split(",") if name],
        entrypoint=entrypoint,
        command=cmd,
        environment=env,
        user=user,
        workdir=workdir,
        labels=label,
        ports=port,
        exclude=exclude,
        keep_owners=keep_owners,
    )
    images.build(Layout(data_dir, run_dir), wanted, file, as_json=output_form is Form.json)
