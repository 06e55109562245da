#!/usr/bin/env bash
# Installs what the tests need beyond Go. Where it may not (no root, no apt) it says what stays out; with CI=true that
# is an error, so that nothing is skipped unseen.
set -euo pipefail
cd "$(dirname "$0")/.."

# command:package pairs from Debian. The race detector needs a C compiler, the tests of the official JavaScript SDK
# need Node.
needed=(gcc:gcc node:nodejs npm:npm)
js=internal/e2e/js

missing=()
for pair in "${needed[@]}"; do
	command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done

give_up() {
	echo "setup: $1" >&2
	if [[ ${CI:-} == true ]]; then exit 1; fi
}

if ((${#missing[@]} > 0)); then
	if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
		echo "setup: installing ${missing[*]}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	else
		give_up "${missing[*]} not found: install them, or do without the tests that need them"
	fi
fi

# npm leaves .package-lock.json behind when it is done; a newer lock file means there is work.
if [[ -f $js/package-lock.json && ! $js/node_modules/.package-lock.json -nt $js/package-lock.json ]]; then
	if command -v npm >/dev/null; then
		npm ci --prefix "$js" --no-audit --no-fund --loglevel=error
	else
		give_up "npm not found: the JavaScript SDK's tests are skipped"
	fi
fi
