"""Signed heads: who has the key can tell later whether the trail was cut or rewritten."""

import json
from pathlib import Path

import pytest

from foxora_addon.audit.keys import make_key
from foxora_addon.audit.signing import signed_head, signed_heads
from foxora_addon.audit.verification import Kept, verify
from tests.builders import a_trail


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "audit.key")
    return tmp_path / "audit.key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return a_trail(tmp_path / "trail.jsonl")


def public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def signed(path: Path, key: Path) -> Path:
    file = path.with_name("heads.jsonl")
    file.write_text(signed_head(path, key, "2026-11-23T12:00:00+00:00") + "\n")
    return file


def test_a_signed_head_is_the_trails(path: Path, key: Path) -> None:
    heads = signed_heads(signed(path, key), public(key))
    report = verify(path)
    assert heads == [Kept(report.last_seq, report.head)]
    assert verify(path, heads).problem is None


def test_a_tail_that_is_cut_off_shows(path: Path, key: Path) -> None:
    heads = signed_heads(signed(path, key), public(key))
    lines = path.read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        assert "cut off" in (verify(path, heads).problem or "")


@pytest.mark.parametrize("member", ["seq", "hash", "time", "signature"])
def test_each_changed_member_is_told(path: Path, key: Path, member: str) -> None:
    file = signed(path, key)
    head = json.loads(file.read_text())
    head[member] = {
        "seq": head["seq"] - 1,
        "hash": "0" * 64,
        "time": "2026-11-24T12:00:00+00:00",
        "signature": head["signature"][4:] + "AAA=",
    }[member]
    file.write_text("\n" + json.dumps(head))
    with pytest.raises(ValueError, match=r"heads\.jsonl, line 2: "):
        signed_heads(file, public(key))


def test_another_key_is_told(path: Path, key: Path, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.key")
    with pytest.raises(ValueError, match="changed, or signed with another key"):
        signed_heads(signed(path, key), other)


@pytest.mark.parametrize("line", ["[]", "{}", "x", '{"seq": 1, "hash": 2}', "[" * 10_000])
def test_what_is_no_signed_head_is_told(path: Path, key: Path, line: str) -> None:
    path.write_text(line)
    with pytest.raises(ValueError, match="no signed head"):
        signed_heads(path, public(key))


def test_what_is_no_key_is_told(path: Path, key: Path) -> None:
    for wrong in (path, public(key)):
        with pytest.raises(ValueError, match="no Ed25519 private key"):
            signed_head(path, wrong, "now")
    for wrong in (path, key):
        with pytest.raises(ValueError, match="no Ed25519 public key"):
            signed_heads(signed(path, key), wrong)


def test_a_trail_without_a_record_has_no_head(path: Path, key: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="no record yet"):
        signed_head(path, key, "now")


def test_a_key_is_its_owners_and_never_replaced(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    with pytest.raises(FileExistsError):
        make_key(key)
    assert key.read_bytes() == before
