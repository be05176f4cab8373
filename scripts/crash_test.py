"""Kills a proxy under load N times and verifies its trail after each; run by scripts/crash-test."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.end_to_end.crashes import rounds


def main() -> int:
    parser = argparse.ArgumentParser("scripts/crash-test", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("seed", nargs="?", type=int, default=int(time.time()))
    given = parser.parse_args()
    count, seed = given.count, given.seed
    print(f"{count} crashes, seed {seed}")
    started = time.monotonic()
    finished = aborted = torn = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, found in enumerate(rounds(Path(folder), count, seed), 1):
                finished += found.finished
                aborted += found.aborted
                torn += found.report.torn_tail_bytes > 0
                report = found.report
                print(
                    f"{number}: {report.records} records in {report.segments} files, "
                    f"{len(report.open)} open, {report.torn_tail_bytes} bytes torn",
                    flush=True,
                )
        except AssertionError as error:
            print(f"BROKEN: {error}")
            return 1
    seconds = time.monotonic() - started
    print(
        f"{count} crashes in {seconds:.0f} s: every trail verified; {finished} answers had come to "
        f"their end and none is lost; {aborted} exchanges ended as aborted; {torn} torn lines"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
