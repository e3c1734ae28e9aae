"""Anonymized faces: which pixels are covered, how, and the command for images and videos."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from commands import call
from lineament import Predictor, anonymize_faces, read_image
from lineament.analysis.anonymize import (
    METHODS,
    cover,
    covered_pixels,
    face_outline,
    face_regions,
    likely_faces,
)
from lineament.analysis.anonymize_video import anonymize_frames
from lineament.cli import anonymize as command
from lineament.errors import ImageError, InputError
from lineament.face import Face, Faces
from lineament.geometry import apply_affine, landmark_box, similarity
from lineament.schemes import convert, scheme
from scenes import scene

ASTRONAUT = Path(__file__).parents[1] / "docs/pictures/astronaut.jpg"
MEAN = scheme("ibug68").mean_shape
NOISE = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)


def face_at(
    center, side=80.0, roll_deg=0.0, sigma_px=1.0, points=MEAN, scheme_name="ibug68"
):
    turn = similarity(side, roll_deg, np.zeros(2), np.array(center))
    landmarks = apply_affine(turn, points)
    box, count = landmark_box(landmarks), len(points)
    return Face(
        landmarks,
        np.ones(count),
        np.full(count, sigma_px),
        box,
        0.9,
        scheme_name,
        presence=0.9,
    )


def faces_of(*found, scheme_name="ibug68"):
    return Faces(
        found,
        scheme_name,
        len(found[0]) if found else len(scheme(scheme_name)),
        (240, 200),
    )


@pytest.mark.parametrize("roll_deg", [0.0, 70.0, 180.0, -90.0])
def test_landmarks_and_forehead_are_covered_at_any_roll(roll_deg):
    face = face_at((120, 100), roll_deg=roll_deg)
    covered = covered_pixels(face_regions([face], margin=0.0), NOISE.shape)
    x, y = np.rint(face.landmarks).astype(int).T
    assert covered[y, x].all()
    # brows to chin is two thirds of a face, so the hairline is half of that above the brows
    top, chin = MEAN[:, 1].min(), MEAN[:, 1].max()
    hairline = np.array([[0.0, top - 0.45 * (chin - top)]])
    turn = similarity(80.0, roll_deg, np.zeros(2), np.array((120, 100)))
    x, y = np.rint(apply_affine(turn, hairline)[0]).astype(int)
    assert covered[y, x]


@pytest.mark.parametrize("how", METHODS)
def test_pixels_outside_the_region_and_the_input_are_unchanged(how):
    given = NOISE.copy()
    face = face_at((120, 100))
    covered = anonymize_faces(given, faces_of(face), how)
    np.testing.assert_array_equal(given, NOISE)
    outside = ~covered_pixels(face_regions([face]), NOISE.shape)
    np.testing.assert_array_equal(covered[outside], NOISE[outside])
    assert (covered[~outside] != NOISE[~outside]).any(1).mean() > 0.9


def test_fill_leaves_one_color_and_pixelate_a_few():
    face = face_at((120, 100))
    inside = covered_pixels(face_regions([face]), NOISE.shape)
    filled = anonymize_faces(NOISE, faces_of(face), "fill")[inside]
    assert len(np.unique(filled, axis=0)) == 1
    pixelated = anonymize_faces(NOISE, faces_of(face), "pixelate")[inside]
    # 4 cells per side of the box; the region is less than twice as large both ways
    assert len(np.unique(pixelated, axis=0)) <= (2 * 4) ** 2


@pytest.mark.parametrize("how", ["blur", "pixelate"])
def test_pixelate_keeps_only_means_of_large_cells(how):
    # a pattern with the same mean in every 2 x 2 pixels disappears
    checks = np.indices((200, 240)).sum(0) % 2 * 200
    image = np.repeat(checks[..., None], 3, 2).astype(np.uint8)
    face = face_at((120, 100))
    inside = covered_pixels(face_regions([face]), image.shape)
    left = anonymize_faces(image, faces_of(face), how)[inside]
    assert np.ptp(left) <= 30
    assert abs(left.mean() - 100) < 2


def test_uncertain_landmarks_and_a_margin_cover_more():
    sure, unsure = face_at((120, 100)), face_at((120, 100), sigma_px=4.0)
    few = covered_pixels(face_regions([sure]), NOISE.shape)
    for more in (face_regions([unsure]), face_regions([sure], 0.3)):
        covered = covered_pixels(more, NOISE.shape)
        assert (covered >= few).all()
        assert covered.sum() > few.sum()
    unknown = face_at((120, 100), sigma_px=np.nan)
    assert face_regions([unknown])[0].margin_px == pytest.approx(0.1 * 80, rel=0.05)


def test_schemes_of_five_points_or_without_eyes_are_covered_by_the_box():
    five = face_at(
        (120, 100), points=convert(MEAN, "ibug68", "five").points, scheme_name="five"
    )
    nose = Face(
        np.full((9, 2), 100.0), np.ones(9), np.ones(9), [60, 60, 140, 140], 1, "x"
    )
    for face in (five, nose):
        outline = face_outline(face)
        assert outline[:, 1].min() < face.box[1]  # the forehead
        assert outline[:, 1].max() >= face.box[3] - 0.01


def test_faces_outside_and_at_the_border_of_the_image_are_not_errors():
    faces = faces_of(face_at((-500, 100)), face_at((0, 0)), face_at((1e7, 1e7)))
    covered = anonymize_faces(NOISE, faces, "fill")
    assert (covered[0, 0] == 128).all()
    np.testing.assert_array_equal(covered[-1], NOISE[-1])


def test_wrong_arguments_are_rejected():
    faces = faces_of(face_at((120, 100)))
    with pytest.raises(InputError, match="did you mean 'blur'"):
        anonymize_faces(NOISE, faces, "blurr")
    with pytest.raises(InputError, match="expected 0 or more, as a fraction"):
        anonymize_faces(NOISE, faces, margin=float("nan"))
    with pytest.raises(ImageError, match="expected RGB uint8"):
        cover(NOISE[..., 0], [])


@pytest.mark.parametrize("how", ["pixelate", "fill"])
def test_no_face_is_found_where_one_was_covered(how):
    # a blurred face may still be detected as a face, so it is not tested
    image = scene(("astronaut", 110, 90, 120), ("grace_hopper", 110, 230, 120))
    predict = Predictor("fast", min_presence=0.5)
    faces = predict(image)
    assert len(faces) == 2
    assert len(predict(anonymize_faces(image, faces, how))) == 0


def test_a_face_missed_in_one_frame_is_covered_from_neighboring_frames():
    seen = {3: (60, 100), 7: (180, 100)}
    asked = []

    def find(image):
        asked.append(len(asked))
        centers = seen.get(asked[-1])
        return faces_of(*([face_at(centers, side=40.0)] if centers else []))

    frames = [(0.1 * number, NOISE) for number in range(12)]
    made = list(anonymize_frames(frames, find, "fill", hold_s=0.21))
    assert [time for time, _ in made] == [time for time, _ in frames]
    for center, number in ((seen[3], 3), (seen[7], 7)):
        gray = []
        for at, (_, image) in enumerate(made):
            if (image[center[1], center[0]] == 128).all():
                gray.append(at)
        assert gray == list(range(number - 2, number + 3))


def gray_frames(seen, point, times, hold_s=0.3):
    """Return the frames in which a point is covered; `seen` has faces by frame."""
    numbers = iter(range(len(times)))

    def find(image):
        return faces_of(*seen.get(next(numbers), []))

    frames = [(time, NOISE) for time in times]
    made = anonymize_frames(frames, find, "fill", margin=0.1, hold_s=hold_s)
    x, y = point
    return [
        number for number, (_, image) in enumerate(made) if (image[y, x] == 128).all()
    ]


def test_a_moving_face_missed_in_some_frames_is_covered_on_its_way():
    # 60 pixels apart, each region reaches 20 + 4 + 2 pixels from its center
    seen = {2: [face_at((70, 100), side=40.0)], 5: [face_at((130, 100), side=40.0)]}
    times = [0.1 * number for number in range(8)]
    assert gray_frames(seen, (100, 100), times, hold_s=0.21) == [3, 4]
    # in the frames where it is found, and further ones, nothing is added
    assert gray_frames(seen, (100, 100), times[:5], hold_s=0.21) == []


def test_a_face_missed_in_one_frame_is_covered_at_any_frame_rate():
    seen = {1: [face_at((100, 100), side=40.0)], 3: [face_at((104, 100), side=40.0)]}
    times = [0.0, 2.0, 4.0, 6.0, 8.0]
    assert gray_frames(seen, (100, 100), times) == [1, 2, 3]
    assert gray_frames(seen, (100, 100), times, hold_s=0.0) == [1, 2, 3]


def test_two_faces_are_not_joined_if_they_are_far_apart_or_differ_in_size():
    times = [0.1 * number for number in range(3)]
    first = [face_at((60, 100), side=30.0)]
    for other in (face_at((160, 100), side=30.0), face_at((140, 100), side=70.0)):
        seen = {0: first, 2: [other]}
        assert gray_frames(seen, (92, 100), times) == []


def test_each_of_two_faces_is_followed_while_one_of_them_is_missed():
    left, right = face_at((70, 60), side=30.0), face_at((70, 140), side=30.0)
    moved = face_at((120, 140), side=30.0)
    seen = {0: [left, right], 1: [left], 2: [left, moved]}
    times = [0.1 * number for number in range(3)]
    assert gray_frames(seen, (95, 140), times, hold_s=0.0) == [1]
    assert gray_frames(seen, (95, 100), times, hold_s=0.0) == []


def present(side, presence):
    return replace(face_at((120, 100), side=side), presence=presence)


def test_detections_far_smaller_than_every_clear_face_need_more_presence():
    clear, smaller = present(100.0, 0.95), present(45.0, 0.95)
    doubtful = [present(40.0, 0.3), present(60.0, 0.3), present(40.0, 0.5)]
    faces = faces_of(clear, *doubtful)
    assert list(likely_faces(faces, 0.1)) == [clear, doubtful[1], doubtful[2]]
    assert list(likely_faces(faces, 0.0)) == list(faces)
    # clear faces of similar size, or none: the photo may show many small faces
    for kept in (faces_of(clear, smaller, *doubtful), faces_of(*doubtful)):
        assert list(likely_faces(kept, 0.1)) == list(kept)


def test_presence_is_required_up_to_that_of_clear_faces_and_may_be_unknown():
    clear, small = present(100.0, 0.95), present(40.0, 0.92)
    faint, unknown = present(90.0, 0.05), present(20.0, math.nan)
    faces = faces_of(clear, small, faint, unknown)
    for limit in (0.1, 0.5, 0.92):
        assert list(likely_faces(faces, limit)) == [clear, small, unknown]
    kept = likely_faces(faces, 0.94)
    assert list(kept) == [clear, unknown]
    assert kept.image_size == faces.image_size


def test_at_most_one_more_region_is_covered_in_a_photo_of_one_person(tmp_path):
    # badges and valves on the suit have a presence of 0.1 to 0.4
    code, out, _ = call("anonymize", ASTRONAUT, "--out", tmp_path / "a.png")
    assert code == 0
    assert int(re.search(r"(\d+) faces? covered", out)[1]) <= 2


def test_faces_of_an_image_of_another_size_are_rejected():
    faces = faces_of(face_at((120, 100)))
    with pytest.raises(InputError, match=r"\(240, 200\).*this one has \(120, 100\)"):
        anonymize_faces(NOISE[::2, ::2], faces)


def test_only_frames_within_the_hold_time_are_buffered():
    pulled = []

    def frames():
        for number in range(100):
            pulled.append(number)
            yield number / 10, NOISE

    covered = anonymize_frames(frames(), lambda image: faces_of(), hold_s=0.3)
    next(covered)
    assert len(pulled) == 5  # the frames within 0.3 s, and the first one after


def test_the_command_covers_photos_and_lists_those_without_a_face(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(scene(("astronaut", 110, 90, 120))).save(photos / "a.png")
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(photos / "b.jpg")
    code, out, err = call(
        "anonymize", photos, "--out", tmp_path / "out", "--method", "fill"
    )
    assert (code, err) == (0, "")
    assert "a.png: 1 face covered -> " in out
    assert "b.jpg: no face covered -> " in out
    before, after = read_image(photos / "a.png"), read_image(tmp_path / "out/a.png")
    assert (after[90, 110] == 128).all()
    np.testing.assert_array_equal(after[0], before[0])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_metadata_is_not_copied(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(command, "make_predictor", lambda *a, **b: _nobody)
    exif = Image.Exif()
    exif[270] = "a secret"
    notes = {"exif": exif, "comment": b"a secret"}
    if suffix == "png":
        text = PngInfo()
        text.add_text("Comment", "a secret")
        notes = {"exif": exif, "pnginfo": text}
    photo, made = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    Image.fromarray(NOISE).save(photo, **notes)
    assert b"a secret" in photo.read_bytes()
    assert call("anonymize", photo, "--out", made)[0] == 0
    assert b"a secret" not in made.read_bytes()


def test_the_result_is_upright_8_bit_rgb(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_predictor", lambda *a, **b: _nobody)
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    hidden = np.dstack([NOISE, np.zeros(NOISE.shape[:2], np.uint8)])
    Image.fromarray(hidden).save(tmp_path / "a.png", exif=exif)
    wide = (NOISE[..., 0].astype(np.uint16) * 257).copy()
    Image.fromarray(wide).save(tmp_path / "b.png")
    for name in "ab":
        words = (tmp_path / f"{name}.png", "--out", tmp_path / "out")
        assert call("anonymize", *words)[0] == 0
    with Image.open(tmp_path / "out/a.png") as image:
        assert (image.mode, image.size) == ("RGB", (200, 240))
        assert dict(image.getexif()) == {}
        assert (np.asarray(image) == 255).all()  # nothing of the transparent pixels
    with Image.open(tmp_path / "out/b.png") as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image)[..., 1], NOISE[..., 0])


def test_the_command_states_frames_and_videos_that_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_predictor", lambda *a, **b: _nobody)
    photos = tmp_path / "photos"
    photos.mkdir()
    pages = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1])]
    pages[0].save(photos / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(photos / "one.tif")
    previews = {"format": "MPO", "save_all": True, "append_images": pages[1:]}
    pages[0].save(photos / "phone.jpg", **previews)
    (photos / "talk.mp4").touch()
    code, _, err = call("anonymize", photos, "--out", tmp_path / "out")
    assert code == 0
    assert "pages.tif: only its first frame or page is in" in err
    assert "one.tif" not in err
    assert "phone.jpg" not in err
    assert "its videos are not covered (1, such as" in err
    with Image.open(tmp_path / "out/pages.tif") as image:
        assert image.n_frames == 1


def test_without_presence_all_faces_of_the_detector_are_covered(tmp_path, monkeypatch):
    class Silent:
        predicts_presence = False
        min_landmark_score = 0.4

        def __call__(self, images, boxes=None):
            assert self.min_landmark_score == 0.0
            return [faces_of(face_at((120, 100))) for _ in images]

    monkeypatch.setattr(command, "make_predictor", lambda *a, **b: Silent())
    for name in "ab":
        Image.fromarray(NOISE).save(tmp_path / f"{name}.png")
    words = (tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "out")
    code, out, err = call("anonymize", *words, "--model", "own.onnx")
    assert (code, out.count("1 face covered")) == (0, 2)
    assert err.count("model own.onnx predicts no presence") == 1


def test_the_command_covers_every_frame_of_a_video(tmp_path):
    pytest.importorskip("av")
    from lineament import VideoReader, VideoWriter

    image = scene(("astronaut", 110, 90, 120))
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for number in range(6):
            writer.write(image, number / 25)
    words = (
        "anonymize",
        tmp_path / "a.mp4",
        "--out",
        tmp_path / "out",
        "--method",
        "fill",
    )
    code, out, _ = call(*words)
    assert code == 0
    assert "without its sound" in out
    frames = [frame.image for frame in VideoReader(tmp_path / "out/a.mp4")]
    assert len(frames) == 6
    for frame in frames:
        assert abs(frame[90, 110].astype(int) - 128).max() < 12
    code, _, err = call(*words)
    assert code == 2
    assert "add --overwrite" in " ".join(err.split())
    assert call(*words, "--overwrite")[0] == 0
    code, _, err = call(*words[:2], "--out", tmp_path / "a.mp4", "--overwrite")
    assert code == 2


def test_several_inputs_need_a_folder(tmp_path):
    code, _, err = call("anonymize", "a.jpg", "b.mp4", "--out", tmp_path / "x.jpg")
    assert code == 2
    assert "one file for 2 inputs" in " ".join(err.split())


def test_the_command_has_the_defaults_of_the_library():
    from lineament.analysis.anonymize import MARGIN, MIN_PRESENCE
    from lineament.analysis.anonymize_video import HOLD_S

    chosen = command.MARGIN, command.HOLD_S, command.MIN_PRESENCE
    assert chosen == (MARGIN, HOLD_S, MIN_PRESENCE)
    assert {each.value for each in command.Method} == set(METHODS)


def test_a_huge_face_is_covered_with_a_wide_margin():
    # a line wider than OpenCV draws
    faces = faces_of(face_at((120, 100), side=9000.0))
    assert (anonymize_faces(NOISE, faces, "fill", margin=2.0) == 128).all()


def test_a_negative_hold_time_is_rejected():
    frames = [(0.0, NOISE), (1.0, NOISE)]
    with pytest.raises(InputError, match="hold_s is -1"):
        list(anonymize_frames(frames, lambda image: faces_of(), hold_s=-1))


def test_videos_with_the_same_name_have_results_of_their_own(tmp_path):
    videos = ["a/talk.mp4", "b/talk.mp4", "talk.mov"]
    targets = command._video_targets([*videos, videos[0]], tmp_path)
    assert list(targets) == videos
    names = [path.name for path in targets.values()]
    assert names == ["talk.mp4", "talk.mp4.mp4", "talk.mov.mp4"]


def test_no_video_replaces_another_input(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").touch()
    videos = [tmp_path / "a/talk.mp4", tmp_path / "b/talk.mp4"]
    words = ("anonymize", *videos, "--out", tmp_path / "b", "--overwrite")
    code, _, err = call(*words)
    assert code == 2
    assert "exists; choose another --out" in " ".join(err.split())


def test_a_folder_with_a_dot_in_its_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_predictor", lambda *a, **b: _nobody)
    for name in "ab":
        Image.fromarray(NOISE).save(tmp_path / f"{name}.png")
    (tmp_path / "out.v1").mkdir()
    words = [tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "out.v1"]
    assert call("anonymize", *words)[0] == 0
    assert (tmp_path / "out.v1/b.png").is_file()


def _nobody(images, boxes=None):
    return [Faces((), "ibug68", 68) for _ in images]


_nobody.predicts_presence = True


def test_the_smallest_face_is_passed_to_another_detector(tmp_path, monkeypatch):
    chosen = []

    def make(model, **options):
        chosen.append((options["detector"], options["min_face"]))
        return _nobody

    monkeypatch.setattr(command, "make_predictor", make)
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    words = ("anonymize", tmp_path / "a.png", "--out", tmp_path / "out")
    for options in ((), ("--detector", "x.onnx"), ("--min-face", "40px")):
        assert call(*words, *options)[0] == 0
    assert call(*words, "--detector", "x.onnx", "--min-face", "40px")[0] == 0
    assert chosen == [
        ("default", "8px"),
        ("x.onnx", None),
        ("default", "40px"),
        ("x.onnx", "40px"),
    ]
