"""Mistakes of stage 4, Return 404 Not Found."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=4,
        rule="test_unknown_path_is_not_found",
        title="The answer is made, but `return` is forgotten, so that nothing is sent",
        changes=(('    return error_page("404 Not Found")', '    error_page("404 Not Found")'),),
        words="NoneType",
    ),
    Mistake(
        stage=4,
        rule="test_root_is_ok",
        title="The front page is looked for under the name /index.html",
        changes=(('request.target == "/"', 'request.target == "/index.html"'),),
        words="not 200",
    ),
    Mistake(
        stage=4,
        rule="test_unknown_path_is_not_found",
        title="Every path that begins with a slash is taken for the front page",
        changes=(('request.target == "/"', 'request.target.startswith("/")'),),
        words="not 404",
        row=27,
    ),
    Mistake(
        stage=4,
        rule="test_unknown_path_is_not_found",
        title="The page says 404, but the status is still 200",
        changes=(
            (r'Response(status, f"{status}\n".encode())', r'Response(body=f"{status}\n".encode())'),
        ),
        words="not 404",
    ),
    Mistake(
        stage=4,
        rule="test_usual_words_for_404",
        title="The words after 404 are in capital letters",
        changes=(('"404 Not Found")', '"404 NOT FOUND")'),),
        words="NOT FOUND",
    ),
    Mistake(
        stage=4,
        rule="test_survives_a_malformed_request_line",
        title=("The request line is split into three parts, without a look at how many there are"),
        changes=(
            (
                "method, target = require(REQUEST_LINE.fullmatch(line)).group(1, 2)",
                'method, target, version = line.split(" ")',
            ),
        ),
        words="the server exited",
        row=34,
    ),
    Mistake(
        stage=4,
        rule="test_unknown_path_is_not_found",
        title="A path of nothing but slashes is taken for the front page",
        changes=(('request.target == "/"', 'not request.target.strip("/")'),),
        words="not a 4xx",
    ),
)
