"""Slurm on this machine, as root and without systemd: a controller, and two nodes with a pretend GPU each."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = Path("/etc/slurm")  # the plugin's job steps look nowhere else
NODES = {"n1": "/dev/null", "n2": "/dev/zero"}  # and the file that serves as their GPU
MARK = "# of steerdose's test, may be overwritten\n"
SLURM = """\
ClusterName=steerdose
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
GresTypes=gpu
MinJobAge=3600
KillWait=5
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=16000 Gres=gpu:1\n"
PARTITIONS = "PartitionName=cpus Nodes=ALL Default=YES State=UP\nPartitionName=gpus Nodes=ALL State=UP\n"


@contextmanager
def slurm(place: Path) -> Iterator[None]:
    """Run the daemons, with their state under `place`, until the end of the body; another cluster's config is kept."""
    for name in ("slurm.conf", "gres.conf"):
        if (CONFIG / name).exists() and not (CONFIG / name).read_text().startswith(MARK):
            raise RuntimeError(f"{CONFIG / name} is another cluster's: this test writes its own there")
    host = socket.gethostname()
    nodes = "".join(NODE.format(name=name, host=host, port=17001 + i) for i, name in enumerate(NODES))
    (CONFIG / "slurm.conf").write_text(MARK + SLURM.format(host=host, place=place) + nodes + PARTITIONS)
    gpus = "".join(f"NodeName={name} Name=gpu File={file}\n" for name, file in NODES.items())
    (CONFIG / "gres.conf").write_text(MARK + gpus)
    for folder in ("state", *NODES):
        (place / folder).mkdir()
    _munge()
    commands = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in NODES)]
    daemons = [subprocess.Popen(each, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for each in commands]
    try:
        _wait_until_idle()
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], check=False)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)


def _munge() -> None:
    """Start munged, which runs as its own user, where it does not run yet."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    subprocess.run(["su", "munge", "-s", "/bin/sh", "-c", "munged --force"], check=True)


def _wait_until_idle() -> None:
    for _ in range(60):
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout.split()
        if found and set(found) == {"idle"}:
            return
        time.sleep(1)
    raise RuntimeError("the nodes did not come up in a minute: see slurmctld.log")


WIDTH = 200  # of a field of squeue's


def queue(*fields: str) -> list[tuple[str, ...]]:
    """Return fields, by squeue's long names, for each job, of those that are over too."""
    command = ["squeue", "-h", "--states=all", "-O", ",".join(f"{field}:{WIDTH}" for field in fields)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    starts = range(0, WIDTH * len(fields), WIDTH)
    return [tuple(line[start : start + WIDTH].strip() for start in starts) for line in lines]
