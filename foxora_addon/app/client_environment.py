"""Says which environment variables turn a program to the proxy, for `run` and for `env`.

Pure: the environment that is there is an argument, and what must differ is the result.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from foxora_addon.app.ca_bundle import ADDING, REPLACING
from foxora_addon.placeholder import PLACEHOLDER_KEY

# The last two are for wss:// URLs, for which aiohttp heeds no other.
_PROXIES: Final = (
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "WSS_PROXY",
    "wss_proxy",
)
_NO_PROXIES: Final = ("NO_PROXY", "no_proxy")
_AZURE: Final = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def variables_of(
    url: str,
    bundle: str,
    environ: Mapping[str, str],
    *,
    keeps_key: bool = False,
    takes_tunnels: bool = True,
) -> dict[str, str]:
    """The variables to set, with their values. `url` is the proxy's, `http://127.0.0.1:PORT`.

    `keeps_key`: the app's own OPENAI_API_KEY stays if it has one, because accounts claim keys.
    `takes_tunnels`: False where the proxy is a reverse one, at which every tunnel would fail.
    AZURE_OPENAI_ENDPOINT is changed only where there is one: apps take its presence for the wish
    to use Azure. OPENAI_API_BASE, which older programs read, is left out for these unless they have
    one: LangChain's classes for Azure refuse to start beside it. The Foxora key is hidden: no app
    needs it.
    """
    base_url = f"{url}/v1"
    no_proxy = ",".join(_no_proxy(environ))
    variables = {
        "OPENAI_BASE_URL": base_url,
        **dict.fromkeys(_PROXIES if takes_tunnels else (), url),
        **dict.fromkeys(_NO_PROXIES, no_proxy),
        **dict.fromkeys((*REPLACING, *ADDING), bundle),
        "NODE_USE_ENV_PROXY": "1",
    }
    if environ.get("OPENAI_API_BASE") or not any(map(environ.get, _AZURE)):
        variables["OPENAI_API_BASE"] = base_url
    if not (keeps_key and environ.get("OPENAI_API_KEY")):
        variables["OPENAI_API_KEY"] = PLACEHOLDER_KEY
    if environ.get("AZURE_OPENAI_ENDPOINT"):
        variables["AZURE_OPENAI_ENDPOINT"] = url
    if environ.get("FOXORA_API_KEY"):
        variables["FOXORA_API_KEY"] = PLACEHOLDER_KEY
    return variables


def variables_to(
    status: Mapping[str, Any], bundle: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Those that lead to a proxy, by the status that it tells; it may be of an older version."""
    return variables_of(
        status["url"],
        bundle,
        environ,
        keeps_key=status["heeds_client_keys"],
        takes_tunnels=status.get("takes_tunnels", True),
    )


def _no_proxy(environ: Mapping[str, str]) -> Iterator[str]:
    """The user's own exceptions, and this machine: its services, and the base URL, go direct."""
    given = [part.strip() for name in _NO_PROXIES for part in environ.get(name, "").split(",")]
    yield from dict.fromkeys([*(part for part in given if part), *_LOOPBACK])


def warnings_of(environ: Mapping[str, str], url: str = "") -> Iterator[str]:
    """What in this environment is likely to surprise, a line each; no value that may be secret.

    `url` is the proxy's own: what leads there is as it should be.
    """
    upstream = next((name for name in _PROXIES if environ.get(name, url) not in {"", url}), None)
    if upstream is not None:
        yield (
            f"{upstream} is set already, and the proxy itself does not use it: if this machine "
            "can't reach the gateway without, put --mode upstream:URL before --"
        )
    passing = {"*", "openai.com", ".openai.com", "api.openai.com"}
    if found := passing.intersection(_no_proxy(environ)):
        yield (
            f"NO_PROXY has {', '.join(sorted(found))}: calls to https://api.openai.com will not "
            "come through HTTPS_PROXY"
        )
