#!/usr/bin/env python3
"""Holds the rules of docs/ARCHITECTURE.md that no compiler checks. Says what breaks one, and where."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARIES = ("mist-core", "mist-formats", "mist-protocols")
LINES = 600  # of a file before its tests
RUNTIMES = re.compile(r"^(tokio|hyper|mio|socket2|async|futures|smol|rand|getrandom|chrono|time|libc|rustix)\b")

problems = []


def problem(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def before_tests(path):
    """The file's lines up to its first `#[cfg(test)] mod`, numbered."""
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        following = next((l for l in lines[i + 1:] if not l.lstrip().startswith("#[")), "")
        if line.startswith("#[cfg(test)]") and following.startswith("mod "):
            return lines[:i]
    return lines


def allowed_imports():
    """The table of sibling imports in ARCHITECTURE.md: {(crate, folder): {module, ...}}."""
    table = {}
    for crate, folder, imports in re.findall(r"^\| `(mist-\w+)` \| `(\w+)` \| (.*?) \|", (ROOT / "docs/ARCHITECTURE.md").read_text(), re.M):
        table[crate, folder] = set(re.findall(r"`(\w+(?:::\w+)*)`", imports))
    return table


def code(lines):
    """The lines without comments, joined so that a `use` over several lines is one."""
    return "\n".join(re.sub(r"//.*", "", l) for l in lines)


def imported(text, root):
    """Modules named right after `root::`, single or in braces, with their offsets."""
    for m in re.finditer(rf"\b{root}::(\w+)", text):
        yield m[1], m.start()
    for m in re.finditer(rf"\b{root}::\{{", text):
        depth, at, start = 1, m.end(), m.end()
        while depth and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        level = 0
        for word in re.finditer(r"[{}]|(\w+)(?=\s*(?:::|,|\}|$))", text[start:at - 1]):
            level += {"{": 1, "}": -1}.get(word[0], 0)
            before = text[start:start + word.start()].rstrip()
            if word[1] and level == 0 and not before.endswith("::"):
                yield word[1], start + word.start()


def check_siblings(table):
    def folders(crate):
        src = ROOT / crate / "src"
        return {p.stem for p in src.iterdir() if p.stem not in ("lib", "fuzzing") and (p.is_dir() or p.suffix == ".rs")}

    formats = folders("mist-formats")
    for crate in ("mist-formats", "mist-protocols"):
        own = folders(crate)
        for path in sorted((ROOT / crate / "src").rglob("*.rs")):
            folder = path.relative_to(ROOT / crate / "src").parts[0].removesuffix(".rs")
            if folder not in own:
                continue
            text = code(before_tests(path))
            may = table.get((crate, folder), set())
            for name, at in imported(text, "crate"):
                if name in own and name != folder and name not in may:
                    problem(path, text.count("\n", 0, at) + 1, f"{folder} imports its sibling {name}")
            for name, at in imported(text, "mist_formats") if crate == "mist-protocols" else ():
                if name in formats and f"mist_formats::{name}" not in may:
                    problem(path, text.count("\n", 0, at) + 1, f"{folder} imports mist_formats::{name}; the registry is the way")


def check_registered():
    for crate, kind in (("mist-formats", "FORMAT"), ("mist-protocols", "PROTOCOL")):
        lib = (ROOT / crate / "src/lib.rs").read_text()
        for path in (ROOT / crate / "src").rglob("*.rs"):
            if re.search(rf"^pub static {kind}\b", path.read_text(), re.M):
                folder = path.relative_to(ROOT / crate / "src").parts[0].removesuffix(".rs")
                if f"{folder}::{kind}" not in lib:
                    problem(ROOT / crate / "src/lib.rs", 1, f"{folder} is not registered")


def check_sources():
    listed = subprocess.run(["git", "ls-files", "*.rs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for path in (ROOT / name for name in listed):
        if not path.exists():
            continue
        lines = before_tests(path)
        if len(lines) > LINES and "tests" not in path.parts and "benches" not in path.parts:
            problem(path, LINES, f"{len(lines)} lines before its tests: split it at a seam")
        text = path.read_text()
        for m in re.finditer(r"#!?\[(?:allow|expect)\(([^\]]*)\)\]", text):
            if "reason" not in m[1]:
                problem(path, text.count("\n", 0, m.start()) + 1, "an allow without its reason")
        for m in re.finditer(r"\b(TODO|FIXME|XXX)\b", text):
            problem(path, text.count("\n", 0, m.start()) + 1, m[1])


def check_trees():
    for crate in LIBRARIES:
        tree = subprocess.run(["cargo", "tree", "-p", crate, "-e", "normal", "--prefix", "none", "--format", "{p}"], cwd=ROOT, capture_output=True, text=True)
        if tree.returncode:
            problem(ROOT / crate / "Cargo.toml", 1, tree.stderr.strip())
        names = sorted({line.split()[0] for line in tree.stdout.splitlines() if line})
        for name in names:
            if RUNTIMES.match(name):
                problem(ROOT / crate / "Cargo.toml", 1, f"{name} in the tree of {crate}: the libraries have no runtime, sockets, clocks or randomness")
        print(f"{crate}: {len(names) - 1} crates below it: {' '.join(n for n in names if n != crate)}")


table = allowed_imports()
if not table:
    sys.exit("docs/ARCHITECTURE.md has no table of sibling imports")
check_siblings(table)
check_registered()
check_sources()
check_trees()
print("\n".join(problems) or "all rules hold")
sys.exit(bool(problems))
