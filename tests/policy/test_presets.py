import subprocess
import sys

import pytest

from foxora_addon.policy.presets import PRESETS, Preset
from foxora_addon.policy.rewrite import clean

KEY = "sk-provider-fake-0123456789"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_prefixes_are_the_root_or_begin_and_do_not_end_with_a_slash(preset: Preset) -> None:
    assert preset.hosts
    assert preset.prefixes
    assert all(p == "" or (p.startswith("/") and not p.endswith("/")) for p in preset.prefixes)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_credential_of_a_provider_is_found_and_taken_out(preset: Preset) -> None:
    for header in preset.credential_headers:
        cleaned = clean([(header.encode(), f"Bearer {KEY}".encode())], "/v1/models")
        assert cleaned.key == KEY
        assert KEY.encode() not in b"".join(b"".join(field) for field in cleaned.fields)
    for parameter in preset.credential_parameters:
        cleaned = clean([], f"/v1/models?{parameter}={KEY}&a=b")
        assert (cleaned.key, cleaned.target) == (KEY, "/v1/models?a=b")


def test_a_new_row_is_all_that_a_new_provider_needs() -> None:
    code = f"""
from foxora_addon.policy.presets import PRESETS, Preset
PRESETS["new"] = Preset((), ("/v1",), ("x-new-key",), ("new-key",))
from foxora_addon.policy.rewrite import clean
assert clean([(b"X-New-Key", b"{KEY}")], "/v1/models").key == "{KEY}"
assert clean([], "/v1/models?New-Key={KEY}").target == "/v1/models"
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_no_host_belongs_to_two_presets() -> None:
    hosts = [host for preset in PRESETS.values() for host in preset.hosts]
    assert len(hosts) == len(set(hosts))
