from pathlib import Path

from foxora_addon.audit.reader import records_of
from foxora_addon.audit.segments import segment_name
from tests.builders import a_trail


def test_records_come_in_their_order_from_all_files(tmp_path: Path) -> None:
    path = a_trail(tmp_path / "trail.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    segment_name(path, 1).write_bytes(b"".join(lines[:3]) + b"torn")
    path.write_bytes(lines[3])

    assert [record["seq"] for record in records_of(path)] == [1, 2, 3, 4]
