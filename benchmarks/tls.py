"""What TLS to the upstream adds to a request: the whole gateway, plain and over TLS, round by round.

    python -m benchmarks.tls --bench ../shared/bench [--rounds 3] [--secs 3]

The bench's own provider speaks no TLS, so an nginx on its core ends TLS 1.3 before it, with a certificate of
an authority made for the run, which the gateway is told to trust and verifies. The figure is the CPU of the
gateway's process tree, as `benchmarks.compare` measures it.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from benchmarks.compare import HERE, run
from benchmarks.machine import machine

PORT = 9443
NGINX = """
worker_processes 1; daemon off; master_process off; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream provider {{ server 127.0.0.1:9200; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
    ssl_protocols TLSv1.3; tcp_nodelay on;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "tls.json")
    asked = parser.parse_args()
    if not (asked.bench / "bench.py").is_file():
        sys.exit(f"{asked.bench}/bench.py is not there: give --bench")
    if shutil.which("nginx") is None:
        sys.exit("nginx is not installed: it ends TLS before the provider")
    found: dict[str, list[float]] = {"plain": [], "tls": []}
    with tempfile.TemporaryDirectory() as name, ending_tls(Path(name)) as config:
        for _ in range(asked.rounds):
            for kind, path in (("plain", HERE / "gateway.toml"), ("tls", config)):
                words = [sys.executable, "-m", "farthing", "serve", "--config", str(path), "--port", "{port}"]
                os.environ["FARTHING_CMD"] = shlex.join(words)
                once = argparse.Namespace(
                    bench=asked.bench, names=["farthing"], rounds=1, secs=asked.secs, phases="sat"
                )
                rows = run(once)
                found[kind] += [row["sat"]["cpu_us"] for row in rows if not row["sat"]["bad_status"]]
    medians = {kind: round(statistics.median(values), 1) for kind, values in found.items()}
    result = {"machine": machine(), "rounds": asked.rounds, "cpu_us_per_request": medians, "rows": found}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(medians))


@contextmanager
def ending_tls(folder: Path) -> Iterator[Path]:
    """An nginx that ends TLS; yields the gateway's configuration for it."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=PORT))
    plain = (HERE / "gateway.toml").read_text()
    base_url = 'base_url = "http://127.0.0.1:9200/v1"'
    assert base_url in plain
    config = folder / "gateway.toml"
    config.write_text(
        plain.replace(base_url, f'base_url = "https://localhost:{PORT}/v1"\nca_file = "{folder}/ca.pem"')
    )
    core = str((os.cpu_count() or 1) - 1)
    process = subprocess.Popen(["taskset", "-c", core, "nginx", "-c", str(folder / "nginx.conf")])
    try:
        time.sleep(0.5)
        if process.poll() is not None:
            sys.exit((folder / "error.log").read_text()[-500:])
        yield config
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
