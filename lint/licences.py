#!/usr/bin/env python3
"""Checks every dependency's licence against the list in deny.toml. `cargo deny` does this and more where it is installed."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met by the allowed licences: AND binds tighter than OR, WITH names an exception."""
    tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression)

    def either():
        value = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            value |= both()
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value &= one()
        return value

    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens and tokens[0] == "WITH":
            token += f" WITH {tokens[1]}"
            del tokens[:2]
        return token in allowed

    return either()


allowed = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])
metadata = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1"], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
bad = [f"{p['name']} {p['version']}: {p['license'] or 'no licence'}" for p in metadata["packages"] if not satisfied(p["license"] or "none", allowed)]
bad += [f"{p['name']}: from {p['source']}" for p in metadata["packages"] if p["source"] and "crates.io" not in p["source"]]
print("\n".join(bad) or f"{len(metadata['packages'])} packages, all allowed")
sys.exit(bool(bad))
