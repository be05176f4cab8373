"""What stands behind `run`: ours, mitmdump's, and the command's."""

import pytest

from foxora_addon.app.local_proxy import port_of
from foxora_addon.app.run_options import WrongUsage, parse_run


def test_everything_behind_the_first_dashes_is_the_commands() -> None:
    options = parse_run(["-p", "9000", "--", "app", "--web", "--", "-v"])
    assert options.command == ("app", "--web", "--", "-v")
    assert options.passed == ("-p", "9000")
    assert options.tool == "mitmdump"
    assert not options.is_verbose


def test_our_own_options_are_not_passed_on() -> None:
    options = parse_run(["--web", "--mock", "--web-port", "1", "--", "app"])
    assert options.tool == "mitmweb"
    assert options.passed == ("--set", "foxora_base_url=mock", "--web-port", "1")


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_verbose_is_mitmdumps_and_shows_its_log(flag: str) -> None:
    options = parse_run([flag, "--", "app"])
    assert options.passed == (flag,)
    assert options.is_verbose


@pytest.mark.parametrize("words", [["--use", "9000"], ["--use=http://127.0.0.1:9000/v1"]])
def test_a_running_proxy_is_named_by_its_port(words: list[str]) -> None:
    assert parse_run([*words, "--", "app"]).use_port == 9000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--"], "no command"),
        (["--use", "9000"], "-- CMD"),
        (["--use", "9000", "-p", "1", "--", "app"], "no other options"),
        (["--use", "9000", "--mock", "--", "app"], "no other options"),
        (["--use", "--", "app"], "8080"),
        (["--web", "--console", "--", "app"], "choose one"),
        (["-n", "--", "app"], "with -n there is no proxy"),
        (["--set", "server=false", "--", "app"], "with server=false there is no proxy"),
        (["--version", "--", "app"], "with --version there is no proxy"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(WrongUsage, match=words) as caught:
        parse_run(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080/v1"]
)
def test_a_port_is_read_off_whatever_names_this_machine(text: str) -> None:
    assert port_of(text) == 8080


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "10.0.0.7:8080", "https://localhost:8080"])
def test_another_machines_proxy_can_not_be_used(text: str) -> None:
    with pytest.raises(ValueError, match="8080"):
        port_of(text)


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([], ()),
        (["--mock", "-v"], ()),
        (["--set", "foxora_config=team.yaml", "--set=confdir=here"], ()),
        (["--web", "--no-web-open-browser"], ()),
        (["--console"], ("--console",)),
        (["-p", "9000", "--set", "web_port=1"], ("-p", "9000", "--set web_port=1")),
    ],
)
def test_what_only_a_proxy_of_its_own_can_do_is_known(
    before: list[str], asked: tuple[str, ...]
) -> None:
    assert parse_run([*before, "--", "true"]).asked_of_own == asked
