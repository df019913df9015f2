#!/bin/sh
#
# Starts the program, in the way of a folder for CodeCrafters' course on HTTP servers.
set -e
cd "$(dirname "$0")"
exec python3 -u -m app.main "$@"
