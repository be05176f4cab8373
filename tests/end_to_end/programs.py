"""Finds the programs that some tests run, and a machine may lack."""

import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not here")
    return path
