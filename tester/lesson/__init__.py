"""What the notebooks import: servers, conversations, pictures, steps, exercises.

start(6); talk(b"GET / HTTP/1.1\\r\\n…")     a server, and a conversation with it
timeline(…), bars(…), plot(…), ribbon(7)    pictures
anatomy(…), bytes_of(…), panel({…})         bytes, part by part
step(7, {…}), load(7)                       what a stage changed, and its functions
mistake(7, "…"), verdict(…)                 what goes wrong
puzzle(7), expose(…)                        a broken server, to be exposed
begin(), grade(7)                           the learner's own server
"""

from tester.lesson.exercises import begin, expose, grade, puzzle, verdict
from tester.lesson.panel import panel
from tester.lesson.pictures import bars, bytes_of, plot, ribbon, timeline
from tester.lesson.servers import LessonError, load, mistake, serving, slowed, start, stop
from tester.lesson.shell import curl
from tester.lesson.steps import step
from tester.lesson.talk import scene, talk
from tester.lesson.views import anatomy

__all__ = [
    "LessonError",
    "anatomy",
    "bars",
    "begin",
    "bytes_of",
    "curl",
    "expose",
    "grade",
    "load",
    "mistake",
    "panel",
    "plot",
    "puzzle",
    "ribbon",
    "scene",
    "serving",
    "slowed",
    "start",
    "step",
    "stop",
    "talk",
    "timeline",
    "verdict",
]
