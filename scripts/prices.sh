#!/usr/bin/env bash
# Makes the built-in table of prices anew, of the published npm package: scripts/prices.sh [VERSION]
set -euo pipefail
cd "$(dirname "$0")/.."
package=@pydantic/genai-prices
version=${1:-$(npm view "$package" version)}
date=$(npm view "$package" time --json | node -p 'JSON.parse(require("fs").readFileSync(0))[process.argv[1]].slice(0, 10)' "$version")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "$package@$version" >/dev/null && tar -xzf ./*.tgz)
node --input-type=module -e '
	const { waitForUpdate } = await import(process.argv[1]);
	process.stdout.write(JSON.stringify(await waitForUpdate()));
' "$work/package/dist/index.js" >"$work/data.json"

go run ./internal/tools/prices -version "$version" -date "$date" -out internal/prices/table.jsonl.gz <"$work/data.json"
{
	cat <<NOTICE
table.jsonl.gz holds prices of language models, and the rules by which models' names are recognised, from

	genai-prices $version, published on $date as the npm package $package

which comes under this licence:

NOTICE
	cat "$work/package/LICENSE"
} >internal/prices/NOTICE
