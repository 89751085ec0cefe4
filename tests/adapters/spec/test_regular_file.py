"""Only regular files are read, and only up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expplat.adapters.spec_file import read_regular_file
from expplat.errors import InputError, NotFoundError


def test_a_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert read_regular_file(tmp_path / "a", 3) == b"abc"
    assert read_regular_file(tmp_path / "b") == b"abc"


def test_a_file_over_the_limit_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"abcd")

    with pytest.raises(InputError, match="larger than 3 bytes"):
        read_regular_file(tmp_path / "a", 3)


@pytest.mark.timeout(5)
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InputError, match="pipe or a device"):
        read_regular_file(tmp_path / "pipe")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device):
    with pytest.raises(InputError, match="pipe or a device"):
        read_regular_file(Path(device))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_regular_file(tmp_path)


@pytest.mark.parametrize("name", ["missing", "folder/missing"])
def test_what_is_not_there_is_not_found(tmp_path, name):
    with pytest.raises(NotFoundError, match="no file"):
        read_regular_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(InputError):
        read_regular_file(tmp_path / name)


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")

    with pytest.raises(InputError, match="cannot be read"):
        read_regular_file(tmp_path / "a")
