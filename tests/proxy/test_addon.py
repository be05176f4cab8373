"""The addon's last moment."""

import atexit
from typing import Any, cast

import pytest

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
    monkeypatch.setattr(addon.desk, "abort_all", steps.named("calls"))
    monkeypatch.setattr(addon._lines, "flush", steps.named("lines"))
    addon.desk.memory = cast("Any", Closed(steps.named("memory")))
    addon._trail = cast("Any", Closed(steps.named("trail")))
    with pytest.raises(OSError, match="lines"):
        addon._exit()
    assert steps.taken == ["notices", "calls", "trail", "memory", "lines"]
