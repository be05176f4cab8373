"""Writes configs/audit.schema.json from the models of the records; --check only compares."""

import argparse
import json
import sys
from pathlib import Path

from foxora_addon.audit.schema import RECORD

SCHEMA = Path(__file__).parents[1] / "configs" / "audit.schema.json"


def main() -> int:
    parser = argparse.ArgumentParser("scripts/schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    given = parser.parse_args()
    text = json.dumps(RECORD.json_schema(), indent=2) + "\n"
    if not given.check:
        SCHEMA.write_text(text, "utf-8")
        return 0
    if SCHEMA.exists() and SCHEMA.read_text("utf-8") == text:
        return 0
    sys.stderr.write("configs/audit.schema.json is stale: run scripts/schema\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
