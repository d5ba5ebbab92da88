#!/usr/bin/env python3
"""Runs the end-to-end tests: a real mist-server, and real clients against it.

    e2e/run.py [-k PATTERN] [test_media|test_browser|...]

MIST_SERVER names the binary (default target/debug/mist-server); MIST_E2E=full makes the long rounds.
Only Python's standard library is needed; a test that misses a program is skipped and says so.
"""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import mist  # noqa: E402


class Result(unittest.TextTestResult):
    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.stream.writeln(f"    {time.monotonic() - self.began:.1f} s")


def main():
    if not mist.BINARY.exists():
        sys.exit(f"{mist.BINARY} is not there: cargo build -p mist-server")
    names = [a for a in sys.argv[1:] if a.startswith("test_")]
    options = [a for a in sys.argv[1:] if a not in names]
    names = names or sorted(p.stem for p in pathlib.Path(__file__).parent.glob("test_*.py"))
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = unittest.main(module=None, argv=[sys.argv[0], *options, *names], testRunner=runner, exit=False).result
    for test, why in result.skipped:
        print(f"SKIPPED {test}: {why}")
    bad = len(result.failures) + len(result.errors)
    print(f"e2e: {result.testsRun - bad - len(result.skipped)} passed, {bad} failed, {len(result.skipped)} skipped")
    sys.exit(bad > 0 or result.testsRun == 0)


if __name__ == "__main__":
    main()
