"""The documents say what is so: links lead somewhere, commands and settings exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from strategy_engine import config
from strategy_engine.cli import main

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(?:ba)?sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
OF_THE_CLIENT = {"STRATEGY_URL"}
README = (ROOT / "README.md").read_text("utf-8")


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip("# ").lower())
    return kept.replace(" ", "-")


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ .*$", path.read_text("utf-8"), re.MULTILINE)
    return {slug(heading) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


def commands() -> list[list[str]]:
    found = []
    for document in DOCUMENTS:
        for block in FENCE.findall(document.read_text("utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                shlex.split(re.split(r"[|&>)]", tail)[0], comments=True)
                for line in lines
                for _, name, tail in [line.partition("strategy-engine ")]
                if name
            ]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_in_the_documents_exists_with_its_options(words: list[str]) -> None:
    help_text = CliRunner().invoke(main.app, ["--help"]).stdout
    if words[0].startswith("-"):
        assert words[0] in help_text
        return
    groups = {each.name for each in main.app.registered_groups}
    names = words[:2] if words[0] in groups else words[:1]

    shown = CliRunner().invoke(main.app, [*names, "--help"])

    assert shown.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


def test_the_documents_show_the_main_commands() -> None:
    shown = {words[0] for words in commands()}

    assert {"demo", "serve", "deploy", "start", "stop", "executions", "data"} <= shown


def test_the_settings_table_names_settings_that_exist() -> None:
    told = {
        name
        for row in re.findall(r"^\| `.*$", README, re.MULTILINE)
        for name in re.findall(r"`([A-Z0-9_]{5,})`", row.split("|")[1])
    }
    known = {str(each.validation_alias) for each in config.Settings.model_fields.values()}

    assert told - OF_THE_CLIENT <= known
    assert {"PIPELINE_STAGES", "STRATEGY_API_KEY", "STRATEGY_TIMEOUT"} <= told


def test_every_command_of_the_table_is_in_the_changelog_or_the_readme() -> None:
    text = README + (ROOT / "CHANGELOG.md").read_text("utf-8")

    for name, _, _ in main.COMMANDS:
        assert f"`{name}`" in text or f"strategy-engine {name}" in text


def test_the_app_is_what_the_entry_point_names() -> None:
    assert isinstance(main.app, typer.Typer)
    assert 'strategy-engine = "strategy_engine.cli.main:app"' in (
        ROOT / "pyproject.toml"
    ).read_text("utf-8")
