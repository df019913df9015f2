"""Writes results as JUnit XML, the report that CI systems read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

from tester.report.as_json import MESSAGE_LIMIT, _message
from tester.report.bytes_view import left_out, visible
from tester.results import CheckResult, Failure, LadderResult, StageResult

NOT_XML = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that no XML document can hold, not even escaped (XML 1.0 section 2.2), and characters
that could upset the terminal of a reader: more controls, and changes of the writing direction."""


def write_junit(result: StageResult | LadderResult, path: str) -> None:
    """Write a result as JUnit XML to the file `path`, or to standard output if it is `-`."""
    stages = result.stages if isinstance(result, LadderResult) else (result,)
    reached = result.reached if isinstance(result, LadderResult) else 0
    root = ElementTree.Element("testsuites", name="tester", time=f"{result.seconds:.3f}")
    several = len(stages) > 1
    for stage in stages:
        outgrown = stage.stage < reached and not stage.passed
        root.append(_suite(stage, outgrown=outgrown, several=several))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    # What is not ASCII becomes a number, so that every reader gets the same.
    data = b'<?xml version="1.0" encoding="utf-8"?>\n' + text.encode("ascii", "xmlcharrefreplace")
    if path == "-":
        sys.stdout.write(data.decode("ascii") + "\n")
        sys.stdout.flush()
    else:
        Path(path).write_bytes(data + b"\n")


def _suite(result: StageResult, *, outgrown: bool, several: bool) -> ElementTree.Element:
    """Return the test suite of one stage; with `several` stages, the cases' names contain theirs.

    A rule applies to many stages, and a program that reads the report may go by a case's name.
    """
    at_stage = f"stage {result.stage}: " if several else ""
    suite = ElementTree.Element("testsuite", name=_xml(f"Stage {result.stage}: {result.title}"))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("attempt", result.attempt), ("seed", str(result.seed))):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(value))
    failed = any(t.kind == "requirement" and t.outcome == "failed" for t in result.tests)
    for test in result.tests:
        case = _case(suite, test.id, at_stage + test.title, test.seconds)
        if test.outcome != "passed":
            _mark_case(case, test, outgrown=outgrown, alone=not failed)
    if result.error is not None:
        title = at_stage + "the attempt can be graded"
        case = _case(suite, f"stage_{result.stage:02}::start", title, 0.0)
        error = ElementTree.SubElement(case, "error", message=_xml(result.error))
        error.text = _xml(result.output)
    _count(suite, result)
    return suite


def _count(suite: ElementTree.Element, result: StageResult) -> None:
    """Set the attributes that count the suite's test cases."""
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("time", f"{result.seconds:.3f}")


def _case(
    suite: ElementTree.Element, identity: str, title: str, seconds: float
) -> ElementTree.Element:
    """Add a test case to the suite: its class is the rule's file, its name is the rule."""
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=_xml(identity.removesuffix(".py").replace(".py::", ".").replace("::", ".")),
        name=_xml(title),
        time=f"{seconds:.3f}",
    )


def _mark_case(
    case: ElementTree.Element, test: CheckResult, *, outgrown: bool, alone: bool
) -> None:
    """Mark a test case that did not pass, as the docstring of `as_json.py` lays down."""
    message = _message(test)
    if test.kind == "edge":
        ElementTree.SubElement(case, "skipped", message=_xml(f"edge case: {message}"))
    elif outgrown:
        ElementTree.SubElement(case, "skipped", message=_xml(f"outgrown: {message}"))
    elif test.outcome == "skipped" and not alone:
        ElementTree.SubElement(case, "skipped", message=_xml(message))
    else:
        failure = ElementTree.SubElement(case, "failure", message=_xml(message))
        failure.text = _xml("\n".join(_details(test)))


def _details(test: CheckResult) -> list[str]:
    """Return all there is to say about a failure, line by line."""
    failure = test.failure or Failure("")
    lines = [
        f"{label} {text}"
        for label, text in (("expected:", failure.expected), ("got:", failure.got))
        if text
    ]
    for message in failure.exchange:
        half = MESSAGE_LIMIT // 2
        data, rest = message.data[:half], len(message.data) - half
        lines += ["", f"{message.direction} on connection {message.connection}:", visible(data)]
        if rest > 0:
            lines.append(left_out(rest))
    labelled = (
        ("then:", failure.ending),
        ("Why:", test.why),
        ("Hint:", test.hint),
        ("Try it:", failure.command),
        ("The end of the server's output:\n", failure.output),
    )
    return lines + [f"\n{label} {text}" for label, text in labelled if text]


def _xml(text: str) -> str:
    r"""Return the text with `\xNN` or `\uNNNN` for every character in NOT_XML."""
    return NOT_XML.sub(lambda match: ascii(match[0])[1:-1], text)
