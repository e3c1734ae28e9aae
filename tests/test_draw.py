"""Drawing: dots are where the landmarks are, sizes follow the face, writes are atomic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lineament.analysis.draw import (
    FORMATS,
    PART_COLORS,
    draw_faces,
    draw_trails,
    part_colors,
    save_image,
    smooth_contour,
)
from lineament.errors import ImageError
from lineament.face import Face, Faces
from lineament.geometry import Array
from lineament.schemes import NAMES, scheme

ONLY = {"points": False, "edges": False, "boxes": False, "labels": False}


def _faces(
    *landmarks: Array,
    scheme_name: str = "five",
    side: float = 100.0,
    sigma: float = 1.0,
    score: float = 1.0,
) -> Faces:
    box = np.array([10.0, 30.0, 10.0 + side, 30.0 + side])
    made = tuple(
        Face(p, np.ones(len(p)), np.full(len(p), sigma), box, score, scheme_name)
        for p in landmarks
    )
    return Faces(made, scheme_name, len(scheme(scheme_name)))


def _black(height: int = 200, width: int = 240) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


FIVE = np.array(
    [[40.3, 60.8], [80.6, 62.2], [61.1, 85.0], [45.75, 105.4], [77.9, 104.5]]
)


@pytest.mark.parametrize(("side", "bound_px"), [(100.0, 0.1), (400.0, 0.02)])
def test_the_middle_of_a_dot_is_the_landmark(side: float, bound_px: float) -> None:
    # a dot of radius 0.8 px has too few pixels for more than a tenth of a pixel
    away_from_others = np.full((5, 2), 1e9)
    for point in FIVE:
        points = away_from_others.copy()
        points[2] = point
        light = draw_faces(
            _black(), _faces(points, side=side), **{**ONLY, "points": True}
        ).sum(-1, dtype=float)
        rows, columns = np.indices(light.shape)
        middle = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
        assert np.abs(middle - point).max() < bound_px


def test_drawing_does_not_change_the_given_image() -> None:
    image = _black()
    drawn = draw_faces(image, _faces(FIVE))
    assert drawn.any()
    assert not image.any()


def test_without_a_face_the_copy_equals_the_image() -> None:
    image = np.arange(200 * 240 * 3, dtype=np.uint8).reshape(200, 240, 3)
    drawn = draw_faces(image, Faces((), "ibug68", 68))
    assert np.array_equal(drawn, image)
    assert drawn is not image
    assert drawn.base is not image


def test_an_image_that_is_a_view_can_be_drawn_on() -> None:
    mirrored = _black()[:, ::-1]
    assert np.array_equal(
        draw_faces(mirrored, _faces(FIVE)), draw_faces(_black(), _faces(FIVE))
    )


def test_an_edge_has_the_color_of_its_part() -> None:
    # five's edge 3-4 joins the mouth corners; both in row 120, so that row is all mouth between
    # them
    points = np.array(
        [[30.0, 40.0], [90.0, 40.0], [60.0, 70.0], [30.0, 120.0], [90.0, 120.0]]
    )
    drawn = draw_faces(_black(), _faces(points), **{**ONLY, "edges": True})
    # OpenCV's anti-aliasing gives a line one pixel wide nine tenths of its color
    assert (
        np.abs(drawn[120, 40:80].astype(int) - PART_COLORS["mouth"]).max() <= 0.1 * 255
    )
    assert not drawn[110, 40:80].any()


def test_the_sigma_circle_has_a_radius_of_two_sigma() -> None:
    points = np.full((5, 2), 1e9)
    points[2] = [61.0, 85.0]
    drawn = draw_faces(_black(), _faces(points, sigma=7.5), **{**ONLY, "sigmas": True})
    lit = np.flatnonzero(drawn[85].any(-1))
    # 2 x 7.5 = 15 px to either side of x = 61, one pixel wide
    assert set(lit) == {46, 76}
    assert set(np.flatnonzero(drawn[:, 61].any(-1))) == {70, 100}


@pytest.mark.parametrize("sigma", [0.0, 1e6, float("nan")])
def test_invalid_sigmas_draw_no_circle(sigma: float) -> None:
    assert not draw_faces(
        _black(), _faces(FIVE, sigma=sigma), **{**ONLY, "sigmas": True}
    ).any()


def test_dots_grow_with_the_face() -> None:
    lit = [
        np.count_nonzero(
            draw_faces(
                _black(), _faces(FIVE, side=side), **{**ONLY, "points": True}
            ).any(-1)
        )
        for side in (30.0, 200.0, 800.0)
    ]
    assert lit[0] < lit[1] < lit[2]


def test_size_scales_what_is_drawn() -> None:
    large = draw_faces(_black(), _faces(FIVE), scale=3.0)
    assert np.count_nonzero(large.any(-1)) > 1.5 * np.count_nonzero(
        draw_faces(_black(), _faces(FIVE)).any(-1)
    )


@pytest.mark.parametrize("far", [1e5, -1e7, 1e12])
def test_points_far_outside_the_image_are_skipped(
    far: float,
) -> None:
    points = np.full((5, 2), far)
    options = {
        "points": True,
        "edges": True,
        "boxes": False,
        "labels": False,
        "sigmas": True,
    }
    assert not draw_faces(_black(), _faces(points), **options).any()


def test_a_box_far_outside_is_not_an_error() -> None:
    face = Face(
        FIVE, np.ones(5), np.ones(5), np.array([-1e12, -1e12, 1e12, 1e12]), 1.0, "five"
    )
    draw_faces(_black(), Faces((face,), "five", 5), points=False, edges=False)


def test_the_label_is_within_the_image() -> None:
    # the box touches the right and the upper end: the label, some 10 px high, moves in and down
    face = Face(
        FIVE,
        np.ones(5),
        np.ones(5),
        np.array([150.0, 0.0, 239.0, 90.0]),
        0.98,
        "five",
        track_id=123,
    )
    drawn = draw_faces(_black(), Faces((face,), "five", 5), **{**ONLY, "labels": True})
    rows, columns = np.nonzero((drawn > 200).all(-1))
    assert rows.size > 20
    assert columns.max() < 239
    assert rows.min() > 0


def test_faces_too_small_for_a_label_have_no_label() -> None:
    assert draw_faces(
        _black(), _faces(FIVE, side=41.0), **{**ONLY, "labels": True}
    ).any()
    assert not draw_faces(
        _black(), _faces(FIVE, side=39.0), **{**ONLY, "labels": True}
    ).any()


def test_an_image_smaller_than_the_label_is_not_an_error() -> None:
    assert draw_faces(_black(3, 5), _faces(FIVE)).shape == (3, 5, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_every_scheme_has_a_color(name: str) -> None:
    landmark_scheme = scheme(name)
    colors = part_colors(landmark_scheme)
    assert len(colors) == len(landmark_scheme)
    for part, indices in landmark_scheme.parts.items():
        if part in PART_COLORS:
            assert PART_COLORS[part] in {colors[i] for i in indices}
    assert set(PART_COLORS.values()) >= {
        colors[i]
        for part in ("nose", "mouth")
        for i in landmark_scheme.parts.get(part, ())
    }


@pytest.mark.parametrize(
    ("image", "given"),
    [
        (np.zeros((20, 20), np.uint8), r"uint8 \(20, 20\)"),
        (np.zeros((20, 20, 4), np.uint8), r"uint8 \(20, 20, 4\)"),
        (np.zeros((20, 20, 3)), r"float64 \(20, 20, 3\)"),
        ("photo.jpg", "str"),
    ],
)
def test_another_kind_of_image_is_rejected(
    image: object, given: str, tmp_path: Path
) -> None:
    wanted = rf"the image is {given}; expected RGB uint8 \(H, W, 3\): read it with read_image"
    with pytest.raises(ImageError, match=wanted):
        draw_faces(image, _faces(FIVE))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=wanted):
        save_image(tmp_path / "x.png", image)  # type: ignore[arg-type]


def _smooth() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:40, :60]
    return np.stack([4 * columns, 6 * rows, columns + rows], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [*FORMATS, ".JPG"])
def test_the_suffix_decides_the_format(suffix: str, tmp_path: Path) -> None:
    path = save_image(tmp_path / f"a picture{suffix}", _smooth())
    with Image.open(path) as opened:
        assert opened.format == FORMATS[suffix.lower()]
        away = np.abs(np.asarray(opened.convert("RGB")).astype(int) - _smooth())
    # JPEG and WebP halve the color resolution, the others lose nothing
    assert away.max() <= (24 if opened.format in ("JPEG", "WEBP") else 0)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["picture.xyz", "picture", "picture.png.gz"])
def test_an_unknown_suffix_is_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ImageError,
        match=r"is not supported; expected \.jpg, \.jpeg, \.png, \.webp, \.bmp, \.tif, \.tiff",
    ):
        save_image(tmp_path / name, _smooth())
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_raises_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError,
        match=r"a\.png: cannot be written \(No such file or directory\); choose another",
    ):
        save_image(tmp_path / "absent" / "a.png", _smooth())


def test_a_write_that_fails_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_image(tmp_path / "a.png", _smooth())
    before = path.read_bytes()

    def half(self: Image.Image, where: Path, **options: object) -> None:
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(
        ImageError,
        match=r"cannot be written \(No space left on device\); choose another path",
    ):
        save_image(path, _smooth())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_trail_joins_positions_and_is_thickest_at_its_end() -> None:
    canvas = _black()
    draw_trails(
        canvas,
        [[np.array([20.0, 50.0]), np.array([100.0, 50.0]), np.array([200.0, 50.0])]],
    )
    lit = canvas.max(-1) > 100
    assert lit[50, 20:200].all()
    assert lit[:, 180].sum() > lit[:, 40].sum() >= 1
    assert not lit[:, :15].any()
    alone = _black()
    draw_trails(alone, [[np.array([20.0, 50.0])], []])
    assert not alone.any()


def _profile() -> Faces:
    """Return five points whose left eye and left mouth corner are not visible."""
    (face,) = _faces(FIVE, side=400.0)
    return Faces((replace(face, visible=[0.9, 0.2, 0.5, 0.6, 0.49]),), "five", 5)


def test_occluded_landmarks_are_rings_and_visible_ones_are_dots() -> None:
    drawn = draw_faces(_black(), _profile(), **{**ONLY, "points": True})
    middles = drawn[tuple(np.rint(FIVE[:, ::-1]).astype(int).T)].astype(int).sum(-1)
    assert (middles > 0).tolist() == [True, False, True, True, False]
    # a dot has a radius of 1.6 x 400 / 200 = 3.2 px, and the ring the same
    for x, y in FIVE.astype(int):
        assert drawn[y - 4 : y + 5, x - 4 : x + 5].any()


def test_occluded_landmarks_can_be_left_out() -> None:
    both = {**ONLY, "points": True, "sigmas": True}
    drawn = draw_faces(_black(), _profile(), **both, occluded=False)
    for (x, y), is_drawn in zip(FIVE.astype(int), [1, 0, 1, 1, 0], strict=True):
        assert drawn[y - 4 : y + 5, x - 4 : x + 5].any() == is_drawn


def test_lines_end_at_visible_landmarks_only() -> None:
    only = {**ONLY, "edges": True}
    assert draw_faces(_black(), _faces(FIVE, side=400.0), **only).any()
    occluded = replace(_profile()[0], visible=np.zeros(5))
    assert not draw_faces(_black(), Faces((occluded,), "five", 5), **only).any()


def test_unknown_visibility_draws_every_landmark_as_a_dot() -> None:
    seen = replace(_faces(FIVE)[0], visible=np.ones(5))
    assert np.array_equal(
        draw_faces(_black(), _faces(FIVE), occluded=False),
        draw_faces(_black(), Faces((seen,), "five", 5)),
    )


# -- smooth contours


def test_a_smooth_contour_passes_through_its_points_and_keeps_lines_straight() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (7, 2))
    curve = smooth_contour(points, 5)
    assert curve.shape == (6 * 5 + 1, 2)
    assert np.allclose(curve[::5], points)
    line = np.linspace([0, 0], [60, 30], 5)
    assert np.allclose(smooth_contour(line)[:, 0], 2 * smooth_contour(line)[:, 1])


def test_a_closed_contour_of_a_circle_is_nearly_round_everywhere() -> None:
    angles = np.linspace(0, 2 * np.pi, 13)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle[-1] = circle[0]
    radii = np.hypot(*smooth_contour(circle, 8).T)
    # chords of 30 degrees dip to cos(15 deg) = 0.966
    assert np.abs(radii - 1).max() < 0.003


def nearest_to_center(scheme_name: str, contour: list[int], absent: int = -1) -> float:
    """Return the smallest drawn radius for a contour on a circle of 500 px."""
    landmarks = np.full((len(scheme(scheme_name)), 2), 1e9)  # too far out to be drawn
    angles = np.linspace(0, 2 * np.pi, len(contour), endpoint=False)
    landmarks[contour] = 550 + 500 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if absent >= 0:
        landmarks[absent] = 1e9
    edges = {**ONLY, "edges": True}
    drawn = draw_faces(
        _black(1100, 1100), _faces(landmarks, scheme_name=scheme_name), **edges
    )
    return float(np.hypot(*(np.argwhere(drawn.any(-1)) - 550).T).min())


def test_dense_faces_are_drawn_by_curves_and_others_by_lines() -> None:
    eye = list(range(114, 134))
    # chords of 20 points dip to 500 cos(9 deg) = 493.8, of 6 points to 433; lines are 1 px wide
    assert nearest_to_center("helen194", eye) > 498
    assert nearest_to_center("ibug68", list(range(42, 48))) == pytest.approx(433, abs=2)
    # around a point that cannot be drawn, the others are joined by lines
    broken = nearest_to_center("helen194", eye, absent=120)
    assert broken == pytest.approx(493.8, abs=2)


def test_a_curve_keeps_its_shape_where_points_are_occluded() -> None:
    angles = np.linspace(0, 2 * np.pi, 194, endpoint=False)
    dense = 100 + 60 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    seen = np.ones(194)
    seen[10] = 0.1
    only = {**ONLY, "edges": True}
    (face,) = _faces(dense, scheme_name="helen194")
    full = draw_faces(_black(), Faces((face,), "helen194", 194), **only).any(-1)
    partly = Faces((replace(face, visible=seen),), "helen194", 194)
    drawn = draw_faces(_black(), partly, **only).any(-1)
    assert not (drawn & ~full).any()
    # the two segments that end at the occluded point, 1.9 px each, are gone
    assert 0 < (full & ~drawn).sum() < 20
