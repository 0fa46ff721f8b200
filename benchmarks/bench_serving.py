"""Load test: 1, 4, 16 and 64 clients post photos to ``findalike serve`` in a process of its own.

    .venv/bin/python benchmarks/bench_serving.py [--clients 1 4 16 64] [--seconds 4] [--rounds 3]
    .venv/bin/python benchmarks/bench_serving.py --model ViT-B-32 --backends "openvino int8"
    .venv/bin/python benchmarks/bench_serving.py --working 1 2 3 4

Servers answer in turns, round by round, so that what else the machine does strikes all alike:

- plain: what people write by hand, Flask and waitress, one eager float32 forward pass and one FAISS
  search for each request, in whichever thread it came; it decodes whatever it gets where it gets
  it, and answers with bare ids.
- plain, a core each: the same, but with each pass computed by one core and as many passes at once
  as there are cores, which is the best that such a server can do.
- plain, a core each, mirrored: with the photo and its mirror image in the pass, for the embedding
  that findalike searches by.
- findalike, page: ``findalike serve`` as shoppers get it, with verdicts, parts of the photo and
  what to narrow down by. With --whole the parts are left out: a photo that nothing certain is found
  for is else searched up to five times.
- findalike, API: the same server, asked as programs do.
- with --quicken: after ``findalike quicken`` has chosen how to compute the encoder; with
  --backends: told how to (no int8 would be chosen on random weights).

All have the sample catalogue and get its photos, with --large enlarged to 12 megapixels; --model
takes an open_clip model with random weights in the place of the built-in encoder. Prints what a
bare call of each encoder takes for a query, then answers per second (median of the rounds),
percentiles of their time, the processor time of one, refusals (503), errors, how many first hits
were another's than when asked alone, and the memory of the server's processes. At the end far more
is asked than can be answered, and then once alone: whether load is shed, and the server recovers.
--working serves with other numbers of requests that compute at once.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from vision.choice import machine

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "assets" / "sample"

NAIVE = """
import io, sys
import faiss, numpy as np, torch, waitress
from flask import Flask, request
from PIL import Image as Pillow, ImageOps
from index.catalogue import Catalogue
from vision.encoder import Encoder
from vision.images import Image
way = sys.argv[2]
with Catalogue.open(sys.argv[1]) as catalogue, catalogue.reading() as table:
    encoder = Encoder.load(catalogue.encoder_spec, backend="torch fp32")
    ids = {key: stored.product.product_id for key, stored in table.get(
        {int(key) for key in catalogue.index(table).store.search(
            np.ones((1, catalogue.index(table).calibration.space.dim), np.float32), 1000
        ).products[0] if key >= 0}).items()}
    space, store = catalogue.index(table).calibration.space, catalogue.index(table).store
    rows = [(key, row) for key in ids for row in store.vectors_of(key)]
index = faiss.IndexFlatIP(space.dim)
index.add(np.stack([row for _, row in rows]))
app = Flask(__name__)
def embed(image):
    if way != "plain":
        return encoder.encode_images([image], mirror=way == "mirrored")
    with torch.inference_mode():
        rows = encoder.network(torch.from_numpy(encoder.prepare(image)[None]))
        return torch.nn.functional.normalize(rows).numpy()
@app.post("/")
def search():
    picture = ImageOps.exif_transpose(Pillow.open(request.files["photo"].stream)).convert("RGB")
    vector = embed(Image(picture, "", *picture.size, "JPEG"))
    from vision.pictures.colour import describe_colour
    query = space.project(vector, describe_colour(picture)[None])
    found = index.search(query, 24)[1][0]
    return "".join(f'/product?id={ids[rows[at][0]]}"' for at in found)
from waitress.server import create_server
server = create_server(app, host="127.0.0.1", port=0, threads=8, connection_limit=500)
print(f"http://127.0.0.1:{server.effective_port}/", flush=True)
server.run()
"""

SERVE = """
import sys
import index.catalogue as door
from vision.encoder import Encoder
from webapp.services import Config
backend, working = sys.argv[2], int(sys.argv[3])
if backend:
    door._load = lambda spec, home=None: Encoder.load(spec, backend=backend)
fields = Config.__dataclass_fields__.values()
Config.__init__.__defaults__ = tuple(
    working if each.name == "working" and working else each.default for each in fields)
from webapp.cli import main
main(["serve", "--catalogue", sys.argv[1], "--port", "0", "--searches", "0"])
"""

BARE = """
import sys, time
import numpy as np
from index.catalogue import Catalogue
from vision.encoder import Encoder
from vision.threads import one_thread_each
catalogue, backend = Catalogue.open(sys.argv[1]), sys.argv[2]
encoder = Encoder.load(catalogue.encoder_spec, backend=backend) if backend else catalogue.encoder
one_thread_each()
encoder.serve()
pixels = np.zeros((1, 3, encoder.preprocess.crop, encoder.preprocess.crop), np.uint8)
taken = []
for _ in range(60):
    started = time.perf_counter()
    encoder.encode_pixels(pixels, mirror=encoder.mirrors)
    taken.append(1000 * (time.perf_counter() - started))
