"""Runs the programs of the machine that know file systems: mkfs, blkid, fsck, losetup, mount."""

from __future__ import annotations

from navarch.base import programs

LONGEST_S = 120.0


async def run(*words: str, timeout_s: float = LONGEST_S) -> tuple[int, str]:
    """The exit code, and what it printed; of one that failed, its complaints too.

    Raises: OSError, when it cannot be run; TimeoutError, after killing it.
    """
    ended = await programs.run(*words, timeout_s=timeout_s)
    said = ended.output + ended.complaints if ended.code else ended.output
    return ended.code, said.decode("utf-8", "replace").strip()


async def mount(kind: str, source: str, target: str, options: list[str]) -> str:
    """What went wrong, in the words of the program and of those who know Kubernetes; "" when it is mounted now."""
    words = ["-t", kind, *(["-o", ",".join(options)] if options else []), source, target]
    code, said = await run("mount", *words)
    if code == 0:
        return ""
    return (
        f"mount failed: exit status {code}\nMounting command: mount\nMounting arguments: {' '.join(words)}\n"
        f"Output: {said}"
    )
