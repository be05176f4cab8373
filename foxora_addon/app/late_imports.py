"""Has mitmproxy load what hardly anybody uses when it is first used, and so start sooner.

A fifth of bare mitmdump's start goes into ldap3, for `--proxyauth ldap`, and into Flask and
werkzeug, for the page http://mitm.it and `--map-local`. Here they are promised when mitmproxy asks
for them, and loaded at their first use: nothing that they do is another. To be called before
anything of mitmproxy's is imported. Where its addons use them otherwise than in the release that is
known, which the sources of those addons tell, they are loaded as ever.
"""

import hashlib
import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Final

_LDAP: Final = "ldap3"
_PAGE: Final = "mitmproxy.addons.onboardingapp"
_SECURITY: Final = "werkzeug.security"
_USERS: Final[Mapping[str, tuple[str, str]]] = {
    _LDAP: ("proxyauth.py", "fc59f135f12daf42 2418e477982f30e9"),
    _PAGE: ("onboarding.py", "1143abf4eae68e13"),
    _SECURITY: ("maplocal.py", "ff37d5608a6c68c7"),
}
"""Which of mitmproxy's addons asks for a module, and the SHA-256 of its known sources."""


def promise() -> None:
    """Promise them all, but for those that are loaded already or used in another way."""
    mitmproxy = find_spec("mitmproxy")
    if mitmproxy is None or mitmproxy.origin is None:
        return
    addons = Path(mitmproxy.origin).parent / "addons"
    for name, (file, sources) in _USERS.items():
        if name not in sys.modules and source_of(addons / file) in sources.split():
            _PROMISES[name]()


def source_of(path: Path) -> str:
    """The beginning of the SHA-256 of a file; "-" where it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return "-"


def _promise_ldap() -> None:
    """A package, of which mitmproxy uses nothing but attributes."""
    _put(_LDAP, _getter_of(_LDAP, also={"__path__", "__version__"}))


class Page:
    """The WSGI application of http://mitm.it, with what it was configured to until it is loaded."""

    def __init__(self) -> None:
        self.config: dict[str, object] = {}
        self._app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request."""
        app = self._loaded()
        app.config.update(self.config)
        return app(environ, start_response)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded(), name)

    def _loaded(self) -> Any:
        if self._app is None:
            self._app = _load(_PAGE).app
        return self._app


def _promise_page() -> None:
    _put(_PAGE, _getter_of(_PAGE), app=Page())


def _promise_security() -> None:
    def safe_join(directory: str, *pathnames: str) -> str | None:
        """`werkzeug.security.safe_join`."""
        joined: str | None = _load(_SECURITY).safe_join(directory, *pathnames)
        return joined

    _put(_SECURITY, _getter_of(_SECURITY), safe_join=safe_join)


def _getter_of(module: str, also: Collection[str] = ()) -> Callable[[str], Any]:
    """Loads a module for what is asked of it by name, but for what is asked of any module."""

    def get(name: str) -> Any:
        if name.startswith("__") and name not in also:
            raise AttributeError(name)
        return getattr(_load(module), name)

    return get


def _put(name: str, get: Callable[[str], Any], **attributes: object) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(attributes, __getattr__=get)
    sys.modules[name] = _promised[name] = module


_promised: dict[str, ModuleType] = {}
_loaded: dict[str, ModuleType] = {}
_lock = Lock()


def _load(name: str) -> ModuleType:
    """The module itself, in place of its promise.

    The lock is not held as it is loaded: two threads that load it wait for each other by Python's
    own, which knows of circles.
    """
    if name not in _loaded:
        with _lock:
            if sys.modules.get(name) is _promised[name]:
                del sys.modules[name]
        _loaded[name] = import_module(name)
    return _loaded[name]


_PROMISES: Final[Mapping[str, Callable[[], None]]] = {
    _LDAP: _promise_ldap,
    _PAGE: _promise_page,
    _SECURITY: _promise_security,
}
