"""`foxora-proxy doctor` on a real proxy, its real authority, and the runtimes of this machine."""

import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.proxies import BIN, Proxy, clean_environment, running_decoy
from tests.end_to_end.test_modes import self_signed

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_obviously-fake-0123"


def doctor(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(BIN / "foxora-proxy"), "doctor", *arguments],
        cwd=folder,
        env=clean_environment(HOME=str(folder), **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_all_is_well_with_a_proxy_that_runs_and_runtimes_trust_it(
    proxy: Proxy, tmp_path: Path
) -> None:
    asked = ("--json", "--port", str(proxy.port))
    trail = {"FOXORA_AUDIT": str(proxy.trail), "FOXORA_BASE_URL": "mock"}
    status, shown = doctor(tmp_path, *asked, **trail)
    found: dict[str, Any] = {each["check"]: each for each in json.loads(shown)["findings"]}
    assert status == 0
    assert "is our proxy" in found["port"]["text"]
    assert "by the proxy that runs" in found["trail"]["text"]
    assert found["CA Python"]["verdict"] == "ok"
    assert "under `foxora-proxy run`" in found["CA Python"]["text"]
    assert found["CA system"]["verdict"] == "ok"

    status, shown = doctor(tmp_path, *asked, **trail, SSL_CERT_FILE=proxy.certificate)
    found = {each["check"]: each for each in json.loads(shown)["findings"]}
    assert found["CA Python"]["text"] == "trusts it in this shell"


def test_a_fresh_machine_without_a_key_fails_and_says_what_to_do(tmp_path: Path) -> None:
    status, shown = doctor(tmp_path)
    assert status == 1
    assert "fail  configuration" in shown
    assert "FOXORA_API_KEY is not set" in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_out_of_reach_fails_without_showing_the_key(tmp_path: Path) -> None:
    nowhere = {"FOXORA_BASE_URL": "http://127.0.0.1:9/v1", "FOXORA_API_KEY": FOXORA_KEY}
    status, shown = doctor(tmp_path, **nowhere)
    assert status == 1
    assert "fail  gateway" in shown
    assert FOXORA_KEY not in shown


def test_a_gateway_whose_certificate_is_no_good_fails_in_its_line_alone(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*self_signed(tmp_path))
    with running_decoy(tls) as decoy:
        address = f"https://127.0.0.1:{decoy.port}/v1"
        status, shown = doctor(tmp_path, FOXORA_BASE_URL=address, FOXORA_API_KEY=FOXORA_KEY)
    assert status == 1
    assert f"{address} can't be reached: TLS: CERTIFICATE_VERIFY_FAILED" in shown
