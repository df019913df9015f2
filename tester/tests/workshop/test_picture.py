"""The README's picture shows what the tester really says."""

from __future__ import annotations

from xml.etree import ElementTree

from tester.workshop.picture import PICTURE, draw, grade_mistake


def words(svg: str) -> str:
    """Return the text in a picture, without white space: that is drawn differently at times."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return "".join("".join(text.itertext()) for text in texts).replace("\xa0", "").replace(" ", "")


def test_the_picture_is_true() -> None:
    """If not: make picture."""
    svg = draw(grade_mistake())
    assert words(svg) == words(PICTURE.read_text(encoding="utf-8"))
    assert "url(" not in svg.replace("url(#", "")
