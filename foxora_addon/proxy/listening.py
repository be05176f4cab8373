"""Where the proxy listens, by which names, and whether that is safe.

mitmproxy listens on every interface by default (mitmproxy-facts.md row 27): whoever could reach the
port would spend the account's key.
"""

import asyncio
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from mitmproxy import master
from mitmproxy.exceptions import OptionsError
from mitmproxy.options import Options
from mitmproxy.proxy import mode_servers, mode_specs
from mitmproxy_rs.udp import UdpServer

from foxora_addon.config import Config
from foxora_addon.policy.hosts import canonical_host, is_loopback
from foxora_addon.proxy.flow_list import KEEP_OPTIONS

_WITH_TUNNELS = (mode_specs.RegularMode, mode_specs.UpstreamMode)
_OF_HTTP = (*_WITH_TUNNELS, mode_specs.ReverseMode)
_PAUSE_SECONDS: Final = 0.01
_TURNS_TO_LET_IN: Final = 3
"""Of the event loop: it sees who waits, accepts them, and gives each its transport."""
_NO_KEY_OPTION: Final = (
    "a key is never an option; export FOXORA_API_KEY, or write accounts[].key in foxora.yaml"
)


class Unusable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The host's options can't be used together with ours; `str` is one line for the operator."""


def flaw_of_given(options: Options) -> str | None:
    """Give the options that a script has added what was set for them; what can't be taken, or None.

    mitmproxy does so behind the script's `load`. Where it can't, it says nothing and calls that
    script no more, with the port open to everybody.
    """
    try:
        options.process_deferred()
    except (OptionsError, TypeError) as error:
        for name in options.keys() & options.deferred.keys():
            del options.deferred[name]
        return str(error)
    return None


def check_names(options: Options) -> None:
    """Refuse options of ours that are none, whatever the configuration says; raises `Unusable`."""
    if unknown := sorted(name for name in options.deferred if name.lower().startswith("foxora")):
        raise Unusable(_why_unknown(unknown[0], options.keys()))


def check(options: Options, config: Config) -> None:
    """Refuse options that would break a promise, or do nothing; raises `Unusable`."""
    for name in KEEP_OPTIONS:
        if getattr(options, name) < 0:
            raise Unusable(f"option {name}: must be 0, which keeps all, or more")
    for why in unsafe(options, config).values():
        raise Unusable(why)
    for host in _chosen_hosts(options):
        if not is_loopback(host) and not admits_others(config):
            raise Unusable(
                f"listening on {host} lets other machines spend the key; listen on 127.0.0.1, or "
                "list clients' keys under accounts[].clients and set intercept.unclaimed_keys: "
                "refuse"
            )


_REACHED_BY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # as above

SAFE: Final[Mapping[str, object]] = {
    "stream_large_bodies": None,
    "ssl_insecure": False,
    "proxy_debug": False,
}
"""What options must be that would break a promise from the next call on."""


def unsafe(options: Options, config: Config) -> dict[str, str]:
    """Which of them are not what they must be, and why they must."""
    found = {}
    if getattr(options, "stream_large_bodies", None):
        found["stream_large_bodies"] = (
            "the option stream_large_bodies would send requests before they are checked and "
            "recorded; leave it unset (answers are streamed anyway)"
        )
    gateway = config.gateway
    if options.ssl_insecure and not gateway.is_mock and not gateway.allow_insecure_tls:
        found["ssl_insecure"] = (
            "the option ssl_insecure would send the key to whoever answers; leave it unset, or set "
            "gateway.allow_insecure_tls: true"
        )
    if getattr(options, "proxy_debug", False):
        found["proxy_debug"] = (
            "the option proxy_debug would write all keys to the log; leave it unset"
        )
    return found


def _why_unknown(name: str, options: Iterable[str]) -> str:
    """Why an option is none: mitmproxy keeps those for a script to come, and says nothing."""
    if "key" in name.lower():
        return f"option {name}: {_NO_KEY_OPTION}"
    known = sorted(option for option in options if option.startswith("foxora_"))
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"option {name}: not known; {hint}"


def admits_others(config: Config | None) -> bool:
    """Whether clients must prove who they are, so that other machines may be let in."""
    if config is None or config.intercept.missing_key == "default":
        return False
    rule = config.intercept.unclaimed_keys
    return rule != "default" or config.default_account is None


def heeds_client_keys(config: Config) -> bool:
    """Whether it matters which key a client brings: accounts claim some, or not all are taken."""
    claimed = any(client.key_digest for account in config.accounts for client in account.clients)
    return claimed or config.intercept.unclaimed_keys != "default"


def _chosen_hosts(options: Options) -> Iterable[str]:
    """The addresses that the user chose to listen on; none where all is left as it is."""
    if options.has_changed("listen_host"):
        yield options.listen_host or "0.0.0.0"  # noqa: S104  # recognised, not bound
    for mode in _modes(options):
        if mode.custom_listen_host:
            yield mode.custom_listen_host


def _modes(options: Options) -> list[mode_specs.ProxyMode]:
    return [mode_specs.ProxyMode.parse(spec) for spec in options.mode]


def own_names(options: Options) -> set[str]:
    """The addresses by which clients may call the proxy itself."""
    names = (canonical_host(host) for host in _chosen_hosts(options))
    return {name for name in names if name}


def listeners(current: master.Master) -> frozenset[tuple[str, int]]:
    """The addresses that are listened on, with every name of loopback; empty before the start."""
    proxy = current.addons.get("proxyserver")
    found: set[tuple[str, int]] = set()
    for host, port, *_ in proxy.listen_addrs() if proxy else ():
        found |= {(name, port) for name in ("127.0.0.1", "localhost", "::1", host)}
    return frozenset(found)


def http_port(current: master.Master) -> int | None:
    """The lowest port that a base URL may name, and HTTPS_PROXY if there is one for that.

    Any other where there is none such; None before the start.
    """
    ports = _ports(current)
    return ports[0][2] if ports else None


def url_here(current: master.Master) -> str | None:
    """The URL of that port on this machine, where `local_proxy.ask` looks for it as well.

    None before the start.
    """
    ports = _ports(current)
    if not ports:
        return None
    _, _, port, host = ports[0]
    return _url_of(port, host if host == "::1" else "127.0.0.1")


def _ports(current: master.Master) -> list[tuple[bool, bool, int, str]]:
    """The ports that are listened on, the best to name first, behind what they do not take.

    That is tunnels, and HTTP. Each with the address by which this machine reaches it.
    """
    proxy = current.addons.get("proxyserver")
    return sorted(
        (
            not isinstance(server.mode, _WITH_TUNNELS),
            not _speaks_http(server.mode),
            port,
            _REACHED_BY.get(host, host),
        )
        for server in (proxy.servers if proxy else ())
        for host, port, *_ in server.listen_addrs
    )


def _url_of(port: int, host: str) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _speaks_http(mode: mode_specs.ProxyMode) -> bool:
    """Whether a client may begin with a request."""
    return isinstance(mode, _OF_HTTP) and getattr(mode, "scheme", "http") in {"http", "https"}


def way_here(current: master.Master) -> str:
    """How calls come here, as a line begins that says where they go on to."""
    urls = (_url_of(port, host) for _, is_mute, port, host in _ports(current) if not is_mute)
    url = next(urls, None)
    if url is not None:
        is_proxy = takes_tunnels(current.options)
        or_proxy = f", or HTTPS_PROXY={url} with mitmproxy's CA," if is_proxy else ""
        return f"OPENAI_BASE_URL={url}/v1{or_proxy}"
    if names := _names_of_modes(current):
        return f"nothing here takes a base URL; what comes by {' or '.join(names)}"
    return "nothing listens here; what is replayed"


def _names_of_modes(current: master.Master) -> list[str]:
    proxy = current.addons.get("proxyserver")
    return sorted({server.mode.type_name for server in (proxy.servers if proxy else ())})


async def settled(current: master.Master) -> None:
    """Wait until what was bound anew listens, or can't."""
    await asyncio.sleep(0)  # the host begins with it in a task
    proxy = current.addons.get("proxyserver")
    while proxy is not None and proxy.servers.is_updating:  # noqa: ASYNC110  # the host has no such event
        await asyncio.sleep(_PAUSE_SECONDS)


