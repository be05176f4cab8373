"""Reads what stands behind `foxora-proxy run`: a few options of ours, mitmdump's own, and CMD."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from foxora_addon.app.local_proxy import port_of

type Tool = Literal["mitmdump", "mitmweb", "mitmproxy"]

_TOOLS: Final[Mapping[str, Tool]] = {"--web": "mitmweb", "--console": "mitmproxy"}
_OF_WINDOWS_AND_LOG: Final = {"-v", "--verbose", "-q", "--quiet", "--no-web-open-browser"}
_WITHOUT_A_PROXY: Final = (
    *("-n", "--no-server", "server=false", "--set=server=false"),
    *("-h", "--version", "--options", "--commands"),
)
_COMPARED: Final = ("foxora_", "confdir=")
_ON_MOCK = ("--set", "foxora_base_url=mock")


class WrongUsage(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The arguments make no sense; `str` is one line."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run.

    `tool` is mitmdump, mitmweb or mitmproxy, and `passed` its own arguments. `command` None: just
    the proxy. `use_port` is where a proxy runs that is to be used. `is_verbose`: its log is shown.
    """

    tool: Tool
    passed: tuple[str, ...]
    command: tuple[str, ...] | None
    use_port: int | None
    is_verbose: bool

    @property
    def asked_of_own(self) -> tuple[str, ...]:
        """What is asked for that a proxy that runs may not do; () if that one is as good.

        Whether it has a page for --web is only known once it has been joined.
        """
        console = ("--console",) if self.tool == "mitmproxy" else ()
        return (*console, *_others_in(self.passed))


def parse_run(arguments: Sequence[str]) -> RunOptions:
    """Read the arguments; raises `WrongUsage`. Options stand before the first --."""
    before, command = _split(arguments)
    tools = {_TOOLS[word] for word in before if word in _TOOLS}
    use, passed = _without_use([word for word in before if word not in {*_TOOLS, "--mock"}])
    if len(tools) > 1:
        raise WrongUsage("--web and --console are two windows; choose one")
    if "--mock" in before:
        passed = [*_ON_MOCK, *passed]
    if use is not None and (tools or passed):
        raise WrongUsage("with --use the proxy runs already: it takes no other options")
    if use is not None and command is None:
        raise WrongUsage("--use needs a command: foxora-proxy run --use PORT -- CMD")
    if command is not None and (word := next(filter(_WITHOUT_A_PROXY.__contains__, passed), None)):
        raise WrongUsage(f"with {word} there is no proxy for CMD: leave one of them out")
    return RunOptions(
        tool=next(iter(tools), "mitmdump"),
        passed=tuple(passed),
        command=command,
        use_port=use,
        is_verbose=bool({"-v", "--verbose"} & set(passed)),
    )


def _others_in(passed: Sequence[str]) -> Iterator[str]:
    """The arguments that another proxy may not have been started with.

    Our own options are part of its configuration, which is compared; its log and its page are
    where they are.
    """
    remaining = iter(passed)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name == "--set":
            value = value if equals else next(remaining, "")
            if not value.startswith(_COMPARED):
                yield f"--set {value}"
        elif word not in _OF_WINDOWS_AND_LOG:
            yield word


def _split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    if "--" not in arguments:
        return list(arguments), None
    at = list(arguments).index("--")
    command = tuple(arguments[at + 1 :])
    if not command or not command[0]:
        raise WrongUsage("there is no command behind --; write: foxora-proxy run -- CMD ...")
    return list(arguments[:at]), command


def _without_use(words: Sequence[str]) -> tuple[int | None, list[str]]:
    """The port that --use names, if it is there, and the words without it."""
    port: int | None = None
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != "--use":
            rest.append(word)
            continue
        try:
            port = port_of(value if equals else next(remaining, ""))
        except ValueError as error:
            raise WrongUsage(f"--use: {error}") from None
    return port, rest
