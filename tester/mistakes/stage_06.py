"""Mistakes of stage 6, Implement Basic Routing."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=6,
        rule="test_three_pages_differ",
        title="The table of routes holds what a function returned, and not the function",
        changes=(
            ("**dict.fromkeys(PAGES, show_page)", '**dict.fromkeys(PAGES, error_page("200 OK"))'),
        ),
        words="TypeError",
    ),
    Mistake(
        stage=6,
        rule="test_three_pages_differ",
        title="All pages have the same body",
        changes=(("Response(body=html.encode())", 'Response(body=b"Hello World!")'),),
        words="have the same body",
    ),
    Mistake(
        stage=6,
        rule="test_three_pages_differ",
        title="One of the pages was forgotten",
        changes=((', "/blog": "Today I learned to route"', ""),),
        words="not 200",
    ),
    Mistake(
        stage=6,
        rule="test_pages_with_a_query",
        title="Pages are looked up with the query still on the path",
        changes=(("path, prefix = request.path,", "path, prefix = request.target,"),),
        words="not 200",
        row=52,
    ),
    Mistake(
        stage=6,
        rule="test_similar_paths_are_not_found",
        title="A page is found wherever its name stands in the target",
        changes=(
            (
                "    if handler:\n",
                '    for page in ("/about", "/blog"):\n'
                "        if not handler and request.target.endswith(page):\n"
                "            request.path, handler = page, show_page\n"
                "    if handler:\n",
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=6,
        rule="test_similar_paths_are_not_found",
        title="The beginning /echo is compared without the slash after it",
        changes=(("GET_ROUTES.get(prefix)", '(path[:5] == "/echo" and echo_path)'),),
        words="not 404",
        row=35,
    ),
    Mistake(
        stage=6,
        rule="test_similar_paths_are_not_found",
        title="Only the first part of the path is looked at",
        changes=(
            ("path, prefix = request.path,", 'path, prefix = "/" + request.path.split("/")[1],'),
            (
                'html = f"<!doctype',
                'request.path = "/" + request.path.split("/")[1]\n    html = f"<!doctype',
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=6,
        rule="test_echo_still_works",
        title="The table finds whole paths only, so /echo/hello is lost",
        changes=(("GET_ROUTES.get(path) or GET_ROUTES.get(prefix)", "GET_ROUTES.get(path)"),),
        words="not 200",
    ),
    Mistake(
        stage=6,
        rule="test_paths_are_case_sensitive",
        title="The path is turned to small letters",
        changes=(
            (
                'unquote(path or "/", errors="surrogateescape")',
                'unquote(path or "/", errors="surrogateescape").lower()',
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=6,
        rule="test_escapes_in_the_name_of_a_page",
        title="The pages are looked up before the path is decoded",
        changes=(
            ("path, prefix = request.path,", 'path, prefix = request.target.partition("?")[0],'),
        ),
        words="not 200",
    ),
)
