"""The built wheel, in an environment that has nothing else: what users get, not the checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    ON_MOCK,
    ROOT,
    clean_environment,
    direct_client,
    free_port,
    run_to_its_end,
    running_command,
)

pytestmark = pytest.mark.real_server


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and the pinned packages it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=100)
    wheel = next(folder.glob("*.whl"))
    uv, python = str(BIN / "uv"), str(folder / "venv" / "bin" / "python")
    pins = str(ROOT / "scripts" / "pins.txt")
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--python", python, "--constraint", pins, str(wheel)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=100, cwd=folder)
    return folder / "venv" / "bin"


@pytest.mark.parametrize("program", ["mitmdump", "mitmweb"])
def test_the_name_alone_loads_it_from_any_folder(
    installed: Path, tmp_path: Path, program: str
) -> None:
    port, web = free_port(), free_port()
    options = ["--set", "web_open_browser=false", "--set", f"web_port={web}"]
    command = [
        str(installed / program),
        *("-s", "foxora_addon", "-p", str(port), *ON_MOCK),
        *("--set", f"confdir={tmp_path / 'confdir'}"),
        *(options if program == "mitmweb" else ()),
    ]
    with running_command(command, tmp_path, port), direct_client() as client:
        answer = client.get(
            f"http://127.0.0.1:{port}/v1/models", headers={"authorization": f"Bearer {APP_KEY}"}
        )
    assert answer.json()["object"] == "list"
    assert answer.headers["x-foxora-exchange"].startswith("ex_")
    assert (tmp_path / "foxora-audit.jsonl").stat().st_size > 0


def test_the_command_says_where_its_script_is(installed: Path, tmp_path: Path) -> None:
    finished = run_to_its_end([str(installed / "foxora-proxy"), "script"], tmp_path)
    assert Path(finished.stdout.strip()).is_file()
    assert finished.stderr == ""


def test_other_programs_of_the_environment_are_left_alone(installed: Path, tmp_path: Path) -> None:
    code = "import sys; print([m for m in sys.modules if m.startswith(('foxora', 'mitmproxy'))])"
    finished = subprocess.run(
        [str(installed / "python"), "-c", code, "-s", "foxora_addon"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert finished.stdout.strip() == "[]"
