"""`image import`: an archive's images onto this machine's node."""

from __future__ import annotations

import asyncio
from pathlib import Path

from navarch.app import machine
from navarch.app.layout import Layout
from navarch.app.provision import NotProvisioned


def import_archive(layout: Layout, archive: Path) -> list[str]:
    """Returns the names that pods can use from now on.

    Raises:
        NotProvisioned: no cluster runs here, or the file is no image archive.
        agent.runtime.RuntimeFailure: the runtime does not take it.
    """
    settings = machine.containerd_settings(layout)
    if not settings.socket.exists():
        raise NotProvisioned("there is no cluster on this machine; `navarch up` makes one")

    async def play() -> list[str]:
        from navarch.agent.cri import CriRuntime
        from navarch.base.clock import SystemClock

        runtime = CriRuntime(settings.socket, SystemClock())
        try:
            return list(await runtime.import_image(archive))
        except (ValueError, OSError) as error:
            raise NotProvisioned(str(error)) from error
        finally:
            await runtime.close()

    return asyncio.run(play())
