"""The command line: what stands on which stream, and with which exit status."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from foxora_addon import __version__
from foxora_addon.app import cli, entry
from foxora_addon.app.run_options import RunOptions
from foxora_addon.app.script_argv import SCRIPT
from tests.builders import a_trail

FAKE_KEY = "foxora_sk_live_fake0123456789"

type Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _bare_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FOXORA_API_KEY", "FOXORA_AUDIT", "FOXORA_BASE_URL", "FOXORA_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_alone_it_shows_its_help(arguments: list[str], capsys: Output) -> None:
    assert cli.main(arguments) == 0
    shown = capsys.readouterr()
    assert all(name in shown.out for name in ("run", "mock", "check", "script", "audit"))
    assert "│" not in shown.out
    assert "\b" not in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"]])
def test_the_list_of_commands_cuts_none_off(arguments: list[str], capsys: Output) -> None:
    assert cli.main(arguments) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


@pytest.mark.parametrize(
    "command",
    [["run"], ["mock"], ["check"], ["script"], ["audit"]]
    + [["audit", name] for name in ("verify", "sign", "keygen")],
)
def test_every_command_explains_itself(command: list[str], capsys: Output) -> None:
    assert cli.main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: foxora-proxy {' '.join(command)} ")
    assert command == ["audit"] or "Examples:\n" in shown


def test_the_help_of_run_names_what_of_ours_can_be_set(capsys: Output) -> None:
    assert cli.main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    names = ("config", "base_url", "audit", "store", "fast", "keep_flows", "keep_bytes")
    assert all(f"foxora_{name}" in shown for name in names)
    assert "--options" in shown


@pytest.mark.parametrize("name", ["tail", "show", "verify"])
def test_a_command_of_audit_without_that_word_is_pointed_there(name: str, capsys: Output) -> None:
    assert cli.main([name]) == 2
    told = f"foxora-proxy: No such command '{name}'. Did you mean 'audit {name}'?\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("name", ["tail", "verify"])
def test_the_help_brackets_what_may_be_left_out_once(name: str, capsys: Output) -> None:
    assert cli.main(["audit", name, "--help"]) == 0
    usage = capsys.readouterr().out.partition("\n")[0]
    assert usage == f"Usage: foxora-proxy audit {name} [OPTIONS] [TRAIL]"


def test_a_terminal_gets_the_help_drawn(capsys: Output) -> None:
    cli.command_line(is_rich=True)(["check", "--help"], standalone_mode=False)
    assert "╭─ Options" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["chek"], "check"),
        (["mock", "--prot", "1"], "--port"),
        (["mock", "--port", "x"], "--port"),
        (["mock", "--port", "65536"], "--port"),
        (["env", "--shell", "tcsh"], "'--shell': 'tcsh' is not one of 'bash', 'zsh', "),
        (["mock", "--port"], "--port"),
        (["check", "one", "two"], "two"),
        (["audit", "verfy"], "verify"),
        (["audit"], "command"),
        (["--nonsense"], "--nonsense"),
        (["run", "-p", "1", "--"], "--"),
        (["run", "--use", "8080"], "-- CMD"),
        (["run", "--use", "example.com:80", "--", "true"], "8080"),
        (["run", "--web", "--console"], "--web"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint(
    arguments: list[str], hint: str, capsys: Output
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("foxora-proxy: ")
    assert hint in line
    assert shown.out == ""


def test_the_version_is_the_packages(capsys: Output) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"foxora-proxy {__version__}\n"


def test_the_script_is_a_file_whose_path_is_printed_alone(capsys: Output) -> None:
    assert cli.main(["script"]) == 0
    assert capsys.readouterr().out == f"{SCRIPT}\n"
    assert SCRIPT.is_file()


def test_a_small_command_imports_nothing_large() -> None:
    code = (
        "import sys; from foxora_addon.app import cli; cli.main(['script']);"
        "large = {'foxora_addon.config', 'mitmproxy', 'ruamel', 'tornado'};"
        "print(*sorted(large & sys.modules.keys()))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert finished.stdout.splitlines() == [str(SCRIPT), ""]


def test_what_stands_after_run_is_passed_on_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[list[str]] = []

    def run_tool(tool: str, arguments: tuple[str, ...]) -> int:
        passed.append([tool, *arguments])
        return 7

    master = ModuleType("foxora_addon.proxy.master")
    monkeypatch.setattr(master, "run_tool", run_tool, raising=False)
    monkeypatch.setitem(sys.modules, master.__name__, master)
    typed = ["-p", "9000", "--set", "k=v", "-h", "--version", "~m GET"]
    assert cli.main(["run", *typed]) == 7
    assert cli.main(["run"]) == 7
    assert cli.main(["run", "--web", "--mock", "-p", "1"]) == 7
    on_mock = ["--set", "foxora_base_url=mock", "-p", "1"]
    assert passed == [["mitmdump", *typed], ["mitmdump"], ["mitmweb", *on_mock]]


@pytest.mark.parametrize("main", [entry.main, cli.main])
def test_a_request_for_help_behind_the_dashes_is_the_commands(
    main: Callable[[list[str]], int], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    ran: list[tuple[str, ...] | None] = []

    def run_with_command(options: RunOptions, _: object) -> int:
        ran.append(options.command)
        return 0

    module = ModuleType("foxora_addon.app.run")
    monkeypatch.setattr(module, "run_with_command", run_with_command, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert main(["run", "--mock", "--", "app", "--help"]) == 0
    assert ran == [("app", "--help")]
    assert main(["run", "--help", "--", "app"]) == 0
    assert "Usage: foxora-proxy run" in capsys.readouterr().out
    assert len(ran) == 1


def test_a_usable_configuration_is_told_in_short_without_its_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("ACME_KEY", FAKE_KEY)
    Path("team.yaml").write_text(
        "accounts:\n"
        "  - {name: acme, key: {env: ACME_KEY}, plan: pro, limits: {requests_per_minute: 9},"
        " clients: [{address: 10.0.0.0/8}]}\n"
    )
    assert cli.main(["check", "team.yaml"]) == 0
    shown = capsys.readouterr()
    assert "team.yaml: fine\n" in shown.out
    assert (
        "acme  default, plan pro, 9 requests a minute, 400,000 tokens a minute, 1 client\n"
        in shown.out
    )
    assert FAKE_KEY not in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("plan", "account", "unknown"),
    [
        ("", "figures alone", "nobody is asked without plan: auto, so not enforced"),
        ("plan: auto, ", "plan auto", "the gateway is asked"),
    ],
)
def test_an_account_says_whether_the_gateway_is_asked_for_more(
    plan: str, account: str, unknown: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("ACME_KEY", FAKE_KEY)
    Path("foxora.yaml").write_text(
        f"accounts: [{{name: acme, key: {{env: ACME_KEY}}, {plan}"
        "limits: {requests_per_minute: 9}}]"
    )
    assert cli.main(["check"]) == 0
    shown = capsys.readouterr().out
    assert f"acme  default, {account}, 9 requests a minute\n" in shown
    assert f"unknown  acme: tokens_per_minute; {unknown}\n" in shown


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ("plan: auto", "plan auto"),
        ("plan: auto, limits: {monthly_spend_cap_usd: 12.5}", "a monthly spend cap of $12.50"),
        ("plan: auto, limits: {monthly_spend_cap_usd: 0}", "a monthly spend cap of $0.00"),
        ("plan: free", "40,000 tokens a minute, a monthly spend cap of $1.00"),
    ],
)
def test_an_account_tells_the_cap_that_it_is_given(
    limits: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("ACME_KEY", FAKE_KEY)
    Path("foxora.yaml").write_text(f"accounts: [{{name: acme, key: {{env: ACME_KEY}}, {limits}}}]")
    assert cli.main(["check"]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "account  acme" in each]
    assert line.endswith(f", {told}")


def test_the_environment_alone_can_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("FOXORA_BASE_URL", "mock")
    assert cli.main(["check"]) == 0
    assert "mock gateway" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FOXORA_FAST", "maybe", "FOXORA_FAST: 'maybe' is neither true nor false"),
        ("FOXORA_AUDIT", "folder", "folder is no regular file; give the trail another path"),
    ],
)
def test_what_a_start_would_refuse_of_the_environment_is_a_finding(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    Path("folder").mkdir()
    monkeypatch.setenv("FOXORA_BASE_URL", "mock")
    monkeypatch.setenv(name, value)
    assert cli.main(["check"]) == 1
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gateway: {bse_url: mock}", "did you mean base_url?"),
        ("accounts: [{name: a, key: foxora_sk_fake}]", "never written in clear"),
        ("{", "not valid YAML"),
    ],
)
def test_an_unusable_configuration_is_a_finding_in_one_line(
    text: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("FOXORA_API_KEY", FAKE_KEY)
    Path("bad.yaml").write_text(text)
    assert cli.main(["check", "bad.yaml"]) == 1
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert "bad.yaml" in line
    assert words in line
    assert "foxora_sk_fake" not in line
    assert shown.out == ""


def test_a_configuration_that_is_not_there_is_a_finding(capsys: Output) -> None:
    assert cli.main(["check", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: can't be read" in capsys.readouterr().err


def test_a_trail_that_is_not_there_is_a_finding(capsys: Output) -> None:
    assert cli.main(["audit", "verify", "nowhere.jsonl"]) == 1
    assert "nowhere.jsonl: can't be read" in capsys.readouterr().err


def test_without_a_path_the_configured_trail_is_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    Path("mine.jsonl").write_text("")
    monkeypatch.setenv("FOXORA_AUDIT", "mine.jsonl")
    assert cli.main(["audit", "verify"]) == 0
    assert "mine.jsonl: fine, 0 records" in capsys.readouterr().out


def test_whoever_verifies_the_configured_trail_needs_no_key(capsys: Output) -> None:
    Path("foxora.yaml").write_text("audit: {path: theirs.jsonl}\n")
    Path("theirs.jsonl").write_text("")
    assert cli.main(["audit", "verify"]) == 0
    assert "theirs.jsonl: fine" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [["verify"], ["sign", "--key", "audit.key"], ["stats"], ["show", "ex_a"]]
)
def test_without_a_usable_configuration_no_other_trail_is_taken_for_the_configured(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.delenv("FOXORA_AUDIT", raising=False)
    a_trail(Path("foxora-audit.jsonl"))
    Path("foxora.yaml").write_text("audit: {pth: theirs.jsonl}\n")
    assert cli.main(["audit", *command]) == 1
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert "foxora.yaml:1: audit.pth: unknown key" in line
    assert "give the trail's path" in line
    assert shown.out == ""


@pytest.mark.parametrize("command", [["verify"], ["stats"], ["verify", "a\nb.jsonl"]])
def test_a_variable_that_names_no_path_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("FOXORA_AUDIT", "a\nb.jsonl")
    assert cli.main(["audit", *command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "FOXORA_AUDIT: the given text is not a path; correct it" in line


def test_a_trail_that_is_named_is_verified_whatever_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    Path("foxora.yaml").write_text("{")
    a_trail(Path("mine.jsonl"))
    for path in (["mine.jsonl"], []):
        monkeypatch.setenv("FOXORA_AUDIT", "other.jsonl" if path else "mine.jsonl")
        assert cli.main(["audit", "verify", *path]) == 0
        shown = capsys.readouterr()
        assert "mine.jsonl: fine, 4 records" in shown.out
        (line,) = shown.err.splitlines()
        assert "foxora.yaml:1" in line
        assert "mine.jsonl is read all the same" in line


def test_a_changed_trail_is_a_finding_that_names_the_line(capsys: Output) -> None:
    Path("trail.jsonl").write_text('{"seq": 1}\n')
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 1
    assert "line 1" in capsys.readouterr().out


def test_a_head_that_was_kept_is_compared(capsys: Output) -> None:
    a_trail(Path("trail.jsonl"))
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 0
    head = capsys.readouterr().out.split()[-1]
    seq, _, digest = head.partition(":")
    assert seq == "4"
    assert cli.main(["audit", "verify", "trail.jsonl", "--head", head]) == 0
    assert cli.main(["audit", "verify", "trail.jsonl", "--head", digest]) == 0
    assert cli.main(["audit", "verify", "trail.jsonl", "--after-seq", "4"]) == 0
    capsys.readouterr()
    assert cli.main(["audit", "verify", "trail.jsonl", "--after-seq", "5"]) == 1
    assert cli.main(["audit", "verify", "trail.jsonl", "--head", f"4:{'0' * 64}"]) == 1
    assert "rewritten" in capsys.readouterr().out
    for wrong in ("x", "4:", f"0x4:{digest}", digest[1:]):
        assert cli.main(["audit", "verify", "trail.jsonl", "--head", wrong]) == 2
    assert "SEQ:HASH" in capsys.readouterr().err


def test_a_trail_that_begins_later_says_so(capsys: Output) -> None:
    trail = a_trail(Path("trail.jsonl"))
    trail.write_bytes(b"".join(trail.read_bytes().splitlines(keepends=True)[1:]))
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 1
    assert "cut off at the beginning of a file that is here" in capsys.readouterr().out
    Path("trail.jsonl.head").unlink()
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "it begins at seq 2: earlier segments are not here" in shown
    assert "1 response of exchanges that began there\n" in shown


def test_one_of_a_kind_is_told_as_one(capsys: Output) -> None:
    trail = a_trail(Path("trail.jsonl"))
    trail.write_bytes(b"".join(trail.read_bytes().splitlines(keepends=True)[:2]))
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 0
    assert "fine, 2 records of 1 exchange\n" in capsys.readouterr().out


def test_a_head_is_signed_and_compared(capsys: Output) -> None:
    trail = a_trail(Path("trail.jsonl"))
    assert cli.main(["audit", "keygen", "audit.key"]) == 0
    assert capsys.readouterr().out == "audit.key\naudit.key.pub\n"
    assert cli.main(["audit", "sign", "trail.jsonl", "--key", "audit.key"]) == 0
    Path("heads.jsonl").write_text(capsys.readouterr().out)
    against = ["--signed", "heads.jsonl", "--public-key", "audit.key.pub"]
    assert cli.main(["audit", "verify", "trail.jsonl", *against]) == 0
    trail.write_bytes(b"".join(trail.read_bytes().splitlines(keepends=True)[:-1]))
    assert cli.main(["audit", "verify", "trail.jsonl", *against]) == 1
    assert "it was cut off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["sign", "trail.jsonl", "--key", "none.key"], 1, "none.key: can't be read"),
        (["sign", "trail.jsonl", "--key", "trail.jsonl"], 1, "no Ed25519 private key"),
        (["sign", "none.jsonl", "--key", "audit.key"], 1, "none.jsonl: can't be read"),
        (["keygen", "audit.key"], 1, "audit.key: is there already"),
        (["keygen", "no/folder/audit.key"], 1, "no/folder/audit.key: can't be written"),
        (["verify", "trail.jsonl", "--signed", "heads.jsonl"], 2, "needs --public-key"),
    ],
)
def test_what_cannot_be_signed_or_compared_is_one_line(
    arguments: list[str], status: int, words: str, capsys: Output
) -> None:
    a_trail(Path("trail.jsonl"))
    assert cli.main(["audit", "keygen", "audit.key"]) == 0
    capsys.readouterr()
    assert cli.main(["audit", *arguments]) == status
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert words in line
    assert shown.out == ""


def test_a_mock_that_cannot_be_configured_says_why_in_one_line(capsys: Output) -> None:
    Path("mock.yaml").write_text("windw: fixed\n")
    assert cli.main(["mock", "--config", "mock.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'window'?" in line


def test_a_mock_that_can_not_serve_says_why_in_one_line(capsys: Output) -> None:
    assert cli.main(["mock", "--config", "nowhere.yaml"]) == 1
    said = capsys.readouterr().err
    assert said == "foxora-proxy: mock: nowhere.yaml: can't be read: No such file or directory\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["mock", "--port", str(port)]) == 1
    assert capsys.readouterr().err.lower() == (
        f"foxora-proxy: mock: 127.0.0.1:{port} can't be listened on: address already in use; "
        "give another --port, or 0 for a free one\n"
    )


@pytest.mark.parametrize("command", [["check"], ["run", "--mock", "--", "true"], ["audit", "tail"]])
def test_a_folder_that_was_removed_under_the_shell_is_said_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert entry.main(command) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "foxora-proxy: the working directory is no more: change to one that is there\n"
    )


def test_ctrl_c_ends_a_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    env = ModuleType("foxora_addon.app.env")
    monkeypatch.setattr(env, "print_env", interrupted, raising=False)
    monkeypatch.setitem(sys.modules, env.__name__, env)
    assert cli.main(["env"]) == 130
    assert capsys.readouterr() == ("", "")


_COMMANDS = ("--version", "script", "check", "audit tail", "audit stats", "audit verify")


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize(("output", "status"), [(">&-", 0), (">/dev/full", 1)])
def test_an_output_that_is_closed_or_full_is_no_crash(
    command: str, output: str, status: int, tmp_path: Path
) -> None:
    if output == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    a_trail(tmp_path / "foxora-audit.jsonl")
    program = Path(sys.executable).with_name("foxora-proxy")
    done = subprocess.run(
        ["sh", "-c", f"{program} {command} {output}"],
        cwd=tmp_path,
        env={**os.environ, "FOXORA_API_KEY": FAKE_KEY},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    words = "foxora-proxy: the output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (status, words if status else "")
