"""What `snakemake --logger steerdose` finds, by the name of the package, where workflow_scripts is on the path."""

from steerdose.console.handler import LogHandler

__all__ = ["LogHandler"]
