"""Digests of what jobs wrote: damage of every kind is found, what is only changed or copied is not called damaged."""

import os
import shutil
from pathlib import Path

import pytest
from steerdose.errors import SteerdoseError
from steerdose.flow.integrity import (
    DIGESTS,
    check_inputs,
    drop_damaged,
    forget_digests,
    record_digests,
    set_clock_right,
    set_damaged_aside,
)
from steerdose.flow.records import read_record, update_record

FILE, FOLDER = "results/m/table.parquet", "results/models/m"
DAMAGE = {
    "flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """A file and a folder that jobs wrote."""
    monkeypatch.chdir(tmp_path)
    Path(FOLDER, "deep").mkdir(parents=True)
    Path(FILE).parent.mkdir()
    for path in (FILE, f"{FOLDER}/config.json", f"{FOLDER}/deep/weights"):
        Path(path).write_bytes(path.encode() * 100)
    record_digests([FILE, FOLDER])
    return Path("results")


def damage(path, how, *, keep_time=True):
    stat = Path(path).stat()
    Path(path).write_bytes(DAMAGE[how](Path(path).read_bytes()))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def aside(results, **options):
    return [line.partition(" is damaged")[0] for line in set_damaged_aside(results, **({"dry": False} | options))]


def test_what_is_as_it_was_written_is_fine(results):
    check_inputs([FILE, FOLDER], "rule")
    assert aside(results) == []
    Path(FOLDER, ".snakemake_timestamp").write_text("snakemake writes this into folders")
    check_inputs([FOLDER], "rule")
    assert aside(results) == []


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("keep_time", [True, False])
@pytest.mark.parametrize(("path", "output"), [(FILE, FILE), (f"{FOLDER}/deep/weights", FOLDER)])
def test_damage_is_found_before_any_job(results, path, output, how, keep_time):
    damage(path, how, keep_time=keep_time)
    assert aside(results, dry=True) == [output]
    assert Path(output).exists()
    assert aside(results) == [output]
    assert not Path(output).exists()
    assert Path(f"{output}.damaged").exists()
    assert aside(results) == []


@pytest.mark.parametrize(("path", "output"), [(FILE, FILE), (f"{FOLDER}/deep/weights", FOLDER)])
def test_rot_without_a_trace_stops_the_job_that_reads_it_and_the_next_run_sets_it_aside(results, path, output):
    damage(path, "flipped")
    record = Path(output).parent / DIGESTS
    times = {"modified": Path(path).stat().st_mtime_ns, "changed": Path(path).stat().st_ctime_ns}
    update_record(record, {Path(output).name: {**read_record(record)[Path(output).name], **times}})
    if output == FILE:
        assert aside(results) == [], "a run does not read all files again to begin"
    with pytest.raises(SteerdoseError, match=rf"^some_rule cannot use {output}: not what was written there"):
        check_inputs([FILE, FOLDER], "some_rule")
    assert aside(results) == [output]


def test_a_touched_file_is_read_once(results, monkeypatch):
    os.utime(FILE)
    assert aside(results) == []
    monkeypatch.setattr("steerdose.flow.integrity._digest", lambda path: "it was read again")
    assert aside(results) == []


def test_a_missing_file_of_a_folder_is_damage(results):
    Path(FOLDER, "config.json").unlink()
    assert aside(results) == [FOLDER]


def test_files_from_the_future_are_set_to_now(results):
    now = Path(FILE).stat().st_mtime
    stamp = Path(FOLDER, ".snakemake_timestamp")
    stamp.write_text("")
    for path in (FILE, stamp):
        os.utime(path, (now, now + 5000))
    assert set_clock_right(results, now) == [
        "2 files in results were from the future (did the clock go back?); they are from now"
    ]
    assert Path(FILE).stat().st_mtime == stamp.stat().st_mtime == pytest.approx(now)
    assert set_clock_right(results, now) == []
    check_inputs([FILE], "rule")


def test_a_second_damage_has_its_own_name(results):
    for name in (f"{FILE}.damaged", f"{FILE}.damaged1"):
        damage(FILE, "cut")
        assert aside(results) == [FILE]
        assert Path(name).exists()
        Path(FILE).write_text("made again")
        record_digests([FILE])


def test_a_copied_workspace_is_fine(results, tmp_path):
    shutil.copytree(results, tmp_path / "copy/results")
    os.chdir(tmp_path / "copy")
    assert aside(Path("results")) == []
    check_inputs([FILE, FOLDER], "rule")


def test_files_without_a_digest_are_not_judged(results):
    Path("mine.gguf").write_text("m")
    Path("results/m/other").write_text("o")
    check_inputs(["mine.gguf", "results/m/other"], "rule")


def test_while_another_run_is_at_work_nothing_is_touched(results):
    damage(FILE, "cut")
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.output.lock").write_text("")
    assert aside(results) == []
    assert Path(FILE).exists()


def test_what_a_job_extends_is_dropped_whole_if_a_part_is_damaged():
    others = ["results/m/forks.parquet", "results/m/tokens.parquet"]
    for path in others:
        Path(path).write_text(path)
    record_digests(others)
    drop_damaged([FILE, *others])
    assert Path(FILE).exists()
    damage(others[0], "flipped")
    drop_damaged([FILE, *others, "results/m/not_there"])
    assert [Path(path).exists() for path in (FILE, *others)] == [False] * 3


def test_what_a_killed_job_wrote_over_its_outputs_is_no_damage(results):
    forget_digests([FILE, "results/m/not_there"])
    damage(FILE, "longer")
    drop_damaged([FILE])
    check_inputs([FILE], "rule")
    assert aside(results) == []
    assert Path(FILE).exists()
    record_digests([FILE])
    damage(FILE, "longer")
    assert len(aside(results)) == 1, "judged again once a job has ended"


@pytest.mark.parametrize("text", ["", "{", '{"table.parquet": 3}', '{"table.parquet": {"sha2": "a"}}', "[]", "\xff"])
def test_a_record_that_is_damaged_itself_judges_nothing_and_is_begun_anew(results, text):
    record = Path(FILE).parent / DIGESTS
    record.write_text(text, encoding="latin-1")
    check_inputs([FILE], "rule")
    assert aside(results) == []
    record_digests([FILE])
    assert "sha256" in read_record(record)[Path(FILE).name]


def test_a_digest_that_cannot_be_written_is_a_warning(caplog):
    Path(FILE).parent.joinpath(DIGESTS).unlink()
    Path(FILE).parent.joinpath(DIGESTS).mkdir()
    record_digests([FILE])
    assert "no digests were recorded" in caplog.text


def test_large_files_are_hashed_by_jobs_alone(results, monkeypatch):
    monkeypatch.setattr("steerdose.flow.integrity.LARGE", 10)
    damage(FILE, "flipped")
    assert aside(results) == []
    with pytest.raises(SteerdoseError):
        check_inputs([FILE], "rule")
    assert aside(results) == [FILE]


def test_a_file_that_is_made_again_is_no_longer_damaged(results):
    update_record(Path(FILE).parent / DIGESTS, {"table.parquet": {"damaged": True}})
    Path(FILE).write_text("new")
    record_digests([FILE])
    assert aside(results) == []
