"""The proxy of this folder is found by its trail; what answers here is a stand-in."""

import pwd
from pathlib import Path

import pytest

from foxora_addon.app.joined_proxy import JoinedProxy
from foxora_addon.app.local_proxy import NoProxy
from foxora_addon.app.nearby import port_or_nearby
from foxora_addon.config import load
from foxora_addon.notice import notice_of, place_of, write_notice
from tests.app.test_running_proxy import answering


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trail of a folder in which we are, with a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FOXORA_AUDIT", "FOXORA_CONFIG", "FOXORA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".mitmproxy").mkdir()
    return tmp_path / "foxora-audit.jsonl"


def notice(trail: Path, port: int) -> None:
    config = load({"foxora_base_url": "mock"}, {}, trail.parent)
    place = place_of(trail.parent / ".mitmproxy", trail)
    write_notice(place, notice_of(config, trail, port, None, ""))


def test_a_port_that_is_given_is_taken(trail: Path) -> None:
    with answering({"status": {"trail": str(trail)}}) as port:
        notice(trail, port)
        assert port_or_nearby(9000) == 9000


def test_the_proxy_that_writes_this_folders_trail_is_found(trail: Path) -> None:
    with answering({"status": {"trail": str(trail)}}) as port:
        notice(trail, port)
        assert port_or_nearby(None) == port


def test_it_is_found_however_the_trail_is_named(
    trail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trail.parent / "link").symlink_to(trail.parent)
    monkeypatch.setenv("FOXORA_AUDIT", f"../{trail.parent.name}/link/{trail.name}")
    with answering({"status": {"trail": str(trail)}}) as port:
        notice(trail, port)
        assert port_or_nearby(None) == port


def test_it_is_found_without_the_keys_that_it_was_started_with(trail: Path) -> None:
    with answering({"status": {"trail": str(trail)}}) as port:
        notice(trail, port)
        (trail.parent / "foxora.yaml").write_text(
            "accounts:\n"
            "  - name: acme\n"
            "    key: {file: gone.key}\n"
            "    clients: [{key: {env: APP_KEY_OF_ANOTHER_SHELL}}]\n"
            "audit: {checkpoint_key: {file: gone-as-well.key}}\n"
        )
        assert port_or_nearby(None) == port


def test_it_is_found_in_the_folder_that_mitmproxys_own_options_name(trail: Path) -> None:
    config = load({"foxora_base_url": "mock"}, {}, trail.parent)
    elsewhere = trail.parent / "elsewhere"
    elsewhere.mkdir()
    options = trail.parent / ".mitmproxy" / "config.yaml"
    options.write_text(f"confdir: {elsewhere}\n")
    with answering({"status": {"trail": str(trail)}}) as port:
        write_notice(place_of(elsewhere, trail), notice_of(config, trail, port, None, ""))
        assert port_or_nearby(None) == port
        options.write_text("no options")
        assert port_or_nearby(None) == 8080


def test_a_proxy_that_is_no_more_or_another_is_not(trail: Path) -> None:
    assert port_or_nearby(None) == 8080
    with answering({"status": {"trail": "/elsewhere"}}) as port:
        notice(trail, port)
        assert port_or_nearby(None) == 8080
    assert port_or_nearby(None) == 8080


def test_a_configuration_that_is_wrong_is_not_this_ones_to_tell(trail: Path) -> None:
    (trail.parent / "foxora.yaml").write_text("nonsense: 1\n")
    assert port_or_nearby(None) == 8080


def test_a_user_without_a_home_has_no_proxy_nearby(
    trail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert not trail.exists()
    assert port_or_nearby(None) == 8080


def test_only_the_proxy_of_the_trail_is_joined(trail: Path) -> None:
    told = {"trail": str(trail), "tie_port": None, "token": ""}
    with answering({"status": {"trail": "/elsewhere", "url": "http://127.0.0.1:9"}}) as port:
        with pytest.raises(NoProxy):
            JoinedProxy.noticed({**told, "port": port})
        with pytest.raises(NoProxy, match="is no more"):
            JoinedProxy.noticed({**told, "port": port, "tie_port": 9})
