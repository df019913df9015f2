"""Reports: what grading found, for people (`terminal`) and for programs (`machine`).

    results -> bytes_view -> terminal -> the screen
                          -> machine  -> JSON, JUnit

Imports go one way: nothing here knows how a result was made. The modules are not imported from
this file, so that a run that only writes JSON does not wait for `rich`.
"""
