"""The player page in headless Chromium: it plays without a stall, and goes on when the publisher comes back."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import media
from mist import Mist

HERE = pathlib.Path(__file__).parent
SECONDS = int(os.environ.get("MIST_E2E_PLAY_SECONDS", "120" if os.environ.get("MIST_E2E") == "full" else "20"))
SHOTS = pathlib.Path(os.environ.get("MIST_E2E_SHOTS", tempfile.gettempdir()))


def chromium():
    return os.environ.get("CHROMIUM") or next((p for p in ("/usr/bin/chromium", "/usr/bin/google-chrome") if os.path.exists(p)), None)


@unittest.skipUnless(media.have("node", "ffmpeg") and chromium() and (HERE / "node_modules/playwright-core").exists(),
                     "no Chromium, node or playwright-core")
class Browser(unittest.TestCase):
    def watch(self, url, shot, restart=None):
        """Runs the browser and returns its last report."""
        browser = subprocess.Popen(["node", HERE / "browser.mjs", url, str(SECONDS), SHOTS / shot, *(["restart"] if restart else [])],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "CHROMIUM": chromium()})
        self.addCleanup(browser.kill)
        report = {}
        with browser:
            for line in browser.stdout:
                report = json.loads(line)
                if report["event"] == "restart":
                    restart()
                    browser.stdin.write("\n")
                    browser.stdin.flush()
        self.assertEqual(report.get("event"), "done", report)
        self.assertEqual(report["stalls"], 0, report)
        self.assertGreater(report["advanced"], report["wall"] - 0.7, report)
        self.assertGreater(report["frames"], report["wall"] * 25 * 0.9, report)
        return report

    def publish(self, mist, stream):
        publisher = media.ffmpeg_publish(media.ROOT / "mist-server/assets/demo.flv", mist.rtmp(stream), "-stream_loop", -1)
        self.addCleanup(publisher.communicate)
        self.addCleanup(publisher.kill)
        return publisher

    def test_publisher_restarts(self):
        """A live stream; the publisher is killed and another one starts: the page plays on by itself."""
        with Mist() as mist:
            publisher = self.publish(mist, "live")

            def restart():
                publisher.kill()
                publisher.wait()
                mist.gone("live", 30)
                self.publish(mist, "live")
                mist.live("live", 2)

            report = self.watch(mist.http("live.html"), "mist-live.png", restart)
            self.assertGreater(report["resumed"]["advanced"], 4.0, report)
            self.assertGreater(report["resumed"]["frames"], 90, report)

    def test_demo(self):
        """What a user sees first: the demo stream of an unconfigured server."""
        with Mist(streams={}, args=["--demo"]) as mist:
            report = self.watch(mist.http("demo.html"), "mist-demo.png")
            self.assertEqual(report["width"], 640)
