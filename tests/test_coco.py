"""posebook.coco against pycocotools on real annotations, and against damaged files."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posebook import coco
from posebook.skeleton import COCO_17

VALID = {
    "categories": [
        {"id": 7, "name": "arrow", "keypoints": ["tip", "left_fin", "right_fin"], "skeleton": [[1, 2], [1, 3]]},
        {"id": 8, "name": "tree"},
    ],
    "images": [
        {"id": 20, "file_name": "b.png", "height": 4, "width": 6},
        {"id": 10, "file_name": "a.png", "height": 5, "width": 3},
        {"id": 30, "file_name": "c.png", "height": 1, "width": 1},
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 7, "area": 6, "bbox": [0.5, 0, 2, 3], "iscrowd": 0,
         "keypoints": [1, 2, 2, 0, 0, 0, 2.5, 4, 1]},
        {"id": 2, "image_id": 20, "category_id": 7, "area": 2.5, "bbox": [0, 0, 6, 4], "iscrowd": 1,
         "keypoints": [0, 0, 0, 0, 0, 0, 0, 0, 0]},
        {"id": 3, "image_id": 10, "category_id": 8, "area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0},
        {"id": 4, "image_id": 10, "category_id": 7, "area": 0, "bbox": [1, 1, 0, 0],
         "keypoints": [0, 0, 2, 5, 6, 0, 1, 1, 1]},
    ],
}


def write(folder, data):
    path = folder / "marks.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def changed(*keys, to):
    """VALID with the value at ``keys`` replaced, or removed if ``to`` is ..."""
    data = copy.deepcopy(VALID)
    record = data
    for key in keys[:-1]:
        record = record[key]
    if to is ...:
        del record[keys[-1]]
    else:
        record[keys[-1]] = to
    return data


# --- what a good file gives


def test_same_as_pycocotools(coco_json, capsys):
    oracle = pytest.importorskip("pycocotools.coco").COCO(str(coco_json))
    ours = coco.load(coco_json)
    assert ours.skeleton == COCO_17
    assert [photo.id for photo in ours.photos] == oracle.getImgIds()
    for photo in ours.photos:
        record, = oracle.loadImgs(photo.id)
        assert photo.path == coco_json.parent / record["file_name"]
        assert photo.hw == (record["height"], record["width"])
        theirs = oracle.loadAnns(oracle.getAnnIds(imgIds=photo.id))
        assert [person.id for person in photo.people] == [a["id"] for a in theirs]
        for person, a in zip(photo.people, theirs, strict=True):
            xyv = torch.tensor(a["keypoints"]).reshape(17, 3)
            assert torch.equal(person.vis, xyv[:, 2])
            assert torch.equal(person.xy.nan_to_num(0.0), xyv[:, :2].float())
            assert (person.vis > 0).sum() == a["num_keypoints"]
            assert (person.area, person.box, person.crowd) == (a["area"], tuple(a["bbox"]), bool(a["iscrowd"]))


def test_real_pictures_open(coco_json):
    for photo in coco.load(coco_json).photos:
        assert coco.read_picture(photo).shape == (*photo.hw, 3)


def test_skeleton_counts_from_zero(tmp_path):
    skeleton = coco.load(write(tmp_path, VALID)).skeleton
    assert skeleton.names == ("tip", "left_fin", "right_fin")
    assert skeleton.limbs == ((0, 1), (0, 2))
    assert skeleton.pairs == ((1, 2),)
    assert skeleton.oks_sigmas is None


def test_people_are_in_their_photos_and_other_categories_left_out(tmp_path):
    photos = coco.load(write(tmp_path, VALID)).photos
    assert [photo.id for photo in photos] == [20, 10, 30]
    assert [[person.id for person in photo.people] for photo in photos] == [[2], [1, 4], []]
    assert photos[1].hw == (5, 3)


def test_a_person(tmp_path):
    person = coco.load(write(tmp_path, VALID)).photos[1].people[0]
    assert person.vis.dtype == torch.int64 and person.vis.tolist() == [2, 0, 1]
    assert person.xy.dtype == torch.float32 and person.xy[[0, 2]].tolist() == [[1, 2], [2.5, 4]]
    assert (person.area, person.box, person.crowd) == (6.0, (0.5, 0.0, 2.0, 3.0), False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        person.area = 1.0


def test_unlabeled_keypoints_have_no_place(tmp_path):
    photos = coco.load(write(tmp_path, VALID)).photos
    assert photos[1].people[0].xy[1].isnan().all()
    last = photos[1].people[1]
    assert last.xy[0].tolist() == [0, 0]    # labeled at the first pixel: a place like any other
    assert last.xy[1].isnan().all()         # some tools store a place although vis is 0
    assert photos[0].people[0].crowd and photos[0].people[0].xy.isnan().all()
    assert not last.crowd                   # no iscrowd in the file


def test_the_person_with_the_most_marks(tmp_path):
    data = copy.deepcopy(VALID)

    def best(least):
        photo, person = coco.most_marked(coco.load(write(tmp_path, data)), least=least)
        assert person in photo.people
        return person.id

    assert best(1) == best(2) == 1  # of equal ones the first in the file
    data["annotations"][3]["keypoints"][5] = 1  # 3 labeled against 2, 1 seen each
    assert best(1) == 4 and best(2) == 1
    for row in (0, 3):
        data["annotations"][row]["keypoints"][2] = 1  # nobody has one that is seen
    assert coco.most_marked(coco.load(write(tmp_path, data)), least=2) is None
    assert best(1) == 4


def test_a_keypoint_category_that_nobody_uses_does_not_matter(tmp_path):
    data = copy.deepcopy(VALID)
    data["categories"].append({"id": 9, "name": "horse", "keypoints": ["head", "tail"], "skeleton": []})
    assert coco.load(write(tmp_path, data)).skeleton.names == ("tip", "left_fin", "right_fin")


def test_no_skeleton_means_no_limbs(tmp_path):
    assert coco.load(write(tmp_path, changed("categories", 0, "skeleton", to=...))).skeleton.limbs == ()


def test_whole_numbers_may_be_written_as_fractions(tmp_path):
    flat = [1.0, 2.0, 2.0, 0.0, 0.0, 0.0, 2.5, 4.0, 1.0]
    path = write(tmp_path, changed("annotations", 0, "keypoints", to=flat))
    assert coco.load(path).photos[1].people[0].vis.tolist() == [2, 0, 1]


def test_pictures_lie_beside_the_file_or_in_images(tmp_path):
    path = write(tmp_path, VALID)
    assert coco.load(str(path)).photos[0].path == tmp_path / "b.png"
    (tmp_path / "pictures").mkdir()
    assert coco.load(path, images=str(tmp_path / "pictures")).photos[0].path == tmp_path / "pictures" / "b.png"
    with pytest.raises(ValueError, match="images: want a folder, got .*nowhere"):
        coco.load(path, images=tmp_path / "nowhere")


# --- what a bad file says

BAD = [
    (changed("annotations", to=...), "want a COCO file, an object with the lists images, annotations, categories"),
    (changed("images", to={}), "want a COCO file.*got annotations, categories"),
    ([], "want a COCO file.*got none of them"),
    (changed("categories", 0, "keypoints", to=...), "categories: want one category with keypoints, got 0"),
    (changed("categories", 1, "keypoints", to=["root"]), "categories: want one category with keypoints, got 2"),
    (changed("categories", 0, "keypoints", to=["tip", "tip", "fin"]), "category 7: keypoints: want distinct names"),
    (changed("categories", 0, "keypoints", to="tip"), "category 7: keypoints: want distinct names"),
    (changed("categories", 0, "skeleton", to=[[0, 1]]), "category 7: skeleton: want pairs .* from 1 to 3, got .*0, 1"),
    (changed("categories", 0, "skeleton", to=[[1, 4]]), "category 7: skeleton: want pairs .* from 1 to 3, got .*1, 4"),
    (changed("categories", 0, "skeleton", to=[[1, 2], [2, 3], [3, "a"]]), r"got \[3, 'a'\] at place 2 of 3"),
    (changed("categories", 0, "skeleton", to=[[1, 1]]), "category 7: skeleton: want pairs of different numbers"),
    (changed("categories", 1, "id", to=7), r"categories\[1\]: id: want a whole number of its own, got 7"),
    (changed("images", 1, "id", to=20), r"images\[1\]: id: want a whole number of its own, got 20"),
    (changed("images", 1, "id", to="10"), r"images\[1\]: id: want a whole number of its own, got '10'"),
    (changed("images", 1, to=3), r"images\[1\]: want an object, got 3"),
    (changed("images", 1, "height", to=...), r"image 10: want \(height, width\).*got \(None, 3\)"),
    (changed("images", 1, "width", to=0), r"image 10: want \(height, width\).*got \(5, 0\)"),
    (changed("images", 1, "file_name", to=...), "image 10: file_name: want a file's name, got nothing"),
    (changed("annotations", 1, "id", to=1), r"annotations\[1\]: id: want a whole number of its own, got 1"),
    (changed("annotations", 1, "id", to=...), r"annotations\[1\]: id: want a whole number of its own, got nothing"),
    (changed("annotations", 1, "image_id", to=99), "annotation 2: image_id: want an id in images, got 99"),
    (changed("annotations", 1, "image_id", to=[20]), r"annotation 2: image_id: want an id in images, got \[20\]"),
    (changed("annotations", 1, "category_id", to=9), "annotation 2: category_id: want an id in categories, got 9"),
    (changed("annotations", 0, "keypoints", to=...), r"annotation 1: keypoints: want 9 numbers.*got nothing"),
    (changed("annotations", 0, "keypoints", to=[1] * 8), r"annotation 1: keypoints: want 9 numbers.*of length 8"),
    (changed("annotations", 0, "keypoints", 1, to="2"), "annotation 1: keypoints: .* got '2' at place 1 of 9"),
    (changed("annotations", 0, "keypoints", 7, to=None), "annotation 1: keypoints: .* got None at place 7 of 9"),
    (changed("annotations", 0, "keypoints", 1, to=True), "annotation 1: keypoints: want 9 numbers"),
    (changed("annotations", 0, "keypoints", 1, to=math.nan), "annotation 1: keypoints: want 9 numbers"),
    (changed("annotations", 0, "keypoints", 1, to=math.inf), "annotation 1: keypoints: want 9 numbers"),
    (changed("annotations", 0, "keypoints", 1, to=10**400), "annotation 1: keypoints: want 9 numbers"),
    (changed("annotations", 0, "keypoints", 5, to=3), "annotation 1: visibility of left_fin: want 0, 1 or 2, got 3"),
    (changed("annotations", 0, "keypoints", 8, to=-1), "annotation 1: visibility of right_fin: want 0, 1 or 2, got -1"),
    (changed("annotations", 0, "keypoints", 8, to=1.5), "annotation 1: visibility of right_fin: want 0, 1 or 2"),
    (changed("annotations", 0, "area", to=-1), "annotation 1: area: want a number >= 0, got -1"),
    (changed("annotations", 0, "area", to=...), "annotation 1: area: want a number >= 0, got nothing"),
    (changed("annotations", 0, "bbox", to=[0, 0, 1]), "annotation 1: bbox: want .*of length 3"),
    (changed("annotations", 0, "bbox", to=[0, 0, 1, -1]), "annotation 1: bbox: want .*width and height >= 0"),
    (changed("annotations", 0, "iscrowd", to=2), "annotation 1: iscrowd: want 0 or 1, got 2"),
    ("", "want JSON, got Expecting value at line 1, column 1"),
    ('{"images": [],\n "annotations": [}', "want JSON, got Expecting value at line 2, column 18"),
    ("[" * 100_000, "want JSON, got .*recursion"),
    ("9" * 5000, "want JSON, got Exceeds the limit"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_errors_name_the_file_and_the_record(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=message) as caught:
        coco.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 300


def test_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json: no such file"):
        coco.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match="want a COCO JSON file, got a folder"):
        coco.load(tmp_path)


def test_not_text(tmp_path):
    path = tmp_path / "marks.json"
    path.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(ValueError, match="marks.json: want JSON, got .*decode"):
        coco.load(path)


def loads_or_names_the_file(path):
    """Anything but a ValueError with the file's name fails the test; so does a dataset that breaks its own promise."""
    try:
        dataset = coco.load(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "want" in str(error) and "got" in str(error)
        return
    for photo in dataset.photos:
        assert min(photo.hw) >= 1 and isinstance(photo.id, int)
        for person in photo.people:
            assert person.xy.shape == (len(dataset.skeleton), 2) and person.vis.shape == (len(dataset.skeleton),)
            assert torch.equal(person.xy.isfinite().all(-1), person.vis > 0)
            assert set(person.vis.tolist()) <= {0, 1, 2}
            assert 0 <= person.area < math.inf and min(person.box[2:]) >= 0 and isinstance(person.crowd, bool)


def places(value, at=()):
    """Every place in a JSON value, as a tuple of keys and indices."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [place for key, inner in items for place in places(inner, (*at, key))]


scalars = (st.none() | st.booleans() | st.integers(-2, 30) | st.sampled_from([10**40, -(10**400), 2**63])
           | st.floats() | st.text(max_size=4))
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4)
                        | st.dictionaries(st.sampled_from(["id", "keypoints", "skeleton", "x"]), inner, max_size=3),
                        max_leaves=6)


@settings(max_examples=300, derandomize=True)
@given(data=st.data())
def test_any_change_of_values_loads_or_names_the_file(tmp_path_factory, data):
    changed_file = copy.deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        *keys, last = data.draw(st.sampled_from(places(changed_file) or [("images",)]))
        record = changed_file
        for key in keys:
            record = record[key]
        action = data.draw(st.sampled_from(["replace", "remove", "twice"]))
        if action == "replace":
            record[last] = data.draw(anything)
        elif action == "remove":
            record.pop(last, None) if isinstance(record, dict) else record.pop(last)
        elif isinstance(record, list):
            record.append(copy.deepcopy(record[last]))
    loads_or_names_the_file(write(tmp_path_factory.getbasetemp(), changed_file))


@settings(max_examples=200, derandomize=True)
@given(data=st.data())
def test_any_change_of_bytes_loads_or_names_the_file(tmp_path_factory, data):
    text = json.dumps(VALID).encode()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 20, len(text))) | st.just(len(text)))
    path = tmp_path_factory.getbasetemp() / "marks.json"
    path.write_bytes(text[:start] + data.draw(st.binary(max_size=6)) + text[stop:])
    loads_or_names_the_file(path)


# --- pictures


def photo(path, hw):
    return coco.Photo(path, hw, (), 1)


def test_a_picture_is_rows_of_red_green_blue(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    picture = coco.read_picture(coco.load(write(tmp_path, VALID)).photos[0])
    assert picture.dtype == torch.uint8 and np.array_equal(picture.numpy(), pixels)


@pytest.mark.parametrize(("mode", "color", "rgb"), [("L", 90, [90, 90, 90]), ("CMYK", (0, 255, 255, 0), [255, 0, 0]),
                                                    ("RGBA", (10, 20, 30, 0), [10, 20, 30]), ("1", 1, [255] * 3)])
def test_other_modes_are_converted(tmp_path, mode, color, rgb):
    path = tmp_path / "a.tif"
    Image.new(mode, (3, 2), color).save(path)
    assert coco.read_picture(photo(path, (2, 3))).tolist() == [[rgb] * 3] * 2


def test_exif_orientation_is_ignored(tmp_path):
    pixels = np.zeros((2, 5, 3), dtype=np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6    # "turn by 90 degrees to show"
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(coco.read_picture(photo(tmp_path / "a.png", (2, 5))).numpy(), pixels)


def test_pictures_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match="a.png: no such picture"):
        coco.read_picture(photo(path, (2, 3)))
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(ValueError, match=r"a.png: want \(height, width\) \(3, 2\) as in the JSON, got \(2, 3\)"):
        coco.read_picture(photo(path, (3, 2)))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="a.png: want a picture, got"):
        coco.read_picture(photo(path, (2, 3)))
    path.write_text("no picture")
    with pytest.raises(ValueError, match="a.png: want a picture, got"):
        coco.read_picture(photo(path, (2, 3)))
    Image.new("I;16", (3, 2), 40_000).save(path)
    with pytest.raises(ValueError, match="a.png: want 8 bits per channel, got Pillow's mode I;16"):
        coco.read_picture(photo(path, (2, 3)))


# --- the portrait


def test_portrait_points_lie_on_the_face():
    dataset = coco.portrait()
    picture, = dataset.photos
    person, = picture.people
    at = dict(zip(dataset.skeleton.names, person.xy.tolist(), strict=True))
    assert set(person.vis.tolist()) == {2} and len(dataset.skeleton.pairs) == 3
    for left, right in dataset.skeleton.pairs:    # hers: her left is to the right in the picture
        assert person.xy[right, 0] < at["nose_tip"][0] < person.xy[left, 0]
    assert at["left_eye"][1] < at["nose_tip"][1] < at["left_nostril"][1] < at["left_mouth_corner"][1] < at["chin"][1]
    x, y, w, h = person.box
    assert all(x < px < x + w and y < py < y + h for px, py in at.values())


def test_portrait_points_fit_the_picture():
    dataset = coco.portrait()
    picture, = dataset.photos
    gray = coco.read_picture(picture).float().mean(-1)

    def brightness(name, dx=0, dy=0):    # mean of the 5 x 5 pixels around the point, moved by (dx, dy)
        x, y = picture.people[0].xy[dataset.skeleton.names.index(name)].round().int().tolist()
        return gray[y + dy - 2:y + dy + 3, x + dx - 2:x + dx + 3].mean()

    for name in ("right_eye", "left_eye", "right_nostril", "left_nostril"):
        assert brightness(name) < 50 < 80 < brightness(name, dy=12)    # dark, with light skin below
    assert brightness("nose_tip") > 180
    assert brightness("chin", dy=-6) > 100 > 50 > brightness("chin", dy=6)    # skin above, the chin's shadow below
    for name, out in (("right_mouth_corner", -1), ("left_mouth_corner", 1)):    # the line of the lips ends here
        x, y = picture.people[0].xy[dataset.skeleton.names.index(name)].round().int().tolist()
        assert gray[y - 4:y + 5, x - 3 * out].min() < 90 < 110 < gray[y - 4:y + 5, x + 2 * out].min()
