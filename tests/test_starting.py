"""Garbage is looked for as ever once the program has started."""

import subprocess
import sys

CODE = """
import gc
from foxora_addon import starting
usual, kept = gc.get_threshold(), gc.get_freeze_count()  # 3.12 keeps some itself
starting.is_over()
assert gc.get_threshold() == usual and gc.get_freeze_count() == kept
starting.begins()
starting.begins()
assert gc.get_threshold() == (1_000_000, *usual[1:]) and gc.isenabled()
starting.is_over()
frozen = gc.get_freeze_count()
assert gc.get_threshold() == usual and frozen > kept
more = [[] for _ in range(1000)]
starting.begins()
starting.is_over()
assert gc.get_threshold() == usual and gc.get_freeze_count() <= frozen, gc.get_freeze_count()
"""


def test_garbage_is_looked_for_rarely_until_the_start_is_over() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
