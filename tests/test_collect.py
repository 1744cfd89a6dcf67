"""Collecting what platforms let one download: whose it is, when it came, and what is refused."""

import stat
import zipfile
from datetime import datetime

import pytest
from classroom import archive

from posebook.grading.collect import collect, exchange
from posebook.grading.course import Course, CourseError


def test_collect_reads_the_names_that_platforms_give(course, tmp_path):
    inside = {"x/mini.ipynb": b"rob", "timestamp.txt": b"2020-01-01", "x/other.ipynb": b"?"}
    nested = archive(tmp_path / "n.zip", inside, date=(2020, 1, 1, 0, 0, 0))
    platform = archive(tmp_path / "all.zip", {
        "arborann_LATE_4711_90210_mini-1.ipynb": b"ann",
        "Bob Doe_4712_assignsubmission_file/ann/mini.ipynb": b"bob",  # a folder of his own cannot make him ann
        "doebob_4713_90213_mini.zip": nested.read_bytes(),
        "zoe_m_2026-11-19T20-30-10Z_ann.ipynb": b"zoe",
    })
    lines = {line.name: line for line in collect(course, "mini", [platform])}
    assert all(line.good for line in lines.values()) and len(lines) == 4
    for student in ("ann", "bob", "rob"):
        assert course.notebook("submitted", "mini", student).read_bytes() == student.encode()
    assert course.notebook("submitted", "mini", "zoe_m").read_bytes() == b"zoe"
    assert lines["zoe_m_2026-11-19T20-30-10Z_ann.ipynb"].says == "zoe_m: 2026-11-19 20:30:10 UTC by its name"
    assert lines["arborann_LATE_4711_90210_mini-1.ipynb"].says.endswith("by the archive's date, late says Canvas")
    assert "2020" not in lines["doebob_4713_90213_mini.zip"].says  # not the time that rob's own archive claims
    stamp = course.folder("submitted", "mini", "zoe_m") / "timestamp.txt"
    assert course.coursedir.get_existing_timestamp(str(stamp.parent)) == datetime(2026, 11, 19, 20, 30, 10)


def test_what_cannot_be_collected_is_listed_and_the_rest_is_collected(course, tmp_path):
    bomb = archive(tmp_path / "b.zip", {"mini.ipynb": bytes(20 * 2**20)}).read_bytes()
    assert len(bomb) < 50_000
    link = zipfile.ZipInfo("bob/mini.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    broken = archive(tmp_path / "all.zip", {
        "../../ann_mini.ipynb": b"", "/etc/ann_mini.ipynb": b"", "stranger_mini.ipynb": b"",
        "doebob_1_2_mini.ipynb": b"", "ann_report.pdf": b"", "ann/timestamp.txt": b"2020-01-01 00:00:00 UTC",
        "__MACOSX/._x": b"", "rob_mini.zip": bomb, "zoe_m/mini.zip": b"no archive",
        "doebob_4712_9_big.ipynb": bytes(17 * 2**20), "ann_mini.ipynb": b"fine"})
    with zipfile.ZipFile(broken, "a") as file:
        file.writestr(link, "/etc/passwd")
    lines = {line.name: line for line in collect(course, "mini", [broken, tmp_path / "b.tar", tmp_path / "n.ipynb"])}
    wrong = {name: line.says for name, line in lines.items() if not line.good}
    assert wrong.pop("zoe_m/mini.zip").startswith("zoe_m: not an archive that can be read")
    assert wrong == {
        "../../ann_mini.ipynb": "its path leads out of the archive",
        "/etc/ann_mini.ipynb": "its path leads out of the archive",
        "stranger_mini.ipynb": "no student of the roster fits this name",
        "doebob_1_2_mini.ipynb": "bob, rob are all called doebob: add the column lms_user_id to the roster",
        "ann_report.pdf": "not a notebook",
        "rob_mini.zip": "rob: larger than 16 MB",
        "bob/mini.ipynb": "a link, not a file",
        "doebob_4712_9_big.ipynb": "bob: larger than 16 MB",
        "b.tar": "there is no such file",
        "n.ipynb": "there is no such file",
    }
    assert lines["ann/timestamp.txt"].says == "left out: a file's own claim of its time does not count"
    assert course.notebook("submitted", "mini", "ann").read_bytes() == b"fine"
    assert not (tmp_path.parent / "ann_mini.ipynb").exists()
    assert len(list(course.grading.rglob("*.ipynb"))) == 1


def test_a_damaged_archive(course, tmp_path):
    path = archive(tmp_path / "all.zip", {"ann_mini.ipynb": b"a" * 5000, "bob_mini.ipynb": b"fine"})
    data = bytearray(path.read_bytes())
    data[50:56] = b"\xff" * 6  # in ann's compressed bytes
    path.write_bytes(data)
    lines = {line.name: line for line in collect(course, "mini", [path])}
    assert "the archive is damaged here" in lines["ann_mini.ipynb"].says and lines["bob_mini.ipynb"].good
    path.write_bytes(data[:100])
    assert "not an archive that can be read" in collect(course, "mini", [path])[0].says


def test_of_several_the_newest_and_again_changes_nothing(course, tmp_path):
    folder = tmp_path / "down"
    folder.mkdir()
    for stamp, text in (("2026-11-18T10-00-00Z", "b"), ("2026-11-19T10-00-00Z", "new"), ("20261117T100000", "a")):
        (folder / f"ann_{stamp}_mini.ipynb").write_text(text)
    (folder / "bob.ipynb").symlink_to("/etc/passwd")
    lines = collect(course, "mini", [folder])
    assert [line.good for line in lines].count(False) == 1  # the link
    assert sum("there is a newer one, ann_2026-11-19T10-00-00Z_mini.ipynb" in line.says for line in lines) == 2
    target = course.notebook("submitted", "mini", "ann")
    assert target.read_text() == "new" and not course.folder("submitted", "mini", "bob").exists()
    before = target.stat().st_ino
    again = collect(course, "mini", [folder])
    assert any(line.says == "ann: there already, 2026-11-19 10:00:00 UTC by its name" for line in again)
    (folder / "ann_2026-11-19T10-00-00Z_mini.ipynb").unlink()
    older = collect(course, "mini", [folder])
    assert any(line.says == "ann: left alone: what is there is newer, 2026-11-19 10:00:00 UTC" for line in older)
    assert target.stat().st_ino == before and target.read_text() == "new"


def test_the_exchange(course, tmp_path):
    """nbgrader collects from it; only the notebook and its time are taken."""
    with pytest.raises(CourseError, match="nbgrader's exchange: .*(Unwritable|not found|No such|exchange)"):
        exchange(course, "mini")
    handed_in = tmp_path / "exchange/course/inbound/ann+mini+2026-11-19 10:00:00 UTC+0a1b"
    handed_in.mkdir(parents=True)
    for name, text in {"mini.ipynb": "{}", "timestamp.txt": "2026-11-19 10:00:00 UTC", "evil.html": "x"}.items():
        (handed_in / name).write_text(text)
    for folder in (tmp_path / "exchange", tmp_path / "exchange/course", handed_in.parent):
        folder.chmod(0o777)
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text() + f"c.Exchange.root = {str(tmp_path / 'exchange')!r}\n")
    lines = exchange(Course.open(), "mini")
    assert any("ann" in line.says for line in lines) and all(line.good for line in lines)
    folder = course.folder("submitted", "mini", "ann")
    assert sorted(path.name for path in folder.iterdir()) == ["mini.ipynb", "timestamp.txt"]
