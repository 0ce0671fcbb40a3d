"""What is refused of an image."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.imagechecks import check_image, leads_through_descriptor
from navarch.agent.runtime import Image, RuntimeFailure


def image(**more: Any) -> Image:
    return Image("sha256:i", ("app:1",), **more)


@pytest.mark.parametrize(
    ("found", "working_dir", "problem"),
    [
        (image(), "", ""),
        (image(labels=("maintainer", "org.opencontainers.image.title")), "", ""),
        (image(labels=("containerd.io/restart.loguri",)), "", "'containerd.io/restart.loguri' addresses"),
        (image(labels=("io.cri-containerd.kind",)), "", "addresses the container runtime"),
        (image(uid=2**31 - 1, user_text="2147483647:5"), "", ""),
        (image(uid=2**32, user_text="4294967296"), "", "its user 4294967296 is beyond"),
        (image(user_text="1000:2147483648", uid=1000), "", "its user 2147483648 is beyond"),
        (image(username="app", user_text="app:app"), "", ""),
        (image(working_dir="/proc/self/fd/8"), "", "goes through a file descriptor"),
        (image(working_dir="/proc/self/../self/fd/8/../.."), "", "goes through a file descriptor"),
        (image(working_dir="//dev//fd/7"), "", "goes through a file descriptor"),
        (image(working_dir="/srv"), "/proc/1/fd", "goes through a file descriptor"),
        (image(working_dir="/proc/self/fd/8"), "/srv", ""),
        (image(working_dir="/proc/self/fdinfo"), "", ""),
        (image(working_dir="proc/thread-self/fd/3"), "", "goes through a file descriptor"),
    ],
)
def test_what_leads_out_of_containers_is_refused(found: Image, working_dir: str, problem: str) -> None:
    if not problem:
        check_image(found, working_dir)
        return
    with pytest.raises(RuntimeFailure, match="image is refused: ") as caught:
        check_image(found, working_dir)
    assert problem in str(caught.value)
    assert caught.value.reason == "CreateContainerConfigError"


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/fd",
        "//proc///self/fd/8/../../..",
        "/app/../proc/self/fd/9",
        "/proc/./self/fd/7/../../../etc",
        "/proc/thread-self/fd/3",
        "/proc/1/task/1/fd/3",
        "/dev/fd/8",
    ],
)
def test_every_step_of_a_working_directory_counts(path: str) -> None:
    assert leads_through_descriptor(path)


@pytest.mark.parametrize("path", ["", "/", "/app", "/proc/self/fdinfo", "/home/proc/self/fd/1", "/dev/fdx", "proc"])
def test_other_working_directories_lead_nowhere_else(path: str) -> None:
    assert not leads_through_descriptor(path)


@given(st.text())
def test_what_follows_a_descriptor_does_not_hide_it(rest: str) -> None:
    assert leads_through_descriptor("/proc/self/fd/3/" + rest)
