"""The addon's last moment, and what it says of the gateway."""

import atexit
from pathlib import Path
from typing import Any, cast

import pytest

from foxora_addon.config import load
from foxora_addon.proxy.addon import Foxora


@pytest.fixture
def addon() -> Foxora:
    made = Foxora()
    atexit.unregister(made._exit)
    return made


class Steps:
    """Takes down what is called, and fails each time."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def named(self, name: str) -> Any:
        def fail() -> None:
            self.taken.append(name)
            raise OSError(name)

        return fail


class Closed:
    def __init__(self, close: Any) -> None:
        self.close = close


def test_at_the_end_each_step_is_taken_whatever_becomes_of_the_others(
    addon: Foxora, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    monkeypatch.setattr(addon._notices, "withdraw", steps.named("notices"))
    monkeypatch.setattr(addon.desk.ends, "lose_all", steps.named("calls"))
    monkeypatch.setattr(addon._lines, "flush", steps.named("lines"))
    addon.desk.memory = cast("Any", Closed(steps.named("memory")))
    addon._trail = cast("Any", Closed(steps.named("trail")))
    with pytest.raises(OSError, match="lines"):
        addon._exit()
    assert steps.taken == ["notices", "calls", "trail", "memory", "lines"]


@pytest.mark.parametrize(
    ("base_url", "path"), [("mock", "/v1"), ("https://h.example/api/v1", "/api/v1")]
)
def test_the_gateways_paths_begin_as_those_of_the_one_in_force(
    addon: Foxora, base_url: str, path: str
) -> None:
    assert addon.base_path() == ""
    addon._mock_url = "http://127.0.0.1:1/v1"
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_in_force"}
    addon._config = load({"foxora_base_url": base_url}, environment, Path("/nonexistent"))
    assert addon.base_path() == path
