"""Inputs of bulk jobs: folders, patterns, lists, tars, Parquet, videos; addresses."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bulk_jobs import image_of, rows_of, run_here, write_images
from drawn_video import write as write_video
from lineament.errors import DataError, InputError
from lineament.serving.bulk.addresses import (
    child_address,
    file_system,
    glob_pattern,
    is_remote,
    local_path,
    read_bytes,
    shown_address,
)
from lineament.serving.bulk.images import ReadOptions, read_source
from lineament.serving.bulk.sources import Source, address_next_to, find_sources

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet


def png(number):
    data = io.BytesIO()
    image_of(number).save(data, "PNG")
    return data.getvalue()


def reds(source, **options):
    """Return the name of each image in a source, with its red value or error."""
    found = []
    for name, image in read_source(source, ReadOptions(**options)):
        shown = image[0, 0, 0] if isinstance(image, np.ndarray) else str(image)
        found.append((name.image, name.frame, shown))
    return found


def names(inputs):
    return [(source.kind, Path(source.address).name) for source in find_sources(inputs)]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three images, a tar, a table, a list, a text file and a hidden image."""
    made = write_images(tmp_path / "in", 3)
    with tarfile.open(made / "b.tar", "w") as tar:
        for number in range(2):
            add(tar, f"{number}.png", png(number))
            add(tar, f"{number}.json", b"{}")
    table = pyarrow.table({"image": [png(1), png(2)]})
    parquet.write_table(table, made / "c.parquet")
    (made / "list.txt").write_text("0/0000.png\n\n1/0001.png\n")
    (made / "note.md").write_text("no image")
    image_of(1).save(made / ".dotted.png")
    return made


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_a_folder_gives_its_images_and_tars(folder):
    assert names([str(folder)]) == [
        ("image", "0000.png"),
        ("image", "0002.png"),
        ("image", "0001.png"),
        ("tar", "b.tar"),
    ]


def test_patterns_lists_and_file_addresses_name_the_same_images_once(folder):
    both = [("image", "0000.png"), ("image", "0001.png")]
    pattern, listed = str(folder / "*" / "000[01].png"), str(folder / "list.txt")
    assert names([pattern]) == names([listed]) == names([pattern, listed]) == both
    assert names([f"file://{folder}/0/0000.png", listed]) == both
    addresses = folder / "addresses.txt"
    addresses.write_text(f"file://{folder}/0/0000.png\n{folder}/0/0000.png\n")
    assert names([str(addresses), pattern]) == both


def test_a_list_without_an_image_is_a_single_error(folder):
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.txt: lists no image"):
        find_sources([str(folder / "empty.txt")])


def test_a_broken_address_is_an_error_of_its_image_only(folder):
    wrong, good = f"file://{folder}/0/0 0.png", str(folder / "0/0000.png")
    with pytest.raises(InputError, match="write file:///PATH with %20 for a space"):
        find_sources([wrong])
    (folder / "wrong.txt").write_text(f"{wrong}\n{good}\n")
    sources = find_sources([str(folder / "wrong.txt")])
    table = pyarrow.table({"image": [wrong, good]})
    parquet.write_table(table, folder / "wrong.parquet")
    (rows,) = find_sources([str(folder / "wrong.parquet")])
    for found in ([*reds(sources[0]), *reds(sources[1])], reds(rows)):
        assert [name for name, _, _ in found] == [wrong, good]
        assert "not a URI of a local file" in found[0][2]
        assert found[1][2] == 0


def test_a_wrong_pattern_is_an_input_error():
    with pytest.raises(InputError, match="not a pattern"):
        glob_pattern("bucket/[z-a].jpg")


def test_a_table_is_a_source_per_row_group(folder):
    table = pyarrow.table({"image": [png(n) for n in range(5)]})
    parquet.write_table(table, folder / "d.parquet", row_group_size=2)
    sources = find_sources([str(folder / "d.parquet")])
    assert [source.entry for source in sources] == [0, 1, 2]
    found = [(name, red) for each in sources for name, _, red in reds(each)]
    # rows are counted in the file; the red value of image n is n modulo 3
    assert found == [(f"{folder}/d.parquet#{n}", n % 3) for n in range(5)]


