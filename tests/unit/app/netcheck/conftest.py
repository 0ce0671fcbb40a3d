"""Lets the tests of this folder share `check_scenery`, and the small cluster of the traces' tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "nettrace"))
