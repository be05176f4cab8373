"""A real proxy signs its trail by itself; what is cut off after it was killed shows."""

from pathlib import Path

import pytest

from foxora_addon.audit.keys import make_key, public_path
from foxora_addon.audit.signing import signed_heads
from foxora_addon.audit.verification import verify
from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    Proxy,
    direct_client,
    run_to_its_end,
    running_proxy,
    wait_until,
)

CONFIGURATION = "audit: {path: trail.jsonl, checkpoint_key: {file: audit.key}, %s}\n"
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}


def configure(folder: Path, rest: str) -> None:
    (folder / "foxora.yaml").write_text(CONFIGURATION % rest)


def calls(proxy: Proxy, count: int) -> None:
    with direct_client() as client:
        for _ in range(count):
            url, key = f"{proxy.base_url}/chat/completions", f"Bearer {APP_KEY}"
            assert client.post(url, json=CALL, headers={"authorization": key}).is_success


def signed_up_to(folder: Path) -> int:
    file = folder / "trail.jsonl.checkpoint"
    heads = signed_heads(file, public_path(folder / "audit.key")) if file.exists() else []
    return (heads[-1].seq or 0) if heads else 0


@pytest.mark.real_server
def test_what_is_cut_off_since_the_last_checkpoint_shows(tmp_path: Path) -> None:
    make_key(tmp_path / "audit.key")
    configure(tmp_path, "checkpoint_seconds: 86400, checkpoint_records: 4")
    with running_proxy(tmp_path) as proxy:
        calls(proxy, 4)
        wait_until(lambda: signed_up_to(tmp_path) >= 4, lambda: proxy.output)
        assert proxy.process is not None
        proxy.process.kill()
        proxy.process.wait()
    whole = proxy.trail.read_bytes().splitlines(keepends=True)
    proxy.trail.write_bytes(b"".join(whole[:2]))
    found = run_to_its_end([str(BIN / "foxora-proxy"), "audit", "verify"], tmp_path)
    assert found.returncode == 1
    assert "ends with record 2, and had come to" in found.stdout

    (tmp_path / "trail.jsonl.head").unlink()
    with running_proxy(tmp_path) as proxy:
        assert "ends with record 2, but had come to" in proxy.output
        calls(proxy, 1)
    assert "missing" in (verify(proxy.trail).problem or ""), "what came later covers nothing up"


@pytest.mark.real_server
def test_it_is_signed_at_the_end_and_a_changed_key_is_told_while_it_runs(tmp_path: Path) -> None:
    make_key(tmp_path / "audit.key")
    configure(tmp_path, "checkpoint_seconds: 86400")
    with running_proxy(tmp_path) as proxy:
        calls(proxy, 2)
        wait_until(lambda: signed_up_to(tmp_path) > 0, lambda: proxy.output)
        make_key(tmp_path / "other.key")
        (tmp_path / "audit.key").replace(tmp_path / "first.key")
        (tmp_path / "other.key").replace(tmp_path / "audit.key")
        configure(tmp_path, "checkpoint_seconds: 3600")
        wait_until(lambda: "the configuration in force stays" in proxy.output)
        assert "changed, or signed with another key" in proxy.output
        (tmp_path / "first.key").replace(tmp_path / "audit.key")
        calls(proxy, 1)
    assert signed_up_to(tmp_path) == 6
    assert verify(proxy.trail).last_seq == 6
    (tmp_path / "audit.key").unlink()
    found = run_to_its_end([str(BIN / "foxora-proxy"), "audit", "verify"], tmp_path)
    assert "as it was signed at record 6; 0 records came after that" in found.stdout
