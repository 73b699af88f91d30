"""About: what the model is, how well it does, where it fails, and what happens to a picture."""

import re
from html import escape
from typing import Any

import gradio as gr

from agegenderemo.analyzer import Analyzer
from agegenderemo.tables import tables
from agegenderemo.web.options import KEEP_SECONDS


def about_page(analyzer: Analyzer) -> None:
    """Lay out the About tab."""
    gr.HTML(about_html(analyzer.card), apply_default_css=False, elem_id="about-page")


def about_html(card: dict[str, Any]) -> str:
    """The text of the page; every figure in it comes from the checkpoint's ``card``."""
    return f"""
<article class="about">
<p class="lead">These are guesses about how a face <em>looks</em> in one picture. They are not facts
about a person: not their age, not their gender, not what they feel.</p>

<h2>What it is</h2>
<p>{_model_sentence(card)} MTCNN finds the faces, five points on each align it, and one pass of the
network reads age, gender and eight emotions together.</p>

<h2>How well it does</h2>
{figures_html(card.get("figures") or {})}

<h2>What it is bad at</h2>
<ul>
<li>Old people, who look too young to it, and the gender of small children.</li>
<li>Turned, covered, blurred or small faces, hard shadows, make-up, masks and drawings.</li>
<li>Contempt, disgust and fear: rare in its training pictures, so it misses about half of
them or more. It learned from posed and labelled pictures what people call an expression,
which says little about what someone feels.</li>
<li>Gender: the data sets know two labels that strangers gave by sight. Whoever does not look the
way those strangers expected is misread, and the error differs between groups of people.</li>
</ul>
<p>Do not use it to decide anything about anyone.</p>

<h2>What happens to your picture</h2>
<p>It goes to the server that runs this page, and to no one else. Live frames are read in memory and
are never written down. An uploaded picture and its results lie in a temporary folder so that you
can look at them and download them; they are deleted after {_duration(KEEP_SECONDS)}, and when the
server stops. There is no log of pictures, no history, no account and no tracking, and the page asks
no other host for anything.</p>
</article>
"""


def figures_html(figures: dict[str, Any]) -> str:
    """The tables of the card, from the same figures; the first open, the others folded."""
    parts = []
    for index, table in enumerate(tables(figures).values()):
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
            for row in table.rows
        )
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
        body = (
            '<div class="table-scroll" tabindex="0"><table class="face-table">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
            + (f"<p>{escape(table.note)}</p>" if table.note else "")
        )
        title = escape(table.title)
        parts.append(body if index == 0 else f"<details><summary>{title}</summary>{body}</details>")
    return "".join(parts) or "<p>No measured figures came with this checkpoint.</p>"


def _cell(text: str) -> str:
    """A cell that may break between words, but not between a number and what belongs to it."""
    text = re.sub(r"(?<=\d) | (?=\d)", "\N{NO-BREAK SPACE}", text)
    return escape(re.sub(r"(?<=\d)-(?=\d)", "\N{NON-BREAKING HYPHEN}", text))


def _model_sentence(card: dict[str, Any]) -> str:
    name = escape(str(card.get("name", "The network")))
    facts = []
    if "parameters" in card:
        facts.append(f"{card['parameters']:,} parameters")
    if "size" in card:
        facts.append(f"faces of {card['size']}×{card['size']} pixels")
    listed = f" ({', '.join(facts)})" if facts else ""
    return (
        f"The checkpoint <code>{name}</code> is an AgeGenderNet{listed}, a small residual network "
        "with attention, trained from scratch by this project on UTKFace, FER+ and FairFace, with "
        "a public face network as its teacher. Its weights are for non-commercial research."
    )


def _duration(seconds: int) -> str:
    return f"{seconds // 60} minutes"
