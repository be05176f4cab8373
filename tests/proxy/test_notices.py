"""What is told of another proxy that has the trail."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from foxora_addon.proxy.notices import told_once_found

type Told = dict[str, Any]

UNFOUND: Told = {"trail": "t", "notice": None, "is_like": False}
FOUND: Told = {"trail": "t", "notice": {"port": 1}, "is_like": True}


@pytest.fixture
def tie() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_one_that_starts_is_waited_for_until_it_can_be_found(
    tie: tuple[socket.socket, socket.socket],
) -> None:
    looks = iter([UNFOUND, UNFOUND, FOUND, UNFOUND])
    assert told_once_found(lambda: next(looks), tie[0]) == FOUND
    assert next(looks) == UNFOUND


def test_one_that_is_never_found_is_told_all_the_same(
    tie: tuple[socket.socket, socket.socket],
) -> None:
    assert told_once_found(lambda: UNFOUND, tie[0], seconds=0.05) == UNFOUND


def test_nobody_waits_whose_owner_has_gone(tie: tuple[socket.socket, socket.socket]) -> None:
    looks = iter([UNFOUND, FOUND])
    tie[1].close()
    assert told_once_found(lambda: next(looks), tie[0]) == UNFOUND
