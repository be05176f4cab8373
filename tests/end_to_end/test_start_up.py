"""Starts, refused starts and live changes: the proxy serves by valid rules or not at all."""

import os
import time
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    ON_MOCK,
    ROOT,
    Proxy,
    arguments,
    direct_client,
    free_port,
    run_to_its_end,
    running_decoy,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Who is it?"}]}
NAMELESS = {"messages": CALL["messages"]}
MODELS = ("gpt-4o", "gpt-4o-mini")
BEARER = {"Authorization": f"Bearer {APP_KEY}"}
KEY = {"FOXORA_API_KEY": "foxora_sk_live_fake0123456789"}
SCRIPT = ROOT / "foxora_addon" / "proxy" / "script.py"

MISTAKES = {
    "an unknown key": ("gateway:\n  bse_url: mock\n", (), KEY, "did you mean base_url?"),
    "no key variable": ("", (), {}, "FOXORA_API_KEY is not set"),
    "a named key variable that is not set": (
        "accounts:\n  - name: acme\n    key: {env: ACME_FAKE_KEY}\n",
        (),
        {},
        "ACME_FAKE_KEY",
    ),
    "requests sent before they are checked": (
        "",
        (*ON_MOCK, "--set", "stream_large_bodies=1m"),
        {},
        "stream_large_bodies",
    ),
    "keys in the log": ("", (*ON_MOCK, "--set", "proxy_debug=true"), {}, "proxy_debug"),
    "an option that is none": (
        "",
        (*ON_MOCK, "--set", "foxora_stor=memory"),
        {},
        "did you mean foxora_store?",
    ),
    "a key as an option": (
        "",
        (*ON_MOCK, "--set", f"foxora_api_key={KEY['FOXORA_API_KEY']}"),
        {},
        "foxora_api_key: a key is never an option; export FOXORA_API_KEY",
    ),
    "a bound that is none": (
        "",
        (*ON_MOCK, "--set", "foxora_keep_flows=-3"),
        {},
        "foxora_keep_flows: must be 0, which keeps all, or more",
    ),
    "a bound that is no number": (
        "",
        (*ON_MOCK, "--set", "foxora_keep_flows=many"),
        {},
        "option foxora_keep_flows: not an integer",
    ),
    "an option without a value": ("", (*ON_MOCK, "--set", "foxora_config"), {}, "foxora_config"),
    "an option that is set twice": (
        "",
        (*ON_MOCK, "--set", "foxora_base_url=https://gateway.example/v1"),
        {},
        "multiple values for foxora_base_url",
    ),
    "a port for everybody": ("", (*ON_MOCK, "--listen-host", "0.0.0.0"), {}, "0.0.0.0"),
    "a gateway in clear": (
        "gateway:\n  base_url: http://gateway.example/v1\n",
        (),
        KEY,
        "allow_plain_http",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_the_start_with_one_line(mistake: str, tmp_path: Path) -> None:
    yaml, options, environment, words = MISTAKES[mistake]
    if yaml:
        (tmp_path / "foxora.yaml").write_text(yaml)
    command = [*arguments(tmp_path, free_port()), *options]
    finished = run_to_its_end(command, tmp_path, environment)
    said = finished.stdout + finished.stderr
    assert finished.returncode != 0
    assert "Traceback" not in said
    assert all(key not in said for key in KEY.values())
    [line] = [line for line in said.splitlines() if "foxora:" in line]
    assert words in line


def answer_of(proxy: Proxy, call: object = CALL) -> httpx.Response:
    with direct_client() as client:
        return client.post(f"{proxy.base_url}/chat/completions", json=call, headers=BEARER)


def test_a_mistake_in_letters_that_the_locale_lacks_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text("accounts: [{name: Zoë, key: {env: K}}]\n", "utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0"}
    for command in (
        [*arguments(tmp_path, free_port())],
        [str(BIN / "foxora-proxy"), "run", "--", "true"],
        [str(BIN / "foxora-proxy"), "doctor"],
    ):
        ended = run_to_its_end(command, tmp_path, plain)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout + ended.stderr
        assert r"accounts[0].name: 'Zo\u00eb' is not a name" in ended.stdout + ended.stderr


def test_the_package_folder_in_the_repository_is_a_script(tmp_path: Path) -> None:
    script = str(ROOT / "foxora_addon" / "__init__.py")
    with running_proxy(tmp_path, script=script) as proxy:
        assert answer_of(proxy).status_code == 200


def test_the_printed_script_is_the_addon(tmp_path: Path) -> None:
    printed = run_to_its_end([str(BIN / "foxora-proxy"), "script"], tmp_path)
    assert printed.returncode == 0
    with running_proxy(tmp_path, script=printed.stdout.strip()) as proxy:
        assert answer_of(proxy).status_code == 200


def test_a_valid_edit_is_taken_live_and_an_invalid_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "foxora.yaml"
    file.write_text("gateway: {base_url: mock}\n")
    with running_proxy(tmp_path, ()) as proxy:
        assert answer_of(proxy, NAMELESS).status_code == 400
        file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o}\n")
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"
        file.write_text("gateway: {base_url: mock}\nmodels: {default: 7}\nnonsense: true\n")
        wait_until(lambda: "the configuration in force stays" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"
        assert "Traceback" not in proxy.output


def test_an_edit_that_comes_during_the_start_is_taken(tmp_path: Path) -> None:
    """The file is read, and then its key, for which the start waits until there is one."""
    file, key = tmp_path / "foxora.yaml", tmp_path / "key"
    accounts = "gateway: {base_url: mock}\naccounts: [{name: acme, key: {%s}}]\n"
    file.write_text(accounts % "file: key")
    os.mkfifo(key)

    def edit() -> None:
        with key.open("w") as pipe:
            file.write_text(accounts % "env: FOXORA_API_KEY" + "models: {default: gpt-4o}\n")
            pipe.write(KEY["FOXORA_API_KEY"])

    Thread(target=edit, daemon=True).start()
    with running_proxy(tmp_path, (), KEY) as proxy:
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"


def test_a_file_of_the_same_size_and_age_is_taken(tmp_path: Path) -> None:
    """As `cp -p` writes it, or as a link leads to it in stores where every file is as old."""
    file, other = tmp_path / "foxora.yaml", tmp_path / "other.yaml"

    def write(path: Path, model: str) -> None:
        path.write_text(f"gateway: {{base_url: mock}}\nmodels: {{default: {model:11}}}\n")
        os.utime(path, (1, 1))

    write(file, "gpt-4o")
    write(other, "gpt-4o-mini")
    with running_proxy(tmp_path, ()) as proxy:
        other.replace(file)
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o-mini"
        write(file, "gpt-4o")
        wait_until(lambda: proxy.output.count("the changed configuration is in force") == 2)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"


def test_a_pipe_is_read_at_the_start_and_never_again(tmp_path: Path) -> None:
    """Secrets are handed over so; nobody writes into it a second time."""
    file, other = tmp_path / "foxora.yaml", tmp_path / "other"
    texts = [f"gateway: {{base_url: mock}}\nmodels: {{default: {name}}}\n" for name in MODELS]
    os.mkfifo(file)
    Thread(target=file.write_text, args=texts[:1], daemon=True).start()
    with running_proxy(tmp_path, ()) as proxy:
        assert answer_of(proxy, NAMELESS).json()["model"] == MODELS[0]
        other.write_text(texts[1])
        other.replace(file)
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert "the configuration in force stays" not in proxy.output
        os.mkfifo(other)
        other.replace(file)
        wait_until(lambda: "the configuration in force stays" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == MODELS[1]
        other.write_text(texts[0])
        other.replace(file)
        wait_until(lambda: proxy.output.count("the changed configuration is in force") == 2)
        assert answer_of(proxy, NAMELESS).json()["model"] == MODELS[0]
        assert proxy.output.count("the configuration in force stays") == 1


def test_the_gateway_that_is_told_is_the_one_in_force(tmp_path: Path) -> None:
    file = tmp_path / "foxora.yaml"
    file.write_text("gateway: {base_url: mock}\n")

    def told() -> tuple[str, bool]:
        with direct_client() as client:
            status = client.get(f"{proxy.url}/_foxora/status").json()
        return status["gateway"], status["is_mock"]

    with running_proxy(tmp_path, (), {"FOXORA_API_KEY": "foxora_sk_fake_elsewhere"}) as proxy:
        mock = told()
        assert mock[1]
        file.write_text("gateway: {base_url: 'http://127.0.0.1:1/api/v1'}\n")
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert told() == ("http://127.0.0.1:1/api/v1", False)
        file.write_text("gateway: {base_url: mock}\n")
        wait_until(lambda: proxy.output.count("the changed configuration is in force") == 2)
        assert told() == mock


def test_a_file_is_not_taken_while_it_is_written(tmp_path: Path) -> None:
    """An editor empties it first, or takes it away."""
    file = tmp_path / "foxora.yaml"
    file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o}\n")
    with running_proxy(tmp_path, ()) as proxy:
        for _ in range(50):
            file.write_text("")
            time.sleep(0.05)
            file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o-mini}\n")
            time.sleep(0.02)
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert "the configuration in force stays" not in proxy.output
        file.unlink()
        wait_until(lambda: "the configuration in force stays: its file is gone" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o-mini"
        file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o}\n")
        wait_until(lambda: proxy.output.count("the changed configuration is in force") == 2)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"
        assert proxy.output.count("its file is gone") == 1


@pytest.mark.parametrize("left", ["", "\n", "# gateway: {base_url: mock}\n", "---\n"])
def test_an_emptied_file_opens_nothing(tmp_path: Path, left: str) -> None:
    """As a save on a full disk leaves it: its accounts, limits and gateway stay in force."""
    file = tmp_path / "foxora.yaml"
    file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o}\n")
    with running_proxy(tmp_path, (), {"FOXORA_API_KEY": "foxora_sk_fake_emptied"}) as proxy:
        file.write_text(left)
        wait_until(lambda: "the configuration in force stays: its file is empty" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o"
        file.write_text("gateway: {base_url: mock}\nmodels: {default: gpt-4o-mini}\n")
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert answer_of(proxy, NAMELESS).json()["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("left", ["accounts: []\n", "accounts:\n", ""])
def test_accounts_that_are_taken_out_let_nobody_else_in(tmp_path: Path, left: str) -> None:
    rest = "gateway: {base_url: mock}\n"
    listed = (
        "accounts: [{name: acme, key: {env: FOXORA_API_KEY}, default: false, "
        "clients: [{address: 10.0.0.0/8}]}]\n"
    )
    file = tmp_path / "foxora.yaml"
    file.write_text(rest + listed)
    with running_proxy(tmp_path, (), {"FOXORA_API_KEY": "foxora_sk_fake_taken_out"}) as proxy:
        assert answer_of(proxy).status_code == 401
        file.write_text(rest + left)
        said = "the configuration in force stays: its file lists no accounts any more"
        wait_until(lambda: said in proxy.output)
        assert answer_of(proxy).status_code == 401
        file.write_text(rest + listed.replace("false", "true"))
        wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert answer_of(proxy).status_code == 200


def test_a_broken_or_removed_script_forwards_nothing_until_it_is_whole_again(
    tmp_path: Path,
) -> None:
    script = tmp_path / "copied.py"
    script.write_text(SCRIPT.read_text())
    with running_decoy() as decoy:
        target = f"http://127.0.0.1:{decoy.port}/v1/chat/completions"
        (tmp_path / "foxora.yaml").write_text(
            f"gateway: {{base_url: mock}}\nintercept: {{hosts: ['127.0.0.1:{decoy.port}']}}\n"
        )
        with (
            running_proxy(tmp_path, (), script=str(script)) as proxy,
            httpx.Client(proxy=proxy.url, trust_env=False, timeout=20) as client,
        ):

            def answer() -> httpx.Response:
                return client.post(target, json=CALL, headers=BEARER)

            assert answer().status_code == 200
            script.write_text("this is no Python\n")
            wait_until(lambda: answer().status_code == 503)
            assert answer().json()["error"]["code"] == "unavailable"
            assert answer_of(proxy).status_code == 503
            script.write_text(SCRIPT.read_text())
            wait_until(lambda: answer().status_code == 200)
            script.unlink()
            wait_until(lambda: answer().status_code == 503)
            assert answer_of(proxy).json()["error"]["code"] == "unavailable"
    assert decoy.seen == []
