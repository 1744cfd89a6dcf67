"""Collecting what platforms let one download: whose it is, when it came, and what is refused."""

import os
import stat
import zipfile
from datetime import UTC, datetime

import pytest
from classroom import archive

from posebook.grading.collect import WAY_ON, Refused, collect, count, exchange, member_name, owner, spell
from posebook.grading.course import Course, CourseError, Student
from posebook.grading.steps import feedback, zip_pages


def test_collect_reads_the_names_that_platforms_give(course, tmp_path):
    inside = {"x/mini.ipynb": b"rob", "timestamp.txt": b"2020-01-01", "x/other.ipynb": b"?"}
    nested = archive(tmp_path / "n.zip", inside, date=(2020, 1, 1, 0, 0, 0))
    platform = archive(tmp_path / "all.zip", {
        "arborann_LATE_4711_90210_mini-1.ipynb": b"ann",
        "doebob_4712_90212_mini.ipynb": b"bob",
        "doebob_4713_90213_mini.zip": nested.read_bytes(),
        "zoe_m_2026-11-19T20-30-10Z_ann.ipynb": b"zoe",
    })
    lines = {line.name: line for line in collect(course, "mini", [platform])}
    assert all(line.good for line in lines.values()) and len(lines) == 4
    for student in ("ann", "bob", "rob"):
        assert course.notebook("submitted", "mini", student).read_bytes() == student.encode()
    assert course.notebook("submitted", "mini", "zoe_m").read_bytes() == b"zoe"
    assert lines["zoe_m_2026-11-19T20-30-10Z_ann.ipynb"].says == "zoe_m: 2026-11-19 20:30:10 UTC by its name"
    assert lines["arborann_LATE_4711_90210_mini-1.ipynb"].says.endswith("Canvas, which says late, but not how late")
    assert "2020" not in lines["doebob_4713_90213_mini.zip"].says  # not the time that rob's own archive claims
    stamp = course.folder("submitted", "mini", "zoe_m") / "timestamp.txt"
    assert course.coursedir.get_existing_timestamp(str(stamp.parent)) == datetime(2026, 11, 19, 20, 30, 10)


def test_feedback_goes_back_under_the_names_that_came(course, tmp_path):
    """In the archive to upload: Canvas's and Moodle's names with another ending; others by id."""
    names = {"ann": "arborann_LATE_4711_90210_mini-1.ipynb",
             "zoe_m": "Zoe\u0308 M_17_assignsubmission_file/my work.zip", "bob": "doebob_4712_3_mini.ipynb",
             "rob": "rob_mini.ipynb"}
    inside = archive(tmp_path / "n.zip", {"mini.ipynb": b"{"})
    platform = archive(tmp_path / "all.zip", {name: inside.read_bytes() if name.endswith("zip") else b"{"
                                              for name in names.values()})
    assert all(line.good for line in collect(course, "mini", [platform]))
    with pytest.raises(CourseError, match="mini has no feedback: posebook feedback mini"):
        zip_pages(course, "mini", tmp_path / "back.zip")
    assert all(line.good for line in feedback(course, "mini"))
    zip_pages(course, "mini", tmp_path / "back.zip")
    with zipfile.ZipFile(tmp_path / "back.zip") as back:
        assert sorted(back.namelist()) == sorted([
            "arborann_LATE_4711_90210_mini-1.html", "Zo\u00eb M_17_assignsubmission_file/my work.html",
            "doebob_4712_3_mini.html", "rob_mini.html"])
        page = course.notebook("feedback", "mini", "bob").with_suffix(".html").read_bytes()
        assert back.read("doebob_4712_3_mini.html") == page
        assert owner("arborann_LATE_4711_90210_mini-1.html", CLASS, "")[0] == "ann"


CLASS = [Student(*fields) for fields in (
    ("ann", "Ann", "Arbor", "", "4711"), ("bob", "Bob", "Doe", "", "4712"), ("rob", "Bob", "Doe", "", "4713"),
    ("zoe_m", "Zo\u00eb", "M"), ("li", "Wei", "Li"), ("500", "Max", "Muster"), ("jdoe", "Jane", "Doe"))]


