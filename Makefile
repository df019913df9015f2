# Every target is short for a command that also runs without make: see its recipe.
# This file keeps to GNU make 3.81, the version on macOS.

PYTHON ?= python3
RUN := .venv/bin/python
NUMBERS := 1 2 3 4 5 6 7 8 9 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18

# ATTEMPT exactly as it was typed: make expands no $ in it. Recipes read it from the environment, so
# that spaces and quotes in a path do no harm.
override ATTEMPT := $(value ATTEMPT)
export ATTEMPT
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup grade watch notebooks lessons test bench bench-peers soak soak-server mistakes
.PHONY: mutants fuzz lint picture clean
.PHONY: $(NUMBERS:%=stage-%) $(NUMBERS:%=serve-%) $(NUMBERS:%=diff-%) $(NUMBERS:%=show-%)

help:
	@echo "make ..."
	@sed -n 's/^## /  /p' Makefile

## setup                make .venv from requirements.txt; the others do this when they need it
setup: .venv/ready
	@:

.venv/ready: requirements.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { echo \
	  "$(PYTHON) is not Python 3.10 or newer. Name one that is: make setup PYTHON=python3.13" >&2; exit 2; }
	@echo "Making .venv: this happens once, and may take a minute." >&2
	@"$(PYTHON)" -m venv --clear .venv
	@$(RUN) -m pip install -qq --requirement requirements.txt
	@$(RUN) -c 'import os, pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), \
	  "tester.pth").write_text(os.getcwd() + "\n")'  # `python -m tester` works from any folder.
	@touch $@

## stage-07             grade stage 7's own server, or yours: make stage-07 ATTEMPT=my_server.py
$(NUMBERS:%=stage-%): stage-%: .venv/ready
	@$(RUN) -m tester grade --stage $* "$${ATTEMPT:-$(wildcard stages/$*-*/server.py stages/0$*-*/server.py)}"

## serve-07             run stage 7's server on port 4221, with the sample site
$(NUMBERS:%=serve-%): serve-%: .venv/ready
	@$(RUN) -m tester serve $*

## diff-07              show what stage 7 adds to stage 6
$(NUMBERS:%=diff-%): diff-%: .venv/ready
	@$(RUN) -m tester diff $*

## show-07              show what stage 7 asks for
$(NUMBERS:%=show-%): show-%: .venv/ready
	@$(RUN) -m tester show $*

stage-% serve-% diff-% show-%:
	$(error There is no stage $*: the stages are 1 to 18)

## grade ATTEMPT=path   find out how far your server has come
## watch ATTEMPT=path   grade your server again whenever you save it
ifdef ATTEMPT
grade watch: .venv/ready
	@$(RUN) -m tester $@ "$$ATTEMPT"
else
grade watch:
	$(error Which server? Say, for example: make $@ ATTEMPT=my_server.py)
endif

## notebooks            open the lessons in JupyterLab, at the start page
notebooks: .venv/ready
	@$(RUN) -m tester.lesson open

## lessons              run all notebooks, and save what they show
lessons: .venv/ready
	@$(RUN) -m tester.lesson run

## test                 run the project's own tests, and check style and format
test: .venv/ready
	@$(RUN) -m pytest tester/tests -q -n 6 --maxschedchunk 1
	@$(MAKE) --no-print-directory lint

## lint                 check style, format and types
lint: .venv/ready
	@$(RUN) -m ruff check stages tester
	@$(RUN) -m ruff format --check stages tester
	@$(RUN) -m mypy

## bench                measure how long grading takes
bench: .venv/ready
	@$(RUN) -m tester.workshop bench

## bench-peers          compare stage 18's server with others under load; needs wrk
bench-peers: .venv/ready
	@$(RUN) -m tester.workshop peers

## soak                 grade our servers and some mistakes 300 times each: no verdict may vary
soak: .venv/ready
	@$(RUN) -m tester.workshop soak

## soak-server          put stage 18's server under load and attack for ten minutes
soak-server: .venv/ready
	@$(RUN) -m tester.workshop stress

## mistakes             learn what each known mistake looks like, and count the recognised ones
mistakes: .venv/ready
	@$(RUN) -m tester.workshop learn

## mutants              break our servers in small ways, and see whether a check notices
mutants: .venv/ready
	@$(RUN) -m tester.workshop mutants

## fuzz                 compare stage 18's server with h11 and llhttp on made-up requests
fuzz: .venv/ready
	@$(RUN) -m tester.workshop fuzz

## picture              draw the README's picture of a failed check again
picture: .venv/ready
	@$(RUN) -m tester.workshop picture

## clean                remove .venv and all caches
clean:
	@rm -rf .venv .ruff_cache .mypy_cache
	@find stages tester notebooks \( -name __pycache__ -o -name .pytest_cache -o \
	  -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
