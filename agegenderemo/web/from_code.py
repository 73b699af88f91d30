"""Use from code: lines that work as they are printed, and what the fields of the answer mean."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.resources import default_checkpoint, shipped_checkpoints
from agegenderemo.results import json_schema
from agegenderemo.tasks import TaskSpec
from agegenderemo.web import assets
from agegenderemo.web.cards import table_html
from agegenderemo.web.networks import ENDPOINT, Place

ADDRESS = "http://127.0.0.1:7860/"
"""Of the server, in the lines below; the page's script puts in the one that the visitor sees."""

PYTHON = """\
from agegenderemo import Analyzer

analyzer = Analyzer.from_checkpoint(@named@)
for face in analyzer.analyze("photo.jpg"):
    print(face.to_dict())
"""

SHELL = """\
agegenderemo analyze photo.jpg --json -@model@
"""

CLIENT = f"""\
from gradio_client import Client, handle_file

client = Client("{ADDRESS}")
record = client.predict(handle_file("photo.jpg"), api_name="/@endpoint@")
for face in record["faces"]:
    print(face)
"""

CURL = f"""\
server={ADDRESS}gradio_api
path=$(curl -s -F files=@photo.jpg $server/upload | cut -d'"' -f2)
data='{{"data": [{{"path": "'$path'", "meta": {{"_type": "gradio.FileData"}}}}]}}'
call=$server/call/@endpoint@
event=$(curl -s -H 'Content-Type: application/json' -d "$data" $call | cut -d'"' -f4)
curl -s $call/$event
"""

MCP = f"""\
{{
  "mcpServers": {{
    "agegenderemo": {{"url": "{ADDRESS}mcp"}}
  }}
}}
"""

_TYPES = {
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
    "null": "null",
}

_ASSISTANTS = """
<h2>From an assistant, by the Model Context Protocol</h2>
<p>These lines, in the settings of an assistant that speaks MCP, give it the tool
<code>analyze</code>. It takes one text, <code>picture</code>: a data URL in base64, of which
nothing is written to a disk here, or the path that an upload returned.</p>
{lines}
"""


def code_page(analyzer: Analyzer, place: Place, *, mcp: bool = False) -> None:
    """Lay out the Code tab; ``mcp`` says whether the server answers assistants."""
    gr.HTML(
        code_html(analyzer.tasks, _names(analyzer, place), mcp=mcp),
        js_on_load=assets.script("code"),
        apply_default_css=False,
        elem_id="code-page",
    )


def _names(analyzer: Analyzer, place: Place) -> dict[str, str]:
    """What stands in the lines above where a network must be named."""
    path = analyzer.origin.path if analyzer.origin else default_checkpoint()
    named = path.stem if path in shipped_checkpoints() else path.name
    usual = path == default_checkpoint()
    return {
        "named": "" if usual else json.dumps(named),
        "model": "" if usual else f" --model {shlex.quote(named)}",
        "endpoint": place.endpoint,
    }


_USUAL = {"named": "", "model": "", "endpoint": ENDPOINT}


def code_html(
    tasks: Sequence[TaskSpec], names: Mapping[str, str] = _USUAL, *, mcp: bool = False
) -> str:
    """The text of the page; ``names`` are what stands in its lines where a network is named."""
    text = _text(tasks, mcp)
    for part, name in names.items():
        text = text.replace(f"@{part}@", escape(name))
    return text


def _text(tasks: Sequence[TaskSpec], mcp: bool) -> str:
    assistants = _ASSISTANTS.format(lines=_lines("mcp", MCP)) if mcp else ""
    return f"""
<article class="about">
<p class="lead">Your own program can have pictures read too: on your machine, or by this server.</p>

<h2>In Python, on your machine</h2>
<p>After <code>pip install .</code> in the folder of the source. No server is asked.</p>
{_lines("python", PYTHON)}

<h2>In a shell, on your machine</h2>
<p>One line of JSON a picture; <code>agegenderemo --help</code> has the rest.</p>
{_lines("shell", SHELL)}

<h2>From this server, in Python</h2>
<p>After <code>pip install gradio_client</code>. The picture is sent to this server, which deletes
it as it does all others.</p>
{_lines("client", CLIENT)}

<h2>From this server, by curl</h2>
<p>The picture goes up, then it is asked for, then its answer is waited for. The path that the
upload returns is a secret of 128 random bits: who has it may fetch the picture until it is
deleted.</p>
{_lines("curl", CURL)}
{assistants}
<h2>The answer, field by field</h2>
<p>JSON, of one shape everywhere. A picture that cannot be read has an <code>error</code> in place
of its faces; this server says such a sentence instead of an answer.</p>
{_fields_table(json_schema(tasks))}
</article>
"""


def _lines(name: str, code: str) -> str:
    return (
        f'<div class="code-lines"><button type="button" class="button" hidden>Copy</button>'
        f'<pre tabindex="0" data-code="{name}"><code>{escape(code)}</code></pre></div>'
    )


def fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of every field of a record, as its JSON Schema has them."""
    read, failed = schema["oneOf"]
    yield from _properties(read, "", schema)
    known = read["properties"]
    more = {name: one for name, one in failed["properties"].items() if name not in known}
    yield from _properties({"properties": more}, "", schema)


def _properties(
    owner: Mapping[str, Any], prefix: str, schema: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for name, one in owner["properties"].items():
        yield f"{prefix}{name}", _type(one), one.get("description", "")
        inner = one.get("items", {})
        if "$ref" in inner:
            face = schema["$defs"][inner["$ref"].rpartition("/")[2]]
            yield from _properties(face, f"{prefix}{name}[].", schema)
        elif any(part.get("description") for part in one.get("properties", {}).values()):
            yield from _properties(one, f"{prefix}{name}.", schema)


def _type(one: Mapping[str, Any]) -> str:
    if "enum" in one:
        return "one of " + ", ".join(map(str, one["enum"]))
    if "const" in one:
        return str(one["const"])
    names = one["type"] if isinstance(one["type"], list) else [one["type"]]
    text = " or ".join(_TYPES[name] for name in names)
    if "minItems" in one and one.get("minItems") == one.get("maxItems"):
        text = text.replace("list", f"list of {one['minItems']}")
    if "minimum" in one and "maximum" in one:
        text += f", {one['minimum']} to {one['maximum']}"
    return text


def _breakable(name: str) -> str:
    """A field's name that a narrow table breaks between its words, not within them."""
    return escape(name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _fields_table(schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row"><code>{_breakable(name)}</code></th><td>{escape(kind)}</td>'
        f"<td>{escape(meaning)}</td></tr>"
        for name, kind, meaning in fields(schema)
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Field", "Type", "Meaning"))
    return table_html(f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>")
