#!/usr/bin/env bash
# Installs what the tests need beyond Go. Where it may not (no root, no apt) it says what stays out; with CI=true that
# is an error, so that nothing is skipped unseen.
set -euo pipefail
cd "$(dirname "$0")/.."

# command:package pairs from Debian. The race detector needs a C compiler, the tests of the official JavaScript SDK
# need Node, those of the policy SDKs one compiler for each language, those of browsers one of them.
needed=(gcc:gcc node:nodejs npm:npm clang:clang wasm-ld:lld wat2wasm:wabt ldc2:ldc chromium:chromium curl:curl)
# Servers that stand in front of a node in the tests, kept where only root looks.
fronts=(nginx haproxy)
# Folders with a package-lock.json: the JavaScript SDKs' tests; AssemblyScript, Zig and QuickJS.
locks=(internal/e2e/js bench/sim/testdata/js wasm/_toolchain)

give_up() {
	echo "setup: $1" >&2
	if [[ ${CI:-} == true ]]; then exit 1; fi
}

# A rustc counts only if it can build for WebAssembly, as Debian's can with libstd-rust-dev-wasm32.
rust_knows_wasm() {
	local rustc
	while read -r rustc; do
		[[ -d $("$rustc" --print target-libdir --target wasm32-unknown-unknown 2>/dev/null) ]] && return 0
	done < <(type -ap rustc)
	return 1
}

# Debian keeps the server's programs out of the PATH. The tests of the origin's store start one of their own.
has_postgres() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

missing=()
for pair in "${needed[@]}"; do
	command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
for front in "${fronts[@]}"; do
	command -v "$front" >/dev/null || [[ -x /usr/sbin/$front ]] || missing+=("$front")
done
rust_knows_wasm || missing+=(rustc libstd-rust-dev-wasm32)
has_postgres || missing+=(postgresql)

if ((${#missing[@]} > 0)); then
	if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
		echo "setup: installing ${missing[*]}"
		apt-get update -qq
		# RUNLEVEL=1: no server starts by itself.
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	else
		give_up "${missing[*]} not found: install them, or do without the tests that need them"
	fi
fi

# npm leaves .package-lock.json behind when it is done; a newer lock file means there is work.
for folder in "${locks[@]}"; do
	if [[ $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then continue; fi
	if command -v npm >/dev/null; then
		# Not npm ci: it refuses a lock file without the optional packages of other platforms, which a registry may lack.
		npm install --no-save --prefix "$folder" --no-audit --no-fund --loglevel=error
	else
		give_up "npm not found: the tests that need $folder are skipped"
	fi
done
