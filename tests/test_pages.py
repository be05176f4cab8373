"""README: its links lead somewhere, and what it lists is what there is."""

import re
from pathlib import Path

from foxora_addon.api.errors import CODES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _without_code(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)


def _anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = set(re.findall(r"\]\(([^)\s]+)\)", README))
    here = {link[1:] for link in links if link.startswith("#")}
    files = {link for link in links if not link.startswith(("#", "https://"))}
    assert here <= _anchors(README)
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_every_section_is_reached_from_the_first_screen() -> None:
    contents, _, rest = README.partition("\n## ")
    sections = re.findall(r"^## (.*)$", _without_code(f"\n## {rest}"), re.MULTILINE)
    assert [section for section in sections if f"[{section}](" not in contents] == []


def test_the_codes_of_errors_are_those_that_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:\d{3}|[45]xx)(?:, 5xx)? \| [A-Z]", README, re.MULTILINE)
    assert sorted(rows) == sorted(CODES)


def test_every_script_that_it_names_is_there() -> None:
    named = set(re.findall(r"`scripts/([\w.-]+)", README))
    assert [script for script in named if not (ROOT / "scripts" / script).exists()] == []


def test_contributors_find_every_part_of_the_package() -> None:
    listed = README.partition("## Changing this code")[2]
    parts = [path for path in (ROOT / "foxora_addon").iterdir() if not path.name.startswith("_")]
    names = [path.name for path in parts if path.is_dir() or path.suffix == ".py"]
    assert [name for name in names if name not in listed] == []
