"""The notice of a proxy: what it says, and which configurations are alike."""

from pathlib import Path

import pytest

from foxora_addon.config import Config, load
from foxora_addon.notice import Notice, notice_of, place_of, read_notice, write_notice


def configured(folder: Path, **environment: str) -> Config:
    return load({}, {"FOXORA_API_KEY": "foxora_sk_one", **environment}, folder)


@pytest.fixture
def notice(tmp_path: Path) -> Notice:
    return notice_of(configured(tmp_path), tmp_path / "trail", 8080, None, "token")


def test_a_notice_is_read_as_it_was_written(tmp_path: Path, notice: Notice) -> None:
    place = place_of(tmp_path, tmp_path / "trail")
    write_notice(place, notice)
    assert read_notice(place) == notice
    assert place.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port": 1}', "no JSON"])
def test_what_is_no_notice_is_none(tmp_path: Path, text: str) -> None:
    place = tmp_path / "notice"
    assert read_notice(place) is None
    place.write_text(text)
    assert read_notice(place) is None


def test_a_proxy_is_like_another_if_configuration_and_keys_are(
    tmp_path: Path, notice: Notice
) -> None:
    assert notice.is_like(configured(tmp_path))
    assert not notice.is_like(configured(tmp_path, FOXORA_API_KEY="foxora_sk_two"))
    assert not notice.is_like(configured(tmp_path, FOXORA_BASE_URL="https://other.example/v1"))


def test_each_trail_has_a_place_of_its_own(tmp_path: Path) -> None:
    assert place_of(tmp_path, tmp_path / "a") != place_of(tmp_path, tmp_path / "b")


def test_a_trail_whose_name_is_no_text_has_a_notice_too(tmp_path: Path) -> None:
    named = configured(tmp_path, FOXORA_AUDIT="raw\udcff.jsonl")
    notice = notice_of(named, named.audit.path, 8080, None, "token")
    place = place_of(tmp_path, named.audit.path)
    write_notice(place, notice)
    assert read_notice(place) == notice
    assert notice.is_like(named)
    assert not notice.is_like(configured(tmp_path, FOXORA_AUDIT="raw\udcfe.jsonl"))


def test_a_trail_that_is_spelled_otherwise_is_no_other_configuration(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    notice = notice_of(configured(tmp_path, FOXORA_AUDIT="trail"), tmp_path / "trail", 1, None, "")
    assert notice.is_like(configured(tmp_path, FOXORA_AUDIT="link/link/trail"))
    assert not notice.is_like(configured(tmp_path, FOXORA_AUDIT="other"))