@pytest.mark.parametrize("name, student", [
    ("jdoe.ipynb", "jdoe"), ("JDOE_mini.ipynb", "jdoe"), ("jdoe/mini.ipynb", "jdoe"),
    ("all/jdoe/li/mini.ipynb", "jdoe"), ("jdoe\\mini.ipynb", "jdoe"), ("li_2026/jdoe_mini.ipynb", "jdoe"),
    ("arborann_4711_1_mini.ipynb", "ann"), ("annarbor_LATE_4711_1_mini.ipynb", "ann"), ("doebob_4713_1_m.ipynb", "rob"),
    ("doejane_500_90210_mini.ipynb", "jdoe"),  # 500 is an id of the roster, and no number of Canvas's
    ("nickname_4711_1_mini.ipynb", "ann"),  # nobody is called so: the number says who
    ("Jane Doe_4711_assignsubmission_file/mini.ipynb", "jdoe"),  # Moodle numbers anew each time
    ("Jane Doe_4711_assignsubmission_file_mini.ipynb", "jdoe"),
    ("Zoe\u0308 M_1_assignsubmission_file/mini.ipynb", "zoe_m"),
    ("li_2026/li_mini.ipynb", "li"), ("ann_2026_11_mini.ipynb", "ann"),
])
def test_whose_it_is(name, student):
    assert owner(spell(name), CLASS, "")[0] == student


@pytest.mark.parametrize("name, words", [
    ("arborann_4712_1_mini.ipynb", "the name says ann, the number 4712 says bob"),
    ("bob_4711_1_mini.ipynb", "the name says bob, the number 4711 says ann"),
    ("arborann_999_1_mini.ipynb", "the name says ann, whose number is 4711, not 999"),
    ("doebob_1_2_mini.ipynb", "bob, rob are all called doebob: add the column lms_user_id to the roster, or WAY ON"),
    ("Bob Doe_4712_assignsubmission_file/mini.ipynb", "bob, rob are all called Bob Doe: WAY ON"),
    ("Participant 7_7_assignsubmission_file/mini.ipynb", "no student of the roster is called Participant 7: WAY ON"),
    ("team-rocket_81_1_mini.ipynb", "no student of the roster is called team-rocket or has the number 81: WAY ON"),
    ("li_2026/mini.ipynb", "no student of the roster fits this name: WAY ON"),
    ("decoding.ipynb", "no student of the roster fits this name: WAY ON"),
])
def test_clues_that_disagree_or_fit_nobody_say_so(name, words):
    with pytest.raises(Refused) as caught:
        owner(name, CLASS, "WAY ON")
    assert str(caught.value).startswith(words) and "WAY ON" in str(caught.value)


def test_the_set_s_own_name_comes_before_the_newest(course, tmp_path):
    platform = archive(tmp_path / "all.zip", {"arborann_4711_1_mini.ipynb": b"mini"})
    with zipfile.ZipFile(platform, "a") as file:
        file.writestr(zipfile.ZipInfo("arborann_4711_2_notes.ipynb", (2026, 11, 20, 0, 0, 0)), b"notes")
        file.writestr("arborann_4711_3_text.html", b"also a text")
        file.writestr("zoe_m_text.html", b"only a text")
    lines = {line.name: line for line in collect(course, "mini", [platform])}
    assert course.notebook("submitted", "mini", "ann").read_bytes() == b"mini"
    assert lines["arborann_4711_2_notes.ipynb"].says.startswith("ann: there is one that is named after the set")
    assert lines["arborann_4711_3_text.html"].good and not lines["zoe_m_text.html"].good
    assert count(list(lines.values())) == "4 files: 3 ok, 1 FAILED"


