"""Builds the images of this example: `python examples/voyage/build.py --into FOLDER`.

They are made of Debian packages (see images.yaml), so that no image registry is needed. What is in FOLDER already and
has not changed is not built again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from navarch.app.sample import build_images

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, required=True, help="where the archives go")
    parser.add_argument("--cache", type=Path, default=Path("/var/cache/navarch"), help="where packages are kept")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    for archive in build_images(Path(__file__).parent, arguments.cache, print):
        target = arguments.into / archive.name
        target.unlink(missing_ok=True)
        target.symlink_to(archive)