def test_a_table_may_contain_urls_or_hugging_face_images(folder):
    columns = {
        "path": ["0/0000.png", str(folder / "1/0001.png"), "absent.png", None],
        "photo": [
            {"bytes": png(2), "path": "a.png"},
            {"bytes": None, "path": "0/0002.png"},
            None,
            {"bytes": b"", "path": None},
        ],
    }
    parquet.write_table(pyarrow.table(columns), folder / "d.parquet")
    (source,) = find_sources([str(folder / "d.parquet")])
    paths = reds(source, column="path")
    assert [name for name, _, _ in paths[:2]] == [
        str(folder / "0/0000.png"),
        str(folder / "1/0001.png"),
    ]
    assert [red for _, _, red in paths[:2]] == [0, 1]
    assert "absent.png: no such file" in paths[2][2]
    assert (
        "d.parquet#3: a value of type NoneType; expected the bytes of an image"
        in paths[3][2]
    )
    photos = reds(source, column="photo")
    assert [red for _, _, red in photos[:2]] == [2, 2]
    assert all("expected the bytes of an image" in red for _, _, red in photos[2:])
    ((_, _, error),) = reds(source)
    assert "has no column 'image'; choose one of path, photo with --column" in error


def test_a_truncated_tar_gives_its_images_in_order_and_then_an_error(folder):
    (source,) = find_sources([str(folder / "b.tar")])
    found = reds(source)
    name = str(folder / "b.tar")
    assert found == [(f"{name}#0.png", None, 0), (f"{name}#1.png", None, 1)]
    data = (folder / "b.tar").read_bytes()
    # each member has a block of 512 bytes for its header, then one for its data; the
    # third is the second image: ends in its header, before it, in its data, and noise
    for broken in (
        data[: 4 * 512 + 100],
        data[: 4 * 512],
        data[: 5 * 512 + 20],
        data[: 4 * 512] + bytes(range(256)) * 4,
    ):
        (folder / "b.tar").write_bytes(broken)
        image, end = reds(source)
        assert image == (f"{name}#0.png", None, 0)
        assert end[0] == name
        assert "broken or truncated tar" in end[2]


def test_a_compressed_tar_is_read(folder):
    with tarfile.open(folder / "z.tar.gz", "w:gz") as tar:
        add(tar, "a/1.png", png(1))
    (source,) = find_sources([str(folder / "z.tar.gz")])
    assert reds(source) == [(f"{folder}/z.tar.gz#a/1.png", None, 1)]


def test_a_video_gives_every_nth_frame(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "v.mp4"
    write_video(path, count=7)
    (source,) = find_sources([str(tmp_path)])
    assert source.kind == "video"
    frames = [(name, frame) for name, frame, _ in reds(source, every=3)]
    assert frames == [(str(path), 0), (str(path), 3), (str(path), 6)]
    path.write_bytes(b"nothing")
    ((_, _, error),) = reds(source)
    assert "v.mp4" in error


def test_large_sources_get_separate_parts(folder, tmp_path):
    inputs = [folder, folder / "c.parquet"]
    counts = run_here(inputs, tmp_path / "out", part_images=2)
    # three images in two parts, the tar, the table
    assert [counts[n].images for n in range(4)] == [2, 1, 2, 2]
    named = {row[0] for row in rows_of(tmp_path / "out", folder)}
    assert {"/b.tar#0.png", "/c.parquet#1", "/0/0000.png"} < named


def test_a_missing_input_is_a_single_error(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources([str(tmp_path / "absent")])
    with pytest.raises(InputError, match="no file matches this pattern"):
        find_sources([str(tmp_path / "*.png")])
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        find_sources([str(tmp_path / "broken.parquet")])


def test_an_unknown_url_scheme_is_a_single_error():
    with pytest.raises(DataError, match="expected a path, s3://BUCKET/KEY"):
        file_system("ftp://host/a")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/a b/c%20.jpg", "s3://bucket/a b/c%20.jpg"),
        ("s3://key:secret@bucket/a.jpg?region=eu", "s3://bucket/a.jpg"),
        ("gs://anonymous@bucket/a.jpg", "gs://bucket/a.jpg"),
        ("/a?b/c.jpg", "/a?b/c.jpg"),
    ],
)
def test_rows_have_urls_without_credentials_and_options(address, shown):
    assert shown_address(address) == shown
    assert is_remote(address) == ("://" in address)


