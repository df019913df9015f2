"""Stage 6, Implement Basic Routing: each path has its own response."""

from tester.grading.client import Client
from tester.grading.expect import expect, expect_body, expect_refused, expect_status
from tester.grading.words import Words
from tester.ladder.rule import edge

STAGE = 6
PAGES = ("/", "/about", "/blog")


def test_three_pages_differ(client: Client, words: Words) -> None:
    """`/`, `/about` and `/blog` are three pages with three different bodies.

    Why: A server leads each path to the code that responds to it. That is called routing.
    Hint: A dictionary from paths to functions keeps this short, however many pages there are.
    """
    bodies = {}
    for path in PAGES:
        response = client.ask(path)
        expect_status(response, 200)
        bodies[path] = response.body
    for path, body in bodies.items():
        twin = next((other for other in PAGES if other != path and bodies[other] == body), None)
        expect(
            not twin,
            f"{path} and {twin} have the same body",
            "three different bodies",
            repr(body[:60]),
        )


def test_pages_with_a_query(client: Client, words: Words) -> None:
    """The pages are found with a query too: `/about?x=1` is `/about`.

    Why: The query says more about the page, but not which page it is.
    Hint: Cut the query off before you look the path up in the table.
    """
    for path in PAGES:
        plain = client.ask(path)
        for query in (f"{words.word()}={words.word()}", "", f"/blog?/about/{words.word()}"):
            response = client.ask(f"{path}?{query}")
            expect_status(response, 200)
            expect_body(response, plain.body)


def test_similar_paths_are_not_found(client: Client, words: Words) -> None:
    """A path that only resembles a page's path gets 404: `/abouts`, `/abou`, `/about/team`.

    Why: A path names one thing and no other. A server that compares only beginnings serves the
        wrong page, and one day something that nobody was meant to see (RFC 9110 section 4.2.3).
    Hint: Compare whole paths. Only for `/echo/`, with its last slash, is the beginning enough.
    """
    word = words.word()
    for path in (
        "/abouts",
        "/abou",
        "/about/team",
        f"/blog{word}",
        f"/about/{word}",
        f"/echo{word}",
        f"/{word}/about",
        f"/{word}?/about",
        f"/abouts?{word}",
    ):
        expect_status(client.ask(path), 404)


def test_echo_still_works(client: Client, words: Words) -> None:
    """`/echo/…` still works.

    Why: A new feature must not break an old one: that is what these checks are for.
    Hint: A table of exact paths does not find `/echo/hello`: look for the prefix `/echo/` too.
    """
    text = words.word()
    response = client.ask(f"/echo/{text}%20{text}")
    expect_status(response, 200)
    expect_body(response, f"{text} {text}".encode())


@edge
def test_paths_are_case_sensitive(client: Client) -> None:
    """`/About` is not `/about`: in a path, capital and small letters differ.

    Why: Only the scheme and the host of a URL are compared without regard to letter case
        (RFC 9110 section 4.2.3).
    Hint: Do not call `lower()` on the path.
    """
    for path in ("/About", "/BLOG"):
        expect_status(client.ask(path), 404)


@edge
def test_escapes_in_the_name_of_a_page(client: Client) -> None:
    """`/%61bout` is `/about`: an escaped character means the same as the character itself.

    Why: Some programs escape more than they must. A character that is not a separator may be
        escaped anywhere in a path, and it stays the same path (RFC 3986 section 2.3).
    Hint: Decode each part of the path, and only then look for it among the pages. An escaped slash
        is not a separator: `/%2Fabout` is not found.
    """
    about = client.ask("/about")
    for path in ("/%61bout", "/ab%6Fut", "/%61%62%6f%75%74"):
        response = client.ask(path)
        expect_status(response, 200)
        expect_body(response, about.body)
    for path in ("/%2Fabout", "/about%2F", "/about%20", "/%20about", "/about%3Fx"):
        expect_refused(client.ask(path))
