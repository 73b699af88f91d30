"""The page's own modules and styles, as they lie in the site.

``browser/`` comes as it is, without its tests and what the builder fills in. What it takes of
``agegenderemo/web/`` comes into ``web/`` beside it, and the imports that lead there are rewritten.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.web.assets import FOLDER as WEB

PAGE, WORKER = "index.html", "sw.js"
"""Files of ``browser/`` that lie at the top of the site."""

MAIN, WORKER_MODULE = "main.js", "worker.js"
"""The module of the page, and that of its worker."""

APP = "@app@"
"""What stands in them for the folder of the modules."""

_LEFT_OUT = ("tests", "node_modules", "__pycache__", "package.json")
_SUFFIXES = (".js", ".mjs", ".css", ".svg", ".png", ".json", ".txt")
_MODULES = (".js", ".mjs")

_SPECIFIER = re.compile(
    r"""
    (?: \bfrom | \bimport )\s*(?P<q1>["'])(?P<one>[^"'\n]+)(?P=q1)  # import, export … from
    | \bimport\s*\(\s*(?P<q2>["'])(?P<two>[^"'\n]+)(?P=q2)  # import()
    | \bnew\s+URL\(\s*(?P<q3>["'])(?P<three>[^"'\n]+)(?P=q3)\s*,\s*import\.meta\.url
    """,
    re.VERBOSE,
)
_STYLE = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?(?P<one>[^"')\s]+)["']?""")
_TO_WEB = re.compile(r"""(?P<quote>["'(])(?P<up>(?:\.\./)+)agegenderemo/web/(?=(?:js|css)/)""")
_STYLE_OF_APP = re.compile(r"@app@/(web/css/[\w./-]+\.css)")


def app_files(source: Path) -> dict[str, bytes]:
    """The folder ``app-HASH`` by path in it, from the folder ``browser/``.

    Raises AgeGenderEmoError for an import that leads nowhere in the site.
    """
    files = {}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        first = name.split("/")[0]
        if name in (PAGE, WORKER) or first in _LEFT_OUT or not path.is_file():
            continue
        if path.suffix in _SUFFIXES and not path.name.startswith("."):
            files[name] = _rewritten(name, path.read_bytes())
    page = (source / PAGE).read_text(encoding="utf-8")
    wanted = set(_STYLE_OF_APP.findall(page))
    while True:
        wanted.update(
            target
            for name, data in files.items()
            for target in targets(name, data)
            if target.startswith("web/")
        )
        missing = sorted(wanted - set(files))
        if not missing:
            break
        for name in missing:
            files[name] = _of_web(name)
    _check(files)
    return dict(sorted(files.items()))


def preloads(files: Mapping[str, bytes], first: str) -> str:
    """Links that let a browser fetch at once what the module ``first`` imports, at any depth: it
    would learn of one after the other. What a worker imports is its own affair."""
    found = [first]
    for name in found:
        data = files.get(name, b"")
        found += [one for one in targets(name, data) if one not in found and one != WORKER_MODULE]
    return "\n".join(
        f'<link rel="modulepreload" href="./{APP}/{name}">'
        for name in found[1:]
        if name.endswith(_MODULES)
    )


def targets(name: str, data: bytes) -> Iterator[str]:
    """What the file ``name`` of the app imports, as paths in the app; a bare name as it is."""
    pattern = _SPECIFIER if name.endswith(_MODULES) else _STYLE if name.endswith(".css") else None
    if pattern is None:
        return
    for match in pattern.finditer(data.decode()):
        given = next(one for key, one in match.groupdict().items() if one and key[0] != "q")
        if given.startswith(("data:", "#")) or given.endswith(("/", ".")):
            continue  # nothing to load, or a folder
        if given.startswith(".") or name.endswith(".css"):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(name), given))
        else:
            yield given


def _check(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        for target in targets(name, data):
            if target not in files:
                raise AgeGenderEmoError(
                    f"browser/{name} imports {target}, which is not in the site."
                )


def _of_web(name: str) -> bytes:
    try:
        return (WEB / name.removeprefix("web/")).read_bytes()
    except OSError as error:
        raise AgeGenderEmoError(f"The page wants {name}, which the package lacks.") from error


def _rewritten(name: str, data: bytes) -> bytes:
    """With the imports of ``agegenderemo/web/``, from where the file lies in the repository, as
    those of ``web/`` in the app."""
    if not name.endswith((*_MODULES, ".css")):
        return data
    depth = name.count("/")

    def replaced(match: re.Match[str]) -> str:
        if match["up"] != "../" * (depth + 1):
            return match[0]  # leads nowhere: the check says so
        return f"{match['quote']}{'../' * depth or './'}web/"

    return _TO_WEB.sub(replaced, data.decode()).encode()
