"""Of two mistakes, the one in the file is told: it may be why the key is missed."""

from pathlib import Path

import pytest

from foxora_addon.config import ConfigError, load


def test_a_mistake_in_the_file_is_told_before_a_missing_key(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text("gateway: {bse_url: mock}\n")
    with pytest.raises(ConfigError, match=r"foxora\.yaml:1: gateway\.bse_url: unknown key"):
        load({}, {}, tmp_path)


def test_a_file_without_a_mistake_still_needs_a_key(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text("gateway: {connect_timeout_seconds: 5}\n")
    with pytest.raises(ConfigError, match="FOXORA_API_KEY is not set"):
        load({}, {}, tmp_path)