print(f"{encoder.backend}: {np.median(taken[10:]):.1f} ms")
"""


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    @property
    def processes(self) -> list[int]:
        """Return the ids of the process and all below it."""
        return [self.process.pid, *_descendants(self.process.pid)]

    def memory(self) -> float:
        """Return the MB that the processes have for themselves."""
        return sum(map(_private, self.processes))

    def processor(self) -> float:
        """Return the seconds of processor time that the processes have had."""
        return sum(map(_processor, self.processes))


@dataclass
class Asked:
    """What clients got: seconds of good answers, statuses, answers that were another's."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    mixed: int = 0
    memory: float = 0.0  # MB
    rates: list[float] = field(default_factory=list)  # answers a second, of each round
    processor: float = 0.0  # seconds
    last: float = 0.0  # when the last good answer came


@contextlib.contextmanager
def serving(catalogue: Path, code: str = "", *args: object, searches: int = 0) -> Iterator[Server]:
    """Run a server until the block ends: ``findalike serve``, or Python code with arguments."""
    command = [sys.executable, "-c", "from webapp.cli import main; main()", "serve",
               "--catalogue", str(catalogue), "--port", "0",
               "--searches", str(searches)]  # fmt: skip
    if code:
        command = [sys.executable, "-c", code, str(catalogue), *map(str, args)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=env, cwd=ROOT
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[^:]+:(\d+)/", line)
        if not found:
            process.kill()
            log.seek(0)
            raise SystemExit(f"{line}{log.read()}")
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", int(found[1]))).close()
                    break
                time.sleep(0.05)
            yield Server(process, int(found[1]))
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.stdout.close()


def sample_photos() -> list[bytes]:
    """Return thirty of the sample's photos, of products that the sample catalogue has."""
    with (SAMPLE / "photos.csv").open(encoding="utf-8", newline="") as file:
        sold = [each for each in csv.DictReader(file) if each["sold"] == "yes"]
    return [(SAMPLE / each["query_image"]).read_bytes() for each in sold[::6]]


def enlarged(photo: bytes) -> bytes:
    """Return a photo as a camera of 12 megapixels would have it."""
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    picture.resize((3464, 3464), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def random_clip(model: str, folder: Path) -> str:
    """Write an open_clip model with random weights; return the spec of an encoder."""
    code = (
        "import open_clip, torch, sys; torch.manual_seed(0);"
        "torch.save(open_clip.create_model(sys.argv[1]).state_dict(), sys.argv[2])"
    )
    path = folder / "random.pt"
    subprocess.run([sys.executable, "-c", code, model, path], check=True, capture_output=True)
    return f"clip:{model}/laion2b_s34b_b79k@{path}"


def fill(catalogue: Path, encoder: str = "builtin") -> None:
    """Add the sample to a new catalogue, in a process of its own."""
    sample = str(SAMPLE / "products.csv")
    findalike("add", sample, "--catalogue", str(catalogue), "--encoder", encoder)


def findalike(*arguments: str) -> str:
    """Run the command in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "from webapp.cli import main; main()", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return done.stdout


def ask(server: Server, photo: bytes, how: str = "page") -> tuple[int, str, str]:
    """Post a photo; return the status, the id of the first product, and Retry-After.

    ``how`` is "page", "whole" (no part of the photo shall be looked for) or "api".
    """
    boundary = "findalike-bench"
    fields = {"whole": {"region": "0,0,1,1"}, "api": {"k": "24"}}.get(how, {})
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
        f"Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", "/api/v1/search" if how == "api" else "/", body, {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "X-Requested-With": "fetch",
        })  # fmt: skip
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    first = re.search(r'/product\?id=([^"]+)"|"product_id": ?"([^"]+)"', text)
    found = (first[1] or first[2]) if first else ""
    return answer.status, found, answer.headers.get("Retry-After", "")


def load(
    server: Server,
    photos: Sequence[bytes],
    alone: Sequence[str],
    clients: int,
    seconds: float,
    asked: Asked,
    pause: float = 0.0,
    how: str = "page",
) -> None:
    """Let clients ask one photo after the other for a while, and note what they get.

    ``pause`` is what each waits between two questions, in seconds; ``how`` is for ``ask``.
    """
    lock = threading.Lock()
    before, started = server.processor(), time.perf_counter()
    end = started + seconds
    answered = len(asked.seconds)

    def client(number: int) -> None:
        at = number * 7
        while time.perf_counter() < end:
            at += 1
            began = time.perf_counter()
            try:
                status, first, retry = ask(server, photos[at % len(photos)], how)
            except OSError:
                status, first, retry = 0, "", ""
            took = time.perf_counter() - began
            with lock:
                asked.statuses[status] += 1
                if status == 200:
                    asked.last = time.perf_counter()
                    asked.seconds.append(took)
                    asked.mixed += first != alone[at % len(photos)]
            if status in (429, 503):
                assert retry, "a refusal says when to come back"
                time.sleep(float(retry))
            time.sleep(pause)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        asked.memory = max(asked.memory, server.memory())
        time.sleep(0.5)
    # By the last answer: clients that were refused sleep beyond the end.
    asked.rates.append((len(asked.seconds) - answered) / (asked.last - started))
    asked.processor += server.processor() - before


def row(name: str, clients: int, asked: Asked) -> str:
    """Return a line of the table."""
    times = sorted(asked.seconds) or [float("nan")]
    p50, p95, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 0.99))
    shed = asked.statuses[503] + asked.statuses[429]
    wrong = sum(asked.statuses.values()) - len(asked.seconds) - shed
    each = 1000 * asked.processor / max(1, len(asked.seconds))
    cells = (
        name, clients, f"{statistics.median(asked.rates):.1f}", f"{p50:.0f}", f"{p95:.0f}",
        f"{p99:.0f}", f"{each:.0f}", shed, wrong, asked.mixed, f"{asked.memory:.0f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def compare(
    ways: dict[str, tuple[Server, str]], photos: list[bytes], options: argparse.Namespace
) -> None:
    """Print the table of servers that run side by side and ways to ask them, in turns."""
    print("| server | clients | answers/s | p50 ms | p95 ms | p99 ms | processor ms | 503 | errors "
          "| mixed up | MB |")  # fmt: skip
    print("| --- |" + " ---: |" * 10)
    alone = {}
    for name, (server, how) in ways.items():
        for _ in range(2):  # the first answers are slower
            alone[name] = [ask(server, photo, how)[1] for photo in photos]
    for clients in options.clients:
        asked = {name: Asked() for name in ways}
        for _ in range(options.rounds):
            for name, (server, how) in ways.items():
                load(server, photos, alone[name], clients, options.seconds, asked[name], how=how)
        for name, each in asked.items():
            print(row(name, clients, each), flush=True)
    name, (server, how) = list(ways.items())[-1]
    flood = Asked()
    load(server, photos, alone[name], 200, 2 * options.seconds, flood, how=how)
    started = time.perf_counter()
    status, first, _ = ask(server, photos[0], how)
    took = 1000 * (time.perf_counter() - started)
    print(row(name, 200, flood))
    same = "the same answer" if first == alone[name][0] else "ANOTHER ANSWER"
    print(f"\n{name}, then alone: status {status} after {took:.0f} ms, {same}")


def _private(pid: int) -> float:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(each) for each in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M)) / 1024
    return 0.0


def _processor(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="", help="an open_clip model, such as ViT-B-32")
    parser.add_argument("--quicken", action="store_true", help="serve by the fastest backend too")
    parser.add_argument("--backends", nargs="+", default=[], help="serve by these backends too")
    parser.add_argument("--working", type=int, nargs="+", help="serve with these numbers only")
    parser.add_argument("--whole", action="store_true", help="look for no parts of photos")
    parser.add_argument("--large", action="store_true", help="photos of 12 megapixels")
    options = parser.parse_args()
    photos = sample_photos()
    if options.large:
        photos = [enlarged(each) for each in photos]
    size = sum(map(len, photos)) // len(photos) // 1000
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}, {len(photos)} photos of {size} KB\n")
    page = "whole" if options.whole else "page"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        catalogue = Path(folder) / "catalogue"
        fill(catalogue, random_clip(options.model, Path(folder)) if options.model else "builtin")

        def started(code: str = "", *args: object, where: Path = catalogue) -> Server:
            return stack.enter_context(serving(where, code, *args))

        if options.working:
            servers = {f"{each} at once": started(SERVE, "", each) for each in options.working}
            compare({name: (each, page) for name, each in servers.items()}, photos, options)
            return
        ways = {
            "plain": (started(NAIVE, "plain"), page),
            "plain, a core each": (started(NAIVE, "alone"), page),
            "plain, a core each, mirrored": (started(NAIVE, "mirrored"), page),
        }
        bare = [bare_call(catalogue, "")]
        findalikes = {"findalike": started()}
        if options.quicken:
            quick = Path(folder) / "quick"
            shutil.copytree(catalogue, quick)
            chosen = json.loads(findalike("quicken", "--catalogue", str(quick), "--json"))
            findalikes[f"findalike, {chosen['backend']}"] = started(where=quick)
            bare.append(bare_call(quick, ""))
        for backend in options.backends:
            findalikes[f"findalike, {backend}"] = started(SERVE, backend, 0)
            bare.append(bare_call(catalogue, backend))
        for name, server in findalikes.items():
            ways |= {f"{name}, page": (server, page), f"{name}, API": (server, "api")}
        print(f"A bare call for a query: {', '.join(bare)}\n")
        compare(ways, photos, options)


def bare_call(catalogue: Path, backend: str) -> str:
    """Return what the encoder alone takes for a query, in words."""
    code = [sys.executable, "-c", BARE, str(catalogue), backend]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(code, env=env, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
