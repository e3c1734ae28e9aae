"""Build hook of the documentation site: linked files of the repository, and the API.

A link that leaves docs/ gets its target into the site, below `repository/`. The page api.md, whose
text is for readers of the repository, is rendered from the same docstrings by mkdocstrings.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COPIES = "repository"
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]+)(?=#[^)]*\)|\))")
LANGUAGES = {".toml": "toml", ".py": "python", ".json": "json"}
API = re.compile(r"^### (\w+)", re.MULTILINE)


def on_files(files, config):
    """Add the files of the repository that pages link."""
    waiting = [source_of(page.src_uri) for page in files.documentation_pages()]

    def show(path):
        uri = uri_of(path)
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=shown(path)))
            waiting.append(path)

    for uri in copies_in(config["nav"]):
        show(source_of(uri))
    while waiting:
        for path in linked_outside(waiting.pop()):
            show(path)
    return files


def copies_in(nav):
    """Return the pages of a navigation that show files of the repository."""
    pages = []
    for entry in nav:
        for value in entry.values():
            if isinstance(value, list):
                pages += copies_in(value)
            elif value.startswith(f"{COPIES}/"):
                pages.append(value)
    return pages


def linked_outside(path):
    """Return the files outside of docs/ that a page links; none for a generated page."""
    found = []
    if not path.is_file():
        return found
    for link in LINK.finditer(path.read_text(encoding="utf-8")):
        target = (path.parent / link["path"]).resolve()
        uri = uri_of(target)
        if uri is not None and uri.startswith(f"{COPIES}/"):
            found.append(target)
    return found


def on_page_markdown(markdown, page, config, files):
    """Point links at the site, and render the API from the docstrings."""
    if page.file.src_uri == "api.md":
        return api_page(markdown)
    source, folder = source_of(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def moved(link):
        uri = uri_of((source.parent / link["path"]).resolve())
        return link["path"] if uri is None else posixpath.relpath(uri, folder or ".")

    return LINK.sub(moved, markdown)


def source_of(uri):
    """Return the file of the repository that a page of the site shows."""
    if not uri.startswith(f"{COPIES}/"):
        return DOCS / uri
    path = ROOT / uri.removeprefix(f"{COPIES}/")
    return path if path.is_file() else path.with_suffix("")


def uri_of(path):
    """Return the page or file of the site for a path; None if it is not in the repository."""
    if path.is_dir():
        index = path / "index.md"
        path = index if index.is_file() else path / "README.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    if not path.is_relative_to(ROOT) or not path.is_file():
        return None
    uri = f"{COPIES}/{path.relative_to(ROOT).as_posix()}"
    return uri if path.suffix == ".md" else f"{uri}.md"


def shown(path):
    """Return the Markdown of a page that shows a file of the repository."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    name, language = path.relative_to(ROOT).as_posix(), LANGUAGES.get(path.suffix, "")
    head = "---\nsearch:\n  exclude: true\n---\n"
    return f"{head}# {name}\n\n```{language}\n{text.rstrip()}\n```\n"


def api_page(markdown):
    """Return api.md with a directive of mkdocstrings in place of each generated section."""
    names = API.findall(markdown)
    sections = [f"::: lineament.{name}\n" for name in names]
    return "\n".join([markdown.split("\n### ")[0], *sections])
