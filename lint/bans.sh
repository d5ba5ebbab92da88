#!/usr/bin/env bash
# bans.sh CRATE: proves that what CRATE/clippy.toml bans is found. A crate that uses every banned path once is linted with
# that clippy.toml; each path must be reported, so a ban that clippy cannot resolve is found as well.
set -euo pipefail
cd "$(dirname "$0")/.."
conf=$PWD/$1/clippy.toml
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
mkdir "$probe/src"
cp "$conf" "$probe/clippy.toml"
cp lint/probe.rs "$probe/src/lib.rs"
printf '[package]\nname = "probe"\nedition = "2024"\n[workspace]\n' >"$probe/Cargo.toml"
if cargo clippy --quiet --manifest-path "$probe/Cargo.toml" --target-dir "$probe/target" -- -D warnings 2>"$probe/found"; then
  echo "$1: clippy found nothing wrong with a probe that uses every banned path"
  exit 1
fi
missing=$(sed -n 's/.*path = "\([^"]*\)".*/\1/p' "$conf" | while read -r path; do
  grep -q "use of a disallowed .*\`$path\`" "$probe/found" || echo "  $path"
done)
[ -z "$missing" ] || {
  printf '%s bans these, but clippy does not report them in lint/probe.rs:\n%s\n' "$1" "$missing"
  exit 1
}
echo "$(grep -c 'use of a disallowed' "$probe/found") uses reported"