def test_files_in_a_remote_folder_inherit_credentials_and_options():
    folder = "gs://anonymous@bucket/in?x=1"
    assert child_address(folder, "bucket/in/a.jpg") == (
        "gs://anonymous@bucket/in/a.jpg?x=1"
    )
    assert address_next_to("s3://bucket/in/list.txt?x=1", "b/c.jpg") == (
        "s3://bucket/in/b/c.jpg?x=1"
    )
    assert address_next_to("s3://bucket/list.txt", "gs://b/c.jpg") == "gs://b/c.jpg"


@pytest.mark.parametrize("options", ["", "?region=eu", "?region=eu&scheme=http"])
@pytest.mark.parametrize(
    "key",
    ["a?b.jpg", "a#b.jpg", "a%20b%3F.jpg", "a?x=1", "a?x=1.jpg", "what?", "a?b?c"],
)
def test_a_key_may_contain_the_signs_of_a_url(key, options):
    address = child_address(f"s3://id@bucket/in{options}", f"bucket/in/{key}")
    assert shown_address(address) == f"s3://bucket/in/{key}"
    assert address.startswith(f"s3://id@bucket/in/{key}")
    assert address.endswith(options)
    assert shown_address(address_next_to(address, key)) == f"s3://bucket/in/{key}"
    below = child_address(address, f"bucket/in/{key}/b.jpg")
    assert shown_address(below) == f"s3://bucket/in/{key}/b.jpg"


def test_only_pairs_after_the_last_question_mark_are_options():
    assert shown_address("s3://bucket/a?b.jpg") == "s3://bucket/a?b.jpg"
    assert shown_address("s3://bucket/a?b.jpg?region=eu") == "s3://bucket/a?b.jpg"
    assert shown_address("s3://bucket/a?x=1?") == "s3://bucket/a?x=1"
    # found in a folder, a file has the address that is given for it
    for name in ("a?b.jpg", "a?x=1?"):
        key = f"bucket/{name.removesuffix('?')}"
        assert child_address("s3://bucket", key) == f"s3://bucket/{name}"
    assert shown_address("s3://bucket/a#b.jpg") == "s3://bucket/a#b.jpg"


def test_a_file_uri_keeps_the_name_after_a_sign(tmp_path):
    for name in ("a#b.jpg", "a?b.jpg", "a%23b.jpg"):
        assert local_path(f"file://{tmp_path}/{name}").name == name.replace("%23", "#")


def test_google_cloud_has_a_file_system():
    system, path = file_system("gs://anonymous@bucket/a/b.jpg")
    assert (system.type_name, path) == ("gcs", "bucket/a/b.jpg")


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("b/*.jpg", ["b/a.jpg", "b/.jpg"], ["b/c/a.jpg", "b/a.png"]),
        ("b/**/*.jpg", ["b/a.jpg", "b/c/d/a.jpg"], ["a/b/a.jpg"]),
        ("b/[!a]?.png", ["b/b1.png"], ["b/a1.png", "b/b.png"]),
    ],
)
def test_remote_patterns_match_like_local_ones(pattern, matched, others):
    compiled = glob_pattern(pattern)
    assert all(compiled.fullmatch(path) for path in matched)
    assert not any(compiled.fullmatch(path) for path in others)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"a\.bin: no such file"):
        read_bytes(str(tmp_path / "a.bin"))


def test_lists_cannot_be_nested(folder):
    (folder / "lists.txt").write_text("list.txt\n")
    with pytest.raises(DataError, match=r"lists list\.txt, another list"):
        find_sources([str(folder / "lists.txt")])


def test_errors_of_an_unnamed_image_name_its_row(folder):
    table = pyarrow.table({"image": [b"nothing"]})
    parquet.write_table(table, folder / "d.parquet")
    ((name, _, error),) = reds(Source("rows", str(folder / "d.parquet")))
    assert error.startswith(f"{name}: not an image but text")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_may_be_written_by_windows(folder, encoding):
    (folder / "list.txt").write_text("0/0000.png\r\n1/0001.png\r\n", encoding=encoding)
    listed = names([str(folder / "list.txt")])
    assert listed == [("image", "0000.png"), ("image", "0001.png")]
