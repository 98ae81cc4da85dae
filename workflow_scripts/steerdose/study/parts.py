"""Many methods of one entry: the parts of another method's weight delta."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from steerdose.study.base import NAME, Name, spelled, unique
from steerdose.study.kind import Method

By = Literal[
    "layer", "module", "third", "role", "rank", "quartile", "energy", "form", "base", "shared", "others", "top", "tail",
    "random_basis", "random", "random_overall", "random_module", "directions", "subspace",
]  # fmt: skip
OF_WEIGHTS = ("form", "base")  # ways that read the base weights
OF_BASES = ("shared", "others", "top", "tail", "random_basis")  # that project on bases of several families
OF_SUBSPACES: tuple[By, ...] = ("subspace",)  # that project on bases of hypotheses, an added direction as well
CONTROLS = ("random", "random_overall", "random_module", "directions")  # no parts: nothing is left without them
NUMBERED = ("layer", "rank", "quartile", "energy", "base", *OF_BASES, "random", "random_overall")
KNOWN = {
    "third": ("early", "middle", "late"),
    "role": ("writers", "readers", "attention", "mlp"),
    "quartile": ("1", "2", "3", "4"),
    "form": ("rows", "columns", "rotation"),
    "directions": ("equal",),
}
IN_SUBSPACE = re.compile(r"[A-Za-z]\w*-[1-9][0-9]*|written")  # a hypothesis and how many of its directions


class PartOf(Method):
    """One part of another method's weight delta; written by its entry of kind parts, never in a config."""

    makes = "make_parts"
    jobs = ("make_parts", "calibrate_alpha")
    kind: Literal["part"]
    of: Name
    by: By
    drop: bool
    member: str
    entry: Name

    @property
    def group(self) -> str:
        return self.entry

    @property
    def derives_from(self) -> str | None:
        return self.of

    @property
    def origin(self) -> str:
        return f"{self.of} without {self.by} {self.member}" if self.drop else f"{self.by} {self.member} of {self.of}"


class Parts(Method):
    """Many methods: the parts of another method's weight delta, each calibrated and rolled out like a whole one."""

    makes = "make_parts"
    kind: Literal["parts"]
    of: Name
    by: By = Field(
        description="layer: the edits of one block, its number from 0; module: those of one name, like down_proj; "
        "third: early, middle, late, of the layers that the delta changes; role: writers, readers, attention, mlp; "
        "rank: the so many largest singular values of every matrix; quartile: 1 to 4 of its singular values; energy: "
        "the fewest with so many percent of its squared norm. form: what one parameterisation alone could have done: "
        "rows (DoRA's magnitude), columns (IA3's gate), rotation (OFT's). base: what the so many leading singular "
        "directions of the base weight read and write. Of what o and down write: shared, others, top, tail, "
        "random_basis: in so many directions that all families of ablations.methods write, all but this one, its own "
        "first or last ones, or random ones. Controls, of which nothing can be left out: random, random_overall, "
        "numbers of draws; random_module, names of modules; directions: equal. subspace: of what is written to the "
        "stream, also by an added direction, what lies in the basis of a hypothesis, with its width, like mlp_write-8; "
        "own-8: in its own leading directions; random0-8: in random ones; written: all of it."
    )
    names: Annotated[tuple[int | str, ...], Field(min_length=1)] = Field(
        description="The parts to make: numbers, ranges of them like 9-23, or names."
    )
    drop: bool = Field(False, description="true: of each part what is left of the delta without it.")

    @field_validator("names")
    @classmethod
    def _spelled_out(cls, value: tuple[int | str, ...], info: Any) -> tuple[int | str, ...]:
        given, by = spelled(value), info.data.get("by")
        if wrong := [each for each in given if not NAME.fullmatch(each)]:
            raise ValueError(f"{wrong} cannot be in a file's name; give the last part of the modules' paths")
        if by in NUMBERED and not all(each.isdecimal() for each in given):
            raise ValueError(f"{list(value)} are no numbers; by {by} they are numbers, or ranges like 9-23")
        if by in KNOWN and (wrong := sorted({*given} - {*KNOWN[by]})):
            raise ValueError(f"{wrong}: by {by} there are {', '.join(KNOWN[by])}")
        if by in OF_SUBSPACES and (wrong := [each for each in given if not IN_SUBSPACE.fullmatch(each)]):
            raise ValueError(f"{wrong}: by {by} it is a hypothesis and a width, like mlp_write-8")
        counted = by in ("rank", "energy", "base", *OF_BASES)
        if (counted and "0" in given) or (by == "energy" and max(map(int, given)) > 99):
            raise ValueError("a rank or a count of directions is 1 or more, an energy 1 to 99 percent")
        return unique(tuple(given))

    @property
    def derives_from(self) -> str | None:
        return self.of

    @property
    def origin(self) -> str:
        return f"{len(self.names)} parts of {self.of} by {self.by}{', left out' if self.drop else ''}"

    def members(self, name: str) -> dict[str, Method]:
        return {f"{name}.{each}": self._member(name, str(each)) for each in self.names}

    def _member(self, entry: str, member: str) -> PartOf:
        return PartOf(
            kind="part", of=self.of, by=self.by, drop=self.drop, member=member, entry=entry, target=self.target
        )
