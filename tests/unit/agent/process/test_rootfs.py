"""What of the host's file systems a host process is shown."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.process import rootfs

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 0:6 / /dev/shm rw - tmpfs tmpfs rw
25 22 8:2 / /home rw shared:2 - ext4 /dev/sda2 rw
26 25 8:3 / /home/two\\040words rw - xfs /dev/sda3 rw
27 22 0:7 / /srv/nfs rw - nfs4 server:/ rw
28 22 8:4 / /run/media rw - vfat /dev/sdb1 rw
29 22 0:8 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
30 22 8:1 /v /var/lib/navarch/agent/pods/x rw - ext4 /dev/sda1 rw
31 22 8:5 / /var/lib/navarchive rw - ext4 /dev/sda5 rw
garbage
"""


def test_file_systems_of_disks_and_networks_are_shown_each_after_the_one_it_lies_in() -> None:
    found = rootfs.parts(TABLE, ("/var/lib/navarch",))
    assert found == ["/", "/home", "/home/two words", "/srv/nfs", "/var/lib/navarchive"]


def test_there_is_always_a_root() -> None:
    assert rootfs.parts("") == ["/"]


names = st.text(st.sampled_from("ab"), min_size=1, max_size=2)


@given(st.lists(st.lists(names, min_size=1, max_size=4)))
def test_what_lies_below_another_comes_after_it(paths: list[list[str]]) -> None:
    points = ["/" + "/".join(path) for path in paths]
    found = rootfs.parts("".join(f"1 1 8:1 / {point} rw - ext4 /dev/sda rw\n" for point in points))
    assert set(found) == {"/", *points}
    for index, point in enumerate(found):
        assert not any(later != point and point.startswith(f"{later}/") for later in found[index:])


def test_what_would_part_options_is_escaped() -> None:
    assert rootfs.layered("/a:b,c\\d", Path("/u"), Path("/w")) == "lowerdir=/a\\:b\\,c\\\\d,upperdir=/u,workdir=/w"
