"""Jobs that find torch imported: a server that forks a process for each of snakemake's scripts, in place of a new one.

Importing torch and transformers takes most of the time of a job on a tiny model. Snakemake starts scripts with the
interpreter in `sys.executable`; `COMMAND` puts a client there, which has the server run the script, with its own
streams, folder and environment, and ends as the script does.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path

# argv: the client, then snakemake's arguments
COMMAND = (
    "import sys; sys.argv[0], sys.executable = 'snakemake', sys.argv.pop(1); from snakemake.cli import main; main()"
)
CLIENT = """\
#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    job = {{"script": sys.argv[1], "folder": os.getcwd(), "environment": dict(os.environ)}}
    message = json.dumps(job).encode()
    socket.send_fds(server, [len(message).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(message)
    sys.exit(int.from_bytes(server.recv(1), "big"))
"""


def start(root: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a server in the background; return its process, and the client to be `sys.executable`."""
    address, client = root / "socket", root / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # read when torch is imported, which is before a job's own
    command = [sys.executable, __file__, str(address)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process, client


def serve(address: str) -> None:
    """Import what jobs need, and run scripts until killed."""
    for name in ("torch", "transformers.models.auto.modeling_auto", "peft", "polars", "matplotlib.figure", "lifelines"):
        import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            header, streams, _, _ = socket.recv_fds(connection, 8, 3)
            length, message = int.from_bytes(header, "big"), b""
            while len(message) < length:
                message += connection.recv(length - len(message))
            child = os.fork()
            if child == 0:
                _run(json.loads(message), streams)
            for stream in streams:
                os.close(stream)
            threading.Thread(target=_answer, args=(child, connection), daemon=True).start()


def _run(job: dict, streams: list[int]) -> None:
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv, code = [job["script"]], 0
    sys.path[0] = str(Path(job["script"]).parent)
    try:
        runpy.run_path(job["script"], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _answer(child: int, connection: socket.socket) -> None:
    _, status = os.waitpid(child, 0)
    with connection:
        connection.sendall(min(255, abs(os.waitstatus_to_exitcode(status))).to_bytes(1, "big"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.argv[1])
