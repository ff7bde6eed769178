"""What the tutorial and the how-to pages show can be typed, runs, and is what serlab prints."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from serlab.__main__ import main, parser
from serlab.bench.contracts import Sizes
from serlab.bench.corpora.base import CORPORA
from serlab.bench.example import example_batch
from serlab.models.variant import OPTIONS, SYSTEMS, make, resolve
from serlab.studies.specification import load_study, parse

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if p.parent.name != "gallery")
STUDIES = sorted(DOCS.rglob("*.toml"))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}[^\n]*\n(.*?)```", text, re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every serlab command of a page, without what stands around it."""
    found = re.findall(r"^serlab [^#\n]*", "\n".join(blocks(page, "sh")), re.MULTILINE)
    return [command.strip() for command in found]


TYPED = [(p.relative_to(DOCS).as_posix(), c) for p in PAGES for c in commands(p)]


@pytest.mark.parametrize(("page", "command"), TYPED)
def test_commands_can_be_typed(page: str, command: str) -> None:
    """None has a command or an option that is not there."""
    words = shlex.split(command)[1:]
    if words == ["--version"]:
        return
    if words[:2] == ["bench", "compare"]:
        words = ["bench compare", *words[2:]]
    assert parser().parse_args(words).command


def test_commands_are_found() -> None:
    """The pages that show commands have some."""
    pages = {page for page, _ in TYPED}
    assert {"tutorial/first.md", "tutorial/paper.md", "howto/model.md", "SPEED.md"} <= pages


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory is that of the how-to pages; what they register is taken away after."""
    registries = (SYSTEMS, OPTIONS, CORPORA)
    held = [dict(registry._added) for registry in registries]
    monkeypatch.chdir(DOCS / "howto")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield DOCS / "howto"
    for registry, before in zip(registries, held, strict=True):
        registry._added = before
    for name in ("my_model", "my_corpus"):
        sys.modules.pop(name, None)


def imported(folder: Path, name: str) -> None:
    """Imports a plugin as `--plugin` would."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_studies_resolve(study: Path, plugins: Path) -> None:
    """Every name of a shown study is known."""
    imported(plugins, "my_model")
    assert len(load_study(str(study)).arms) > 2


def test_plan_of_the_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan that the first page shows is the one that is printed."""
    assert main(["run", str(DOCS / "tutorial" / "first.toml"), "--plan"]) == 0
    printed = capsys.readouterr()
    page = (DOCS / "tutorial" / "first.md").read_text(encoding="utf-8")
    assert f"```text\n{printed.err}{printed.out}```" in page


def test_refusal_of_the_tutorial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message for a misspelt option is the one that is printed."""
    text = (DOCS / "tutorial" / "first.toml").read_text(encoding="utf-8")
    study = tmp_path / "first.toml"
    study.write_text(text.replace('["mean", "max"]', '["men"]'), encoding="utf-8")
    assert main(["run", str(study), "--plan"]) == 2
    page = (DOCS / "tutorial" / "first.md").read_text(encoding="utf-8")
    assert capsys.readouterr().err in page


def test_list_of_the_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    """The systems that the first page lists are those that there are."""
    main(["list", "systems"])
    page = (DOCS / "tutorial" / "first.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out in page


def test_own_model(plugins: Path) -> None:
    """The network of the how-to page predicts and learns, and padding changes nothing."""
    imported(plugins, "my_model")
    system = make(resolve("my_net", differences={"frame_pooling": "last"}))
    sizes = Sizes(n_classes=4, n_speakers=2, n_features={"image": 40}, rate_hz={"image": 100.0})
    network = system.build(sizes)
    batch = example_batch(sizes, [0.4, 0.7])
    output = network(batch)
    network.losses(output, batch)["emotion"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    padded = network(example_batch(sizes, [0.4, 0.7], padded_s=1.5))
    torch.testing.assert_close(padded.scores, output.scores)


def test_own_model_is_described(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The description begins as the how-to page shows it."""
    assert main(["describe", "my_net", "--plugin", "my_model"]) == 0
    (shown,) = [code for code in blocks(plugins / "model.md", "text") if "My net" in code]
    assert capsys.readouterr().out.startswith(shown.removesuffix("...\n"))


def test_own_corpus(plugins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reader of the how-to page reads, describes itself, and refuses a strange name."""
    for name in ("anna_anger_01.wav", "bruno_neutral_02.wav"):
        (tmp_path / name).touch()
    assert main(["data", "describe", "our_calls", "--plugin", "my_corpus"]) == 0
    assert "published  not stated" in capsys.readouterr().out
    corpus = CORPORA.load("our_calls")(tmp_path, {})
    assert [(u.speaker, u.emotion) for u in corpus.utterances] == [
        ("anna", "anger"), ("bruno", "neutral"),
    ]  # fmt: skip
    (tmp_path / "notes.wav").touch()
    assert main(["data", "check", "our_calls", "--plugin", "my_corpus",
                 "--root", f"our_calls={tmp_path}"]) == 2  # fmt: skip
    assert "anna_anger_03.wav" in capsys.readouterr().err


def test_keys_of_a_study_are_told() -> None:
    """The table of the reference has every key that a study may have, and no other."""
    page = (DOCS / "reference" / "study.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `\[*(\w+)\]*` \|", page, re.MULTILINE))
    with pytest.raises(Exception, match="Known: ") as caught:
        parse({"": 0}, "study")
    assert told | {"name"} == set(caught.value.known)  # type: ignore[attr-defined]


def test_every_page_has_a_place() -> None:
    """The menu has each page once; the build refuses what is missing."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu = yaml.safe_load(text)["nav"]
    listed = re.findall(r"[\w/]+\.md", str(menu))
    made = {"CONTRIBUTING.md", "CHANGELOG.md", "reference/commands.md", "reference/names.md"}
    assert sorted(listed) == sorted({p.relative_to(DOCS).as_posix() for p in PAGES} | made)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_toml_blocks_are_toml(page: Path) -> None:
    """What a page shows as a study, or as a part of one, can be read."""
    for code in blocks(page, "toml"):
        if "--8<--" not in code:
            tomllib.loads(code)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages without a fault."""
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>', encoding="utf-8")
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="a.css"><a href="b.html#here">b</a>'
        '<a href="https://example.org/">elsewhere</a>',
        encoding="utf-8",
    )
    (tmp_path / "a.css").write_text("p { margin: 0 }", encoding="utf-8")
    return tmp_path


def problems(site: Path) -> list[str]:
    """What the check of the built site finds."""
    spec = importlib.util.spec_from_file_location("links", DOCS / "links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.problems_of(site))


def test_a_site_without_a_fault_passes(site: Path) -> None:
    """Links within the site and links to other hosts are no problem."""
    assert problems(site) == []


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('<a href="c.html">c</a>', "no such file"),
        ('<a href="b.html#there">b</a>', "no such place"),
        ('<a href="#nowhere">here</a>', "no such place"),
        ('<img src="c.png">', "no such file"),
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "loads //example.org/x.css"),
    ],
)
def test_a_fault_of_the_site_is_found(site: Path, added: str, said: str) -> None:
    """A link to nothing, and whatever a page would load from another host."""
    page = site / "a.html"
    page.write_text(page.read_text(encoding="utf-8") + added, encoding="utf-8")
    (problem,) = problems(site)
    assert said in problem


def test_a_style_that_loads_is_found(site: Path) -> None:
    """Style sheets may not load from another host either."""
    (site / "a.css").write_text("@import url(https://example.org/x.css)", encoding="utf-8")
    assert problems(site) == ["a.css: loads from another host"]
