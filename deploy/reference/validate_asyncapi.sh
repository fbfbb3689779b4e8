#!/bin/sh
# docs/reference/asyncapi.json, read by AsyncAPI's own parser (needs node and npm; by hand, before a release or when the generator
# changed). The parser is put into a directory of its own, named by VIGIL_ASYNCAPI_PARSER or thrown away afterwards.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: nothing was validated" >&2; exit 2; }
done
directory=${VIGIL_ASYNCAPI_PARSER:-$(mktemp -d)}
[ -n "${VIGIL_ASYNCAPI_PARSER:-}" ] || trap 'rm -rf "$directory"' EXIT
mkdir -p "$directory"
[ -d "$directory/node_modules/@asyncapi/parser" ] || npm install --silent --no-fund --no-audit --prefix "$directory" @asyncapi/parser@3
node "$here/validate_asyncapi.mjs" "$directory" "${1:-$here/../../docs/reference/asyncapi.json}"
