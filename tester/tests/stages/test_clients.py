"""Real clients against stage 18's server. One that is not on this machine is left out."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tester.attempt.server import Server
from tester.grading.client import put_file
from tester.grading.words import Words
from tester.ladder.stages import ROOT
from tester.tests.helpers import TESTS
from tester.workshop.stress.watched import running

CLIENTS = TESTS / "clients"
SITE = ROOT / "stages" / "public"
TICKS = "".join(f"tick {number}\n" for number in range(1, 6))
LARGE = Words(1).data(3_000_000)  # Bytes: curl waits for leave to send so many.
TIMEOUT = 60  # Seconds: only against hanging for ever.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing but our page: no first start, no updates, no account, no other way than plain HTTP.
BROWSER_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --no-proxy-server"
).split()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Stage 18's server, with the sample site in its folder."""
    with running() as running_server:
        shutil.copytree(SITE, running_server.public, dirs_exist_ok=True)
        yield running_server


@pytest.fixture(scope="module")
def base(server: Server) -> str:
    """Where it is: `http://127.0.0.1:4221`."""
    return f"http://{server.address.host}:{server.address.port}"


def run(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program and return what came of it; leave the test out if there is no such program."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"there is no {words[0]} on this machine")
    done = subprocess.run([*map(str, words)], capture_output=True, timeout=TIMEOUT, **options)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done


def curl(*words: object, data: bytes = b"") -> tuple[bytes, str]:
    """Run curl; return what it wrote, and what it told of the exchange (`-v`)."""
    quiet = ("--disable", "--silent", "--show-error", "--verbose", "--noproxy", "*")
    done = run("curl", *quiet, *words, input=data)
    return done.stdout, done.stderr.decode("latin-1")


# --- curl -----------------------------------------------------------------------------------------


def test_curl_unpacks_what_it_asked_for_compressed(base: str) -> None:
    """Fewer bytes come, and they mean the same."""
    page = (SITE / "index.html").read_bytes()
    body, told = curl(
        "--compressed", "-w", "%{stderr}came: %{size_download}\n", f"{base}/files/index.html"
    )
    assert body == page
    assert "< Content-Encoding: gzip" in told
    assert 0 < int(re.search(r"came: (\d+)", told)[1]) < len(page) / 2


def test_curl_as_an_old_client_gets_no_chunks(base: str) -> None:
    """The end of the connection is the end of the body."""
    body, told = curl("--http1.0", f"{base}/stream")
    assert body.decode() == TICKS
    assert "> GET /stream HTTP/1.0" in told
    assert "Transfer-Encoding" not in told


def test_curl_waits_for_leave_to_send(server: Server, base: str) -> None:
    """It asks first, and is told to go on: else it would wait for a minute here."""
    wait = ("--expect100-timeout", str(2 * TIMEOUT))
    _, told = curl(*wait, "--data-binary", "@-", f"{base}/files/asked.bin", data=LARGE)
    assert "> Expect: 100-continue" in told
    assert "< HTTP/1.1 100 Continue" in told
    assert "< HTTP/1.1 201 Created" in told
    assert (server.public / "asked.bin").read_bytes() == LARGE


def test_curl_sends_what_it_does_not_know_the_length_of(server: Server, base: str) -> None:
    """It reads from a pipe, and sends chunks."""
    _, told = curl("-X", "POST", "-T", "-", f"{base}/files/piped.bin", data=LARGE)
    assert "> Transfer-Encoding: chunked" in told
    assert "< HTTP/1.1 201 Created" in told
    assert (server.public / "piped.bin").read_bytes() == LARGE


def test_curl_fetches_several_urls_on_one_connection(base: str) -> None:
    """It opens one for the first, and none for the others."""
    targets = ("/echo/one", "/files/images/hills.jpg", "/no-such-page", "/stream", "/echo/five")
    urls = [word for target in targets for word in ("-o", "/dev/null", base + target)]
    written, _ = curl("-w", "%{num_connects} %{http_code}\n", *urls)
    assert written.decode().split("\n")[:-1] == ["1 200", "0 200", "0 404", "0 200", "0 200"]


@pytest.mark.parametrize("way", ["..", "%2e%2e", "images/../..", "pages/%2E./.."])
def test_curl_is_not_led_out_of_the_folder(server: Server, base: str, way: str) -> None:
    """`--path-as-is` sends the dots, which browsers and curl resolve themselves otherwise."""
    (server.scratch / "secret.txt").write_text("a secret")
    _, told = curl("--path-as-is", f"{base}/files/images/../notes.txt")
    assert "< HTTP/1.1 404 Not Found" in told  # It leads inside, but a file has one name.
    body, told = curl("--path-as-is", f"{base}/files/{way}/secret.txt")
    assert f"> GET /files/{way}/secret.txt HTTP/1.1" in told
    assert "< HTTP/1.1 404 Not Found" in told
    assert b"secret" not in body


# --- Python ---------------------------------------------------------------------------------------


def test_http_client_stays_on_one_connection(server: Server) -> None:
    """With bodies in either direction, of known and unknown length, and with none."""
    client = http.client.HTTPConnection(server.address.host, server.address.port, timeout=TIMEOUT)
    client.connect()
    first = client.sock

    def ask(method: str, target: str, body: object = None) -> tuple[int, bytes]:
        """Return status and body."""
        client.request(method, target, body)
        response = client.getresponse()
        return response.status, response.read()

    assert ask("GET", "/echo/hello") == (200, b"hello")
    assert ask("HEAD", "/echo/hello") == (200, b"")
    assert ask("POST", "/echo", LARGE) == (200, LARGE)
    assert ask("POST", "/echo", iter([b"in ", b"chunks"])) == (200, b"in chunks")
    assert ask("GET", "/stream") == (200, TICKS.encode())
    assert ask("PUT", "/echo", b"not this way")[0] == 405
    assert ask("GET", "/echo/bye") == (200, b"bye")
    assert client.sock is first
    client.close()


def test_urllib_opens_what_there_is(base: str) -> None:
    """And raises its error where there is nothing."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{base}/files/caf%C3%A9.html", timeout=TIMEOUT) as response:
        assert response.read() == (SITE / "café.html").read_bytes()
        assert response.headers.get_content_type() == "text/html"
        assert response.headers.get_content_charset() == "utf-8"
    with opener.open(f"{base}/echo", b"a=1&b=2", timeout=TIMEOUT) as response:
        assert response.read() == b"a=1&b=2"
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(f"{base}/no-such-page", timeout=TIMEOUT)
    assert (raised.value.code, raised.value.reason) == (404, "Not Found")
    raised.value.close()


def test_httpx_streams_and_stays(base: str) -> None:
    """It unpacks, sends chunks, reads piece by piece, and keeps its connection."""
    httpx = pytest.importorskip("httpx", reason="there is no httpx in this environment")
    with httpx.Client(base_url=base, trust_env=False, timeout=TIMEOUT) as client:
        page = client.get("/files/index.html")
        assert page.headers["content-encoding"] == "gzip"
        assert page.text == (SITE / "index.html").read_text(encoding="utf-8")
        with client.stream("GET", "/stream") as stream:
            assert [*stream.iter_lines()] == TICKS.splitlines()
        echoed = client.post("/echo", content=iter([b"in ", b"chunks"]))
        assert echoed.request.headers["transfer-encoding"] == "chunked"
        assert echoed.content == b"in chunks"
        used = {
            answer.extensions["network_stream"].get_extra_info("client_addr")
            for answer in (page, stream, echoed)
        }
        assert len(used) == 1


# --- Node, wrk, Chromium --------------------------------------------------------------------------


def test_node_uses_its_socket_again(base: str) -> None:
    """An agent that keeps connections alive needs one socket for everything."""
    answers = json.loads(run("node", CLIENTS / "keep_alive.js", base).stdout)
    assert [(answer["status"], answer["body"]) for answer in answers] == [
        (200, "first"),
        (200, ""),
        (200, "in three chunks"),
        (404, "404 Not Found\n"),
        (200, TICKS),
        (200, ""),
        (200, "last"),
    ]
    assert len({answer["port"] for answer in answers}) == 1
    assert [answer["reused"] for answer in answers] == [False, *[True] * (len(answers) - 1)]


@pytest.mark.parametrize("target", ["/", "/files/images/lighthouse.png"])
def test_wrk_meets_no_error(base: str, target: str) -> None:
    """For a second, with more clients than it has threads."""
    told = run("wrk", "--threads=2", "--connections=16", "--duration=1s", base + target).stdout
    assert int(re.search(rb"(\d+) requests in", told)[1]) > 16
    assert b"Socket errors" not in told
    assert b"Non-2xx" not in told


def browse(url: str, profile: Path) -> str:
    """Return the page at `url` as Chromium has made it, with what its scripts have changed."""
    program = next(filter(shutil.which, BROWSERS), BROWSERS[0])
    # Scripts and what they fetch have until then, in the page's own time: it does not wait for it.
    options = (*BROWSER_OPTIONS, f"--user-data-dir={profile}", "--virtual-time-budget=10000")
    home = os.environ | {"HOME": str(profile)}  # Else it writes some things into ours.
    return run(program, *options, "--dump-dom", url, env=home).stdout.decode()


def test_chromium_runs_the_sample_site(base: str, tmp_path: Path) -> None:
    """The page's own checks are good: its script, its pictures, and its data have arrived."""
    page = browse(f"{base}/files/index.html", tmp_path)
    checks = dict(re.findall(r'<li id="check-(\w+)"(?: class="(\w+)")?', page))
    assert checks == {"css": "", "script": "good", "pictures": "good", "data": "good"}
    assert "All 3 arrived whole: one SVG, one PNG and one JPEG." in page
    requests = re.findall(r'<span class="method">GET</span> ([^<]*)</code>.*?>(\d+)</span>', page)
    wanted = "style.css script.js data.json images/exchange.svg images/hills.jpg".split()
    assert {(f"/files/{name}", "200") for name in wanted} <= set(requests)


def test_chromium_shows_the_sample_site_as_it_should(
    server: Server, base: str, tmp_path: Path
) -> None:
    """The style is in use, the pictures have their sizes, and a POST comes back."""
    target = put_file(server, "probe.html", (CLIENTS / "probe.html").read_bytes())
    page = browse(base + target, tmp_path)
    report = json.loads(html.unescape(re.search(r'<pre id="report">(.*?)</pre>', page)[1]))
    widths = dict(report.pop("pictures"))
    assert report == {"withCss": "block", "withoutCss": "none", "echoed": True}
    assert widths.pop("images/exchange.svg") > 0  # It fits any size: browsers choose one.
    assert widths == {"images/lighthouse.png": 480, "images/hills.jpg": 480}