def takes_tunnels(options: Options) -> bool:
    """Whether HTTPS_PROXY may name that port: a reverse proxy opens no tunnels."""
    return any(isinstance(mode, _WITH_TUNNELS) for mode in _modes(options))


def has_upstream_proxy(options: Options) -> bool:
    """Whether calls go to the gateway through another proxy."""
    return any(mode.type_name == "upstream" for mode in _modes(options))


async def let_in() -> None:
    """Accept who has connected: a socket that closes resets those that nobody has accepted."""
    for _ in range(_TURNS_TO_LET_IN):
        await asyncio.sleep(0)


async def free_datagrams(current: master.Master) -> None:
    """Close what hears datagrams where `bind_to_loopback` will bind anew, until it is closed.

    HTTP/3 comes so to a reverse proxy. mitmproxy does not wait for that end: now and then it finds
    the port still taken, by itself, and then nothing listens there at all.
    """
    proxy = current.addons.get("proxyserver")
    for server in list(proxy.servers) if proxy else ():
        is_kept = _bound(server.mode, current.options) == server.mode.full_spec
        if is_kept or not isinstance(server, mode_servers.AsyncioServerInstance):
            continue
        for listener in list(server._servers):  # noqa: SLF001  # nothing else knows of them
            if isinstance(listener, UdpServer):
                listener.close()  # once more is no harm
                await listener.wait_closed()


def bind_to_loopback(options: Options) -> None:
    """Bind modes without an address of their own to 127.0.0.1, unless one was chosen.

    `listen_host` would be ignored now; setting `mode` binds anew (row 4). Until then, and in modes
    that must hear others, the addon turns other machines away as they connect.
    """
    bound = [_bound(mode, options) for mode in _modes(options)]
    if bound != list(options.mode):
        options.update(mode=bound)


def _bound(mode: mode_specs.ProxyMode, options: Options) -> str:
    is_chosen = mode.custom_listen_host or (
        options.has_changed("listen_host") and options.listen_host
    )
    if is_chosen or not isinstance(mode, (*_OF_HTTP, mode_specs.Socks5Mode)):
        return mode.full_spec
    has_port = mode.custom_listen_port is not None
    spec = mode.full_spec.rpartition("@")[0] if has_port else mode.full_spec
    return f"{spec}@127.0.0.1:{mode.listen_port(options.listen_port)}"
