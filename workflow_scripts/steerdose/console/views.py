"""Where a run is shown: on a terminal as a picture that is drawn again and again, elsewhere line by line."""

import time
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from steerdose.console.run import Run, Running, clock, plan_table
from steerdose.study.estimate import Expected

BAR, PER_SECOND = 24, 2
UNMEASURED = "This machine was not measured: times are reckoned from those of SmolLM2 on two cores; see `make plan`."
LONG = 10.0  # seconds of a job that is worth a line at its end


class Lines:
    """A line when a job starts, and one when it ends if it was long."""

    def __init__(self, run: Run, console: Console) -> None:
        self.run, self.console = run, console

    def say(self, text: str) -> None:
        print(text, file=self.console.file, flush=True)

    def started(self, job: Running, now: float) -> None:
        self.say(f"{job.message} ({self.run.headline(now)})")

    def finished(self, job: Running, now: float) -> None:
        if now - job.start >= LONG:
            progress = job.progress()
            speed = f", {progress[2]} tokens/s" if progress else ""
            self.say(f"  done in {clock(now - job.start)}{speed}: {job.message}")

    def close(self) -> None:
        """Nothing is open."""


class Screen:
    """The jobs that run, how far each is and how fast, and how long the run will take."""

    def __init__(self, run: Run, console: Console) -> None:
        self.run = run
        self.live = Live(get_renderable=self.picture, console=console, refresh_per_second=PER_SECOND, transient=True)

    def say(self, text: str) -> None:
        self.live.console.print(Text(text))

    def started(self, job: Running, now: float) -> None:  # noqa: ARG002
        if not self.live.is_started:
            self.live.start()

    def finished(self, job: Running, now: float) -> None:
        self.say(f"{clock(now - job.start):>12}  {job.message}")

    def close(self) -> None:
        self.live.stop()

    def picture(self) -> RenderableType:
        now, table = time.monotonic(), Table.grid(padding=(0, 2))
        for job in list(self.run.running.values()):
            done, total, speed = job.progress() or (0, 0, 0)
            bar = ProgressBar(total=total or None, completed=done, width=BAR, pulse=not total)
            table.add_row(clock(now - job.start), job.message, bar, f"{speed:,} tokens/s" if speed else "")
        return Group(table, Text(self.run.headline(now), style="bold"))


def print_plan(jobs: Mapping[int, tuple[str, Expected]], console: Console) -> None:
    """Print what a dry run would do, and how long it would take."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (("rule", False), ("jobs", True), ("tokens", True), ("time", True), ("GiB", True)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    rows = plan_table(jobs)
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_section()
    table.add_row(*rows[-1], style="bold")
    console.print(table)
    if not all(expected.measured for _, expected in jobs.values()):
        print(UNMEASURED, file=console.file)
