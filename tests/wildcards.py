"""Wildcards of a job as snakemake gives them: by name, as attributes, as items."""


class Wildcards(dict):
    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.__dict__ = self
