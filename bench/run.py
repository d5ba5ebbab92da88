#!/usr/bin/env python3
"""The load run of docs/PERFORMANCE.md: mist-server, and Debian's nginx with libnginx-mod-rtmp where it is installed, in turn,
under the same load on this machine. Prints Markdown tables.

    bench/run.py --server target/release/mist-server --loadgen target/loadgen/release/loadgen [--only mist] [--quick]
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
NICE = ["nice", "-n", "5"]


def make_clip(path):
    """60 s of 720p30 H.264 main at about 2.4 Mbit/s with 2 s closed GOPs, and AAC at 128 kbit/s."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.flv")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30,noise=alls=10:allf=t", "-f", "lavfi", "-i", "sine=r=48000:b=4",
                        "-t", "60", "-c:v", "libx264", "-profile:v", "main", "-preset", "veryfast", "-b:v", "2370k", "-maxrate", "2370k", "-bufsize", "2370k",
                        "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-ac", "2", part], check=True)
        part.rename(path)
    return path

VIEWERS = ["server", "RTMP viewers", "CPU (cores)", "CPU-s per Gbit", "PSS MB", "PSS a viewer KB", "ttfk p50 / p99 ms", "latency p50 / p99 ms", "Mbit/s", "cut / gaps"]


class Mist:
    name = "mist"

    def __init__(self, options, spread=None):
        os.environ["MIST_SERVER"] = str(options.server)
        sys.path.insert(0, str(ROOT / "e2e"))
        import mist
        # A short window is full, and memory at rest, before viewers come.
        self.server = mist.Mist({"live": {"source": "push://", "DVR": 2000}}, options={} if spread is None else {"spread": spread})
        self.name = "mist" if spread is None else f"mist, spread {spread} ms"

    def __enter__(self):
        self.server.__enter__()
        self.pid = self.server.process.pid
        return self

    def __exit__(self, *args):
        self.server.__exit__(*args)

    def publish(self, many=False):
        return self.server.rtmp("live+%d" if many else "live")

    def play(self):
        return self.server.rtmp("live", "play")

    def playlist(self):
        return self.server.http("hls/live/index.m3u8")

    def flv(self):
        return self.server.http("live.flv")


