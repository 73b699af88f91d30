"""The words of About: what a model is, how well it does, where it fails, where it comes from."""

import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from agegenderemo.report import SETS, plain_sentences, tables
from agegenderemo.tasks import TaskSpec
from agegenderemo.tasks.cautions import cautions, not_facts
from agegenderemo.web.cards import table_html
from agegenderemo.web.words import counted, listed

_POSES = "Turned, covered, blurred or small faces, hard shadows, make-up, masks and drawings."
_LICENCE = "Weights that were trained on such pictures are for non-commercial research."
_DATA = {
    "utkface": ("https://susanqq.github.io/UTKFace/", "for non-commercial research"),
    "ferplus": ("https://github.com/microsoft/FERPlus", "labels MIT, pictures for research"),
    "fairface": ("https://github.com/joojs/fairface", "CC BY 4.0"),
    "ffhq": ("https://github.com/DCGM/ffhq-features-dataset", "CC BY-NC-SA 4.0"),
}
"""Where the data sets that have a name come from, and their terms."""

_TEACHERS = {
    "face_descriptor": ("HSE_FaceRec_tf", "https://github.com/HSE-asavchenko/HSE_FaceRec_tf",
                        "the public face descriptor of Andrey Savchenko, Apache-2.0"),
}  # fmt: skip
"""The public networks that teach, by the file that a card names; others are this repository's."""
_FAMILIES = {
    "agegendernet": ("an AgeGenderNet", ", a small residual network with attention"),
    "mobileone_s0": ("a MobileOne-S0", ", made for phones"),
    "mobilenet_v1_face": ("a MobileNet", ", a public face network"),
}
"""What a family of networks is called, and what it is."""


def article(card: Mapping[str, Any], tasks: Sequence[TaskSpec], what_happens: str) -> str:
    """The text of the page; every figure in it comes from the checkpoint's ``card``.
    ``what_happens`` is HTML that says what happens to a picture."""
    weak = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in (_POSES, *cautions(tasks)))
    return f"""
<article class="about">
<p class="lead">These are guesses about how a face <em>looks</em> in one picture. They are not facts
about a person{_not_facts(tasks)}.</p>

<h2>What it is</h2>
<p>{_model_sentences(card)} MTCNN finds the faces, five points on each align it, and one pass of the
network reads {escape(counted(tasks))}{" together" if len(tasks) > 1 else ""}.</p>

<h2>How well it does</h2>
{"".join(f"<p>{escape(one)}</p>" for one in plain_sentences(card.get("figures") or {}))}
{figures_html(card.get("figures") or {})}

<h2>What it is bad at</h2>
<ul>
{weak}
</ul>
<p>Do not use it to decide anything about anyone.</p>

<h2>What happens to your picture</h2>
{what_happens}

<h2>Where it comes from</h2>
<ul>
{_origins(card)}
</ul>
</article>
"""


def figures_html(figures: Mapping[str, Any]) -> str:
    """The tables of the card, from the same figures; the first open, the others folded."""
    parts = []
    for index, table in enumerate(tables(figures).values()):
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
            for row in table.rows
        )
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
        body = table_html(f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>")
        body += f"<p>{escape(table.note)}</p>" if table.note else ""
        title = escape(table.title)
        parts.append(body if index == 0 else f"<details><summary>{title}</summary>{body}</details>")
    return "".join(parts) or "<p>No measured figures came with this checkpoint.</p>"


def _cell(text: str) -> str:
    """A cell that may break between words, but not between a number and what belongs to it."""
    text = re.sub(r"(?<=\d) | (?=\d)", "\N{NO-BREAK SPACE}", text)
    return escape(re.sub(r"(?<=\d)-(?=\d)", "\N{NON-BREAKING HYPHEN}", text))


def _model_sentences(card: Mapping[str, Any]) -> str:
    name, model = escape(str(card.get("name", "The network"))), str(card.get("model", "network"))
    facts = []
    if card.get("parameters"):
        facts.append(f"{card['parameters']:,} parameters")
    if "size" in card:
        facts.append(f"faces of {card['size']}×{card['size']} pixels")
    listed_facts = f" ({', '.join(facts)})" if facts else ""
    kind, what = _FAMILIES.get(model, (f"a network of the family {model}", ""))
    return (
        f"The checkpoint <code>{name}</code> is {escape(kind)}{listed_facts}{what}{_training(card)}"
    )


def _training(card: Mapping[str, Any]) -> str:
    """On whose faces it was trained, and whether a teacher helped, as its checkpoint says."""
    sets = _sets(card)
    if not sets:
        return "."
    text = f", trained on {escape(listed([SETS.get(name, name) for name in sets]))}"
    teachers = _teachers(card)
    if teachers:
        text += f", with {'another network' if len(teachers) == 1 else 'other networks'} as "
        text += "its teacher" if len(teachers) == 1 else "its teachers"
    begun = (card.get("provenance") or {}).get("begin_with")
    if not (teachers or begun or any(name in _DATA for name in sets)):
        return f"{text}. The terms of these pictures are those of its weights."
    return f"{text}. {_LICENCE}"


def _sets(card: Mapping[str, Any]) -> Sequence[str]:
    return tuple((card.get("provenance") or {}).get("training_faces") or ())


def _teachers(card: Mapping[str, Any]) -> Sequence[str]:
    # Checkpoints of 0.1 name them in the recipe.
    for part in ("provenance", "recipe"):
        if found := (card.get(part) or {}).get("teachers"):
            return tuple(map(str, found))
    return ()


def _origins(card: Mapping[str, Any]) -> str:
    """Links to source, data and teachers, as items of a list."""
    lines = [_source()]
    for name in _sets(card):
        if name in _DATA:
            address, terms = _DATA[name]
            lines.append(f"Data: {_link(SETS.get(name, name), address)}, {terms}.")
    for teacher in _teachers(card):
        if known := _TEACHERS.get(Path(teacher).stem):
            name, address, what = known
            lines.append(f"The first teacher: {_link(name, address)}, {what}.")
    return "\n".join(f"<li>{line}</li>" for line in lines)


def _source() -> str:
    """The code and its licence; its address is known where a Space serves it."""
    space = os.environ.get("SPACE_ID", "")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", space):
        files = f"https://huggingface.co/spaces/{space}"
        source = _link("The source", f"{files}/tree/main")
        notice = _link("NOTICE", f"{files}/blob/main/NOTICE")
    else:
        source, notice = "The source, the package <code>agegenderemo</code>,", "NOTICE"
    return (
        f"{source} is under the MIT licence; the weights that come with it are for non-commercial "
        f"research. {notice} has the licence of each part."
    )


def _link(text: str, address: str) -> str:
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>'


def _not_facts(tasks: Sequence[TaskSpec]) -> str:
    return "".join(
        f"{'' if index else ':'}{',' if index else ''} not {what}"
        for index, what in enumerate(not_facts(tasks))
    )