def test_names_written_in_utf8_without_saying_so(tmp_path):
    member = zipfile.ZipInfo("Zoe\u0308 M_1_assignsubmission_file/mini.ipynb".encode().decode("cp437"))
    assert member_name(member) == "Zo\u00eb M_1_assignsubmission_file/mini.ipynb"
    assert member_name(zipfile.ZipInfo("\u251c.ipynb")) == "\u251c.ipynb"  # no UTF-8


@pytest.mark.parametrize("options, canvas, when, words", [
    ({}, "", "2026-11-20 00:00:00", "nobody, so it counts as ON TIME: 2026-11-21 09:00 UTC, the file's date, may be"),
    ({"on_time": True}, "", "2026-11-20 00:00:00", "--on-time"),
    ({"submitted_at": datetime(2026, 11, 20, 12, tzinfo=UTC)}, "", "2026-11-20 12:00:00", "--submitted-at"),
    ({}, "LATE_", "2026-11-21 09:00:00", "the file's date, late says Canvas"),
    ({"on_time": True}, "LATE_", "2026-11-21 09:00:00", "the file's date, late says Canvas"),
])
def test_late_by_a_file_s_own_date_alone_is_not_late(course, tmp_path, options, canvas, when, words):
    """Unpacking gives files a new date. The set is due on 2026-11-20."""
    path = tmp_path / f"arborann_{canvas}4711_1_mini.ipynb"
    path.write_bytes(b"mini")
    os.utime(path, (datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp(),) * 2)
    line, = collect(course, "mini", [path], **options)
    assert line.says.startswith(f"ann: {when} UTC by {words}") and line.good
    assert (course.folder("submitted", "mini", "ann") / "timestamp.txt").read_text() == f"{when} UTC\n"
    assert ("of 1 nobody says when" in count([line])) is (words.startswith("nobody"))


@pytest.mark.parametrize("name", ["arborann_LATE_4711_1_mini.ipynb", "ann_LATE_4711_1_mini.ipynb"])
@pytest.mark.parametrize("day, when, words", [
    (21, "2026-11-21 09:00:00", "the file's date, late says Canvas"),
    (19, "2026-11-20 00:00:01", "Canvas, which says late, but not how late"),
])
def test_what_canvas_calls_late_is_late_whatever_the_file_s_date(course, tmp_path, name, day, when, words):
    """Canvas's name begins with the student's, and an id of the roster may be just that."""
    path = tmp_path / name
    path.write_bytes(b"mini")
    os.utime(path, (datetime(2026, 11, day, 9, tzinfo=UTC).timestamp(),) * 2)
    line, = collect(course, "mini", [path])
    assert line.says == f"ann: {when} UTC by {words}"


def test_what_students_wrote_does_nothing_to_the_terminal(course, tmp_path):
    platform = archive(tmp_path / "all.zip", {"no\x1b[2J\rbody.ipynb": b"", "ann/x.zip": archive(
        tmp_path / "n.zip", {"\x1b]0;x\x07.ipynb": b"", "b.ipynb": b""}).read_bytes()})
    lines = "".join(map(str, collect(course, "mini", [platform])))
    assert lines.isprintable() and "[2J" in lines and "]0;x" in lines


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
        "stranger_mini.ipynb": f"no student of the roster fits this name: {WAY_ON.format('mini')}",
        "doebob_1_2_mini.ipynb": "bob, rob are all called doebob: add the column lms_user_id to the roster, or "
                                 + WAY_ON.format("mini"),
        "rob_mini.zip": "rob: larger than 16 MB",
        "bob/mini.ipynb": "a link, not a file",
        "doebob_4712_9_big.ipynb": "bob: larger than 16 MB",
        "b.tar": "there is no such file",
        "n.ipynb": "there is no such file",
    }
    assert lines["ann_report.pdf"].says == "left out: not a notebook"  # a fault only where there is no notebook
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
    assert sum("there is one that is newer, ann_2026-11-19T10-00-00Z_mini.ipynb" in line.says for line in lines) == 2
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