class Nginx:
    name = "nginx-rtmp"
    module = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

    def __init__(self, _):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-nginx-"))
        self.rtmp, self.http = 29935, 29080
        (self.folder / "nginx.conf").write_text(f"""
load_module {self.module};
daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 4096; }}
rtmp {{ server {{ listen 127.0.0.1:{self.rtmp}; chunk_size 4096; application live {{ live on; }}
  application hls {{ live on; hls on; hls_path {self.folder}/hls; hls_fragment 2s; hls_playlist_length 30s; }} }} }}
http {{ types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }} access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{self.http}; root {self.folder}; }} }}
""" + ("user root;" if os.getuid() == 0 else ""))

    @classmethod
    def installed(cls):
        return shutil.which("nginx") and os.path.exists(cls.module)

    def __enter__(self):
        self.process = subprocess.Popen(["nginx", "-c", self.folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        wait_for(lambda: connects(self.rtmp), 10, "nginx listens")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder)

    def publish(self, many=False):
        return f"rtmp://127.0.0.1:{self.rtmp}/live/{'s%d' if many else 'a'}"

    play = publish

    def hls_publish(self):
        return f"rtmp://127.0.0.1:{self.rtmp}/hls/a"

    def playlist(self):
        return f"http://127.0.0.1:{self.http}/hls/a.m3u8"


def connects(port):
    import socket
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return value


class Run:
    def __init__(self, options):
        self.options, self.clip = options, make_clip(options.clips / "720p30-2400k.flv")
        self.window = 4 if options.quick else 8

    def loadgen(self, *args):
        done = subprocess.run([*NICE, self.options.loadgen, *map(str, args)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"loadgen {args}: {done.stderr}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def publisher(self, url, count=1, settle=6):
        process = subprocess.Popen([*NICE, self.options.loadgen, "rtmp-publish", "--url", url, "--file", self.clip, "--stamp", "-n", str(count), "--seconds", "100000"],
                                   stdout=subprocess.DEVNULL)
        try:
            time.sleep(settle)  # a measurement, not a test: let it settle, with whole GOPs in the buffer
            if process.poll() is not None:
                sys.exit(f"the publisher to {url} ended")
            yield
        finally:
            process.kill()
            process.wait()

    def median(self, sample):
        """Repeats a measurement and returns the run with the median of CPU."""
        runs = sorted((sample() for _ in range(self.options.repeat)), key=lambda r: r["server_cpu"])
        return runs[len(runs) // 2]

    def viewers(self, server, counts):
        rows = []
        with server, self.publisher(server.publish(), settle=20):
            idle = self.median(lambda: self.loadgen("proc", "--pid", server.pid, "--seconds", self.window))
            rows.append([server.name, 0, f"{idle['server_cpu']:.3f}", "–", f"{idle['pss_mb']:.1f}", "–", "–", "–", "–", "–"])
            base = idle["pss_mb"]
            for n in counts:
                r = self.median(lambda n=n: self.loadgen("rtmp-play", "--url", server.play(), "-n", n, "--seconds", self.window, "--warmup", 4, "--lazy-ms", 10, "--pid", server.pid))
                t, l = r["ttfk_ms"] or {}, r.get("latency_ms") or {}
                rows.append([server.name, n, f"{r['server_cpu']:.3f}", f"{r.get('cpu_per_gbit', 0):.3f}", f"{r['pss_mb']:.1f}", f"{(r['pss_mb'] - base) * 1024 / n:.1f}",
                             f"{t.get('p50', 0):.1f} / {t.get('p99', 0):.1f}", f"{l.get('p50', 0):.1f} / {l.get('p99', 0):.1f}", f"{r['mbps']:.0f}", f"{r['died']} / {r.get('ts_gaps', 0)}"])
        return rows

    def progressive(self, server, count):
        with server, self.publisher(server.publish()):
            r = self.median(lambda: self.loadgen("http-get", "--url", server.flv(), "-n", count, "--seconds", self.window, "--warmup", 4, "--lazy-ms", 10, "--pid", server.pid))
            return [server.name, count, f"{r['server_cpu']:.3f}", f"{r.get('cpu_per_gbit', 0):.3f}", f"{r['pss_mb']:.1f}", f"{r['mbps']:.0f}", r["died"]]

    def publishers(self, server, count):
        with server, self.publisher(server.publish(many=True), count):
            r = self.median(lambda: self.loadgen("proc", "--pid", server.pid, "--seconds", self.window))
            return [server.name, count, f"{r['server_cpu']:.3f}", f"{r['pss_mb']:.1f}"]

    def http(self, server):
        """wrk on one segment and on one playlist, as many connections as peers.md's run had."""
        with server, self.publisher(getattr(server, "hls_publish", server.publish)()):
            def media():
                with contextlib.suppress(OSError):
                    url = server.playlist()
                    text = urllib.request.urlopen(url).read().decode()
                    if "#EXT-X-STREAM-INF" in text:
                        url = urllib.parse.urljoin(url, next(l for l in text.splitlines() if l and l[0] != "#"))
                        text = urllib.request.urlopen(url).read().decode()
                    segments = [l for l in text.splitlines() if l and l[0] != "#"]
                    return (url, urllib.parse.urljoin(url, segments[-2])) if len(segments) > 2 else None
            playlist, segment = wait_for(media, 40, f"HLS of {server.name}")
            size = len(urllib.request.urlopen(segment).read())
            rows = []
            for what, url in ((f"segment of {size // 1000} kB", segment), ("media playlist", playlist)):
                load = subprocess.Popen([*NICE, "wrk", "-t1", "-c32", f"-d{self.window + 2}s", url], stdout=subprocess.PIPE, text=True)
                time.sleep(1)
                cpu = self.loadgen("proc", "--pid", server.pid, "--seconds", self.window)["server_cpu"]
                text = load.communicate()[0]
                rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
                bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
                gbit = rate * size * 8 / 1e9
                rows.append([server.name, what, f"{rate:.0f}", f"{gbit:.1f}" if url == segment else "–", f"{cpu:.2f}", f"{cpu / gbit:.3f}" if url == segment else "–", bad[1] if bad else 0])
            return rows


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(c) for c in row) + " |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--loadgen", type=pathlib.Path, required=True)
    parser.add_argument("--clips", type=pathlib.Path, default=ROOT / "target/bench", help="where the clip is kept")
    parser.add_argument("--only", choices=("mist", "nginx"))
    parser.add_argument("--part", choices=("viewers", "merged", "flv", "publishers", "http"), action="append", help="only this part; may be repeated")
    parser.add_argument("--viewers", default="50,100,200,500")
    parser.add_argument("--publishers", default="50,200")
    parser.add_argument("--repeat", type=int, default=1, help="takes the median of so many windows")
    parser.add_argument("--quick", action="store_true", help="short windows")
    options = parser.parse_args()
    options.server, options.loadgen = options.server.resolve(), options.loadgen.resolve()
    counts = [int(n) for n in options.viewers.split(",")]
    run = Run(options)
    kinds = [Mist] if options.only != "nginx" else []
    if options.only != "mist":
        if Nginx.installed():
            kinds.append(Nginx)
        else:
            print("nginx with libnginx-mod-rtmp is not installed: mist alone\n")
    part = options.part or ("viewers", "merged", "flv", "publishers", "http")
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    print(f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, load {os.getloadavg()[0]:.2f} before the run; windows of {run.window} s, median of {options.repeat}\n")
    if "viewers" in part:
        rows = [row for kind in kinds for row in run.viewers(kind(options), counts)]
        table(VIEWERS, rows)
    if "merged" in part and Mist in kinds:
        rows = run.viewers(Mist(options, spread=350), counts[-2:])
        table(VIEWERS, rows)
    if "flv" in part and Mist in kinds:
        table(["server", "HTTP-FLV viewers", "CPU (cores)", "CPU-s per Gbit", "PSS MB", "Mbit/s", "cut"], [run.progressive(Mist(options), n) for n in counts[-2:]])
    if "publishers" in part:
        table(["server", "publishers", "CPU (cores)", "PSS MB"], [run.publishers(kind(options), int(n)) for kind in kinds for n in options.publishers.split(",")])
    if "http" in part:
        if shutil.which("wrk"):
            table(["server", "HTTP", "requests/s", "Gbit/s", "CPU (cores)", "CPU-s per Gbit", "errors"], [row for kind in kinds for row in run.http(kind(options))])
        else:
            print("wrk is not installed: no HTTP figures")


if __name__ == "__main__":
    main()
