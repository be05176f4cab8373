import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from ruamel.yaml import YAML

from foxora_addon.config import Client, PriceFigures, load
from foxora_addon.config.models import Settings
from foxora_addon.policy.presets import PRESETS

EXAMPLE = Path(__file__).parents[2] / "configs" / "foxora.example.yaml"
ENVIRON = {"FOXORA_API_KEY": "foxora_sk_test_0000000000000000"}


def sections_of(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each field of a model, with the model that is below it or in its items."""
    for name, info in model.model_fields.items():
        kinds = [info.annotation, *get_args(info.annotation)]
        below = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        yield name, below[0] if below else BaseModel


def paths_of_models(model: type[BaseModel]) -> Iterator[str]:
    for name, below in sections_of(model):
        yield name
        yield from (f"{name}.{path}" for path in paths_of_models(below))


def paths_of_tree(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        yield from (path for item in tree for path in paths_of_tree(item))
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield name
            yield from (f"{name}.{path}" for path in paths_of_tree(below))


def test_the_example_loads_and_says_the_defaults(tmp_path: Path) -> None:
    example = load({"foxora_config": str(EXAMPLE)}, ENVIRON, tmp_path)
    default = load({}, ENVIRON, tmp_path)
    assert example.model_copy(update={"file": None, "lists_accounts": False}) == default


def test_the_example_has_every_key_there_is() -> None:
    written = set(paths_of_tree(YAML(typ="safe", pure=True).load(EXAMPLE)))
    # What may stand in lists and mappings of one's own, the example explains in words.
    unwritten = {path for path in paths_of_models(Settings) if path not in written}
    in_words = ("accounts.clients.", "accounts.limits.models.", "prices.")
    assert not [path for path in unwritten if not path.startswith(in_words)]
    assert {"accounts.key", "accounts.limits.tokens_per_minute"} <= written
    for name in Client.model_fields:
        assert re.search(rf"#   (- |  ){name}: ", EXAMPLE.read_text(encoding="utf-8"))
    for name in PriceFigures.model_fields:
        assert f" {{{name}: " in EXAMPLE.read_text(encoding="utf-8").replace(", ", " {")


def test_the_example_says_something_of_each_key() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    explained = False
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("#"):
            explained = True
        elif not stripped:
            explained = False
        elif stripped.endswith(":") and not line.startswith(" "):
            continue
        else:
            assert explained, line


def test_the_example_names_every_preset() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    listed = text.partition("paths are known: ")[2].partition(".\n")[0].replace("#", "")
    assert sorted(listed.replace(" ", "").replace("\n", "").split(",")) == sorted(PRESETS)
