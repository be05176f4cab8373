"""Whether bodies are kept whatever their size is known at once when an option changes."""

from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import exceptions, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from foxora_addon.proxy.hold_whole import has_no_limits


def stream_of(opts: options.Options) -> Any:
    return SimpleNamespace(context=SimpleNamespace(options=opts))


def test_it_goes_by_the_options_as_they_are() -> None:
    with taddons.context(Proxyserver()) as context:
        stream = stream_of(context.options)
        assert has_no_limits(stream)
        for option in ("body_size_limit", "stream_large_bodies"):
            for _ in range(2):
                context.options.update(**{option: "1k"})
                assert not has_no_limits(stream)
                assert not has_no_limits(stream)
                context.options.update(**{option: None})
                assert has_no_limits(stream)


def test_a_change_that_is_taken_back_is_none() -> None:
    class Refusing:
        def configure(self, updated: set[str]) -> None:
            if "body_size_limit" in updated and context.options.body_size_limit:
                told.append(has_no_limits(stream))
                raise exceptions.OptionsError("no")

    told: list[bool] = []
    with taddons.context(Proxyserver(), Refusing()) as context:
        stream = stream_of(context.options)
        assert has_no_limits(stream)
        with pytest.raises(exceptions.OptionsError):
            context.options.update(body_size_limit="1k")
        assert told
        assert has_no_limits(stream)


def test_each_set_of_options_speaks_for_itself() -> None:
    with taddons.context(Proxyserver()) as one, taddons.context(Proxyserver()) as other:
        one.options.update(body_size_limit="1k")
        for _ in range(2):
            assert not has_no_limits(stream_of(one.options))
            assert has_no_limits(stream_of(other.options))
        other.options.update(body_size_limit="1k")
        assert not has_no_limits(stream_of(other.options))
