"""Pictures: nothing outside the feed is reached, and no more is read than allowed."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from index.feeds import archives
from index.feeds.pictures import ArchivePictures, BadPicture, FolderPictures, base_name, read_bytes
from vision.errors import FeedError, UnreadableImage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "feed"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"A")
    (folder / "sub/b.jpg").write_bytes(b"B")
    (tmp_path / "secret.jpg").write_bytes(b"S")
    return folder


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "reference",
    [
        "a.jpg", "./a.jpg", "sub/../a.jpg", "sub\\..\\a.jpg", "../feed/a.jpg",
        "https://x.example/p/a.jpg?v=1", "//cdn.example/a.jpg",
    ],
)  # fmt: skip
def test_ways_to_name_a_picture(root: Path, reference: str) -> None:
    assert FolderPictures(root).find(reference) == os.path.realpath(root / "a.jpg")


def test_absolute_paths_inside(root: Path) -> None:
    assert FolderPictures(root).find(str(root / "a.jpg")) == os.path.realpath(root / "a.jpg")


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.jpg", "sub/../../secret.jpg", "/etc/passwd", "..\\secret.jpg", "C:\\a.jpg",
        "c:/a.jpg", "..", "../feed2/a.jpg",
    ],
)  # fmt: skip
def test_paths_outside(root: Path, reference: str) -> None:
    (root.parent / "feed2").mkdir()  # begins like the root
    (root.parent / "feed2/a.jpg").touch()
    with pytest.raises(BadPicture, match="outside the feed"):
        FolderPictures(root).find(reference)


def test_links(root: Path) -> None:
    pictures = FolderPictures(root)
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "away").symlink_to(root.parent)
    (root / "in.jpg").symlink_to("sub/b.jpg")
    (root / "broken.jpg").symlink_to("nowhere.jpg")
    (root / "loop.jpg").symlink_to("loop.jpg")
    for name in ("out.jpg", "away/secret.jpg"):
        with pytest.raises(BadPicture, match="outside the feed"):
            pictures.find(name)
    assert pictures.find("in.jpg") == os.path.realpath(root / "sub/b.jpg")
    assert pictures.find("away/feed/a.jpg") == os.path.realpath(root / "a.jpg")
    for name in ("broken.jpg", "loop.jpg"):
        with pytest.raises(BadPicture):
            pictures.find(name)


def test_what_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    pictures = FolderPictures(root)
    for name in ("sub", "pipe.jpg"):
        with pytest.raises(BadPicture, match="not an ordinary file"):
            pictures.find(name)
    with pytest.raises(BadPicture, match=r"no such file: sub/x\.jpg"):
        pictures.find("sub/x.jpg")
    with pytest.raises(BadPicture, match="no such file"):
        pictures.find("a.jpg/b.jpg")
    with pytest.raises(BadPicture):
        pictures.find("x" * 5000)


@pytest.mark.parametrize(
    "reference", [
        "http://x.example/c.jpg", "https://x.example/", "http://[", "data:image/png;base64,A",
        "https://x.example/..", "s3://bucket/%2e%2e%2fsecret.jpg", "http://x/%00",
    ],
)  # fmt: skip
def test_remote_pictures_are_not_fetched(root: Path, reference: str) -> None:
    with pytest.raises(BadPicture, match="not fetched"):
        FolderPictures(root).find(reference)


def test_base_names() -> None:
    assert base_name("https://x.example/a/b%20c.jpg?width=3#x") == "b c.jpg"
    assert base_name("https://x.example/..%2f..%2fa.jpg") == "a.jpg"


def test_walk_is_sorted_and_skips_what_is_hidden(root: Path) -> None:
    (root / ".hidden").mkdir()
    for name in ("B.JPG", ".x.jpg", ".hidden/y.jpg", "notes.txt", "sub/c.HeIc"):
        (root / name).touch()
    (root / "gone").symlink_to(root.parent)
    (root / "again").symlink_to(root)
    assert [path for path, fault in FolderPictures(root).walk() if not fault] == [
        "B.JPG", "a.jpg", "sub/b.jpg", "sub/c.HeIc",
    ]  # fmt: skip
    assert [path for path, fault in FolderPictures(root).walk() if fault] == ["gone"]


def test_read_bytes_of_a_file(root: Path) -> None:
    assert read_bytes(str(root / "a.jpg"), 1) == b"A"
    with pytest.raises(UnreadableImage, match="larger than 0 bytes"):
        read_bytes(str(root / "a.jpg"), 0)
    os.mkfifo(root / "pipe.jpg")
    for name, reason in (("none.jpg", "missing"), ("sub", "ordinary"), ("pipe.jpg", "ordinary"),
                         ("a\0b", "cannot be read"), ("x" * 5000, "cannot be read")):  # fmt: skip
        with pytest.raises(UnreadableImage, match=reason):
            read_bytes(str(root / name), 10)


def test_a_folder_with_an_exclamation_mark_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "sale!").mkdir()
    (tmp_path / "sale!/a.jpg").write_bytes(b"A")
    assert read_bytes(str(tmp_path / "sale!/a.jpg"), 9) == b"A"


def test_read_bytes_of_a_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {"d!/a.jpg": b"A" * 9})
    location = ArchivePictures(str(path)).find("d!/a.jpg")
    assert read_bytes(location, 9) == b"A" * 9
    with pytest.raises(UnreadableImage, match="larger than 8"):
        read_bytes(location, 8)
    with pytest.raises(UnreadableImage, match="no longer"):
        read_bytes(f"{path}!/none.jpg", 9)
    make_zip(path, {"d!/a.jpg": b"new"})
    os.utime(path, ns=(1, 1))
    assert read_bytes(location, 9) == b"new", "a new archive of the same name is opened anew"
    path.write_bytes(b"no archive")
    with pytest.raises(UnreadableImage, match="not a ZIP"):
        read_bytes(location, 9)
    archives.close_archives()


def test_references_inside_an_archive(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {"shop/i/a.jpg": b"A", "b.jpg": b"B"})
    pictures = ArchivePictures(str(path), "shop")
    assert pictures.find("i/a.jpg") == pictures.find(".\\i\\a.jpg") == f"{path}!/shop/i/a.jpg"
    assert pictures.find("../b.jpg") == f"{path}!/b.jpg"
    for outside in ("../../b.jpg", "/b.jpg", "C:\\b.jpg", "../.."):
        with pytest.raises(BadPicture, match="outside the feed"):
            pictures.find(outside)
    with pytest.raises(BadPicture, match="no such file in the ZIP"):
        pictures.find("c.jpg")
    with pytest.raises(BadPicture, match="not fetched"):
        pictures.find("https://x.example/c.jpg")
    archives.close_archives()


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "bomb.zip", {"a.jpg": bytes(50 << 20)})
    with pytest.raises(UnreadableImage, match="larger than"):
        read_bytes(f"{path}!/a.jpg", 1 << 20)
    archives.close_archives()


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "bomb.zip", {"a.jpg": bytes(50 << 20)})
    data = path.read_bytes()
    truth = struct.pack("<L", 50 << 20)
    path.write_bytes(data.replace(truth, struct.pack("<L", 100)))
    with pytest.raises(UnreadableImage):
        read_bytes(f"{path}!/a.jpg", 1 << 20)
    archives.close_archives()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_inflate_without_a_limit_are_refused(tmp_path: Path, method: int) -> None:
    path = make_zip(tmp_path / "f.zip", {"a.jpg": b"A"}, method)
    with pytest.raises(BadPicture, match="unusual"):
        ArchivePictures(str(path)).find("a.jpg")
    with pytest.raises(UnreadableImage, match="unusual"):
        read_bytes(f"{path}!/a.jpg", 9)
    archives.close_archives()


def test_damaged_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {"a.jpg": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    data[1000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="ZIP file"):
        read_bytes(f"{path}!/a.jpg", 9999)
    archives.close_archives()


def test_archives_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    for data in (b"", b"not a zip", b"PK\5\6" + bytes(17), b"PK\5\6" + b"\xff" * 18):
        path.write_bytes(data)
        with pytest.raises(FeedError, match="ZIP file"):
            archives.open_archive(str(path))
    make_zip(path, {"a.jpg": b"A"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag in the directory says: encrypted
    path.write_bytes(data)
    with pytest.raises(FeedError, match="encrypted"):
        archives.open_archive(str(path))


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    make_zip(tmp_path / "ok.zip", {f"{n:090}": b"" for n in range(20)})
    assert len(archives.open_archive(str(tmp_path / "ok.zip")).filelist) == 20
    archives.close_archives()
    many = make_zip(tmp_path / "many.zip", {str(n): b"" for n in range(21)})
    with pytest.raises(FeedError, match="more than 20 members"):
        archives.open_archive(str(many))
    data = bytearray(many.read_bytes())
    struct.pack_into("<HH", data, len(data) - 14, 1, 1)  # states one member
    many.write_bytes(data)
    with pytest.raises(FeedError, match="more than 20 members"):
        archives.open_archive(str(many))


def test_too_many_members_in_a_large_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)  # makes zipfile write ZIP64
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    path = make_zip(tmp_path / "many.zip", {str(n): b"" for n in range(21)})
    assert b"PK\6\6" in path.read_bytes()
    with pytest.raises(FeedError, match="more than 20 members"):
        archives.open_archive(str(path))


def test_threads_share_an_archive(tmp_path: Path) -> None:
    members = {f"{n}.jpg": os.urandom(3000) for n in range(50)}
    path = make_zip(tmp_path / "f.zip", members)
    wrong: list[str] = []

    def work() -> None:
        wrong.extend(n for n, data in members.items() if read_bytes(f"{path}!/{n}", 5000) != data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    archives.close_archives()


def test_a_feed_that_inflates_beyond_belief_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_SMALL", 1000)
    path = make_zip(tmp_path / "f.zip", {"p.csv": bytes(1 << 20)})
    archive = archives.open_archive(str(path))
    with pytest.raises(FeedError, match="no honest feed"):
        archives.open_feed(archive, archive.getinfo("p.csv"))
    archives.close_archives()


def test_a_feed_is_inflated_bit_by_bit(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {"p.csv": b"x" * 100_000})
    archive = archives.open_archive(str(path))
    with archives.open_feed(archive, archive.getinfo("p.csv")) as raw:
        assert isinstance(raw, io.BufferedReader)
        assert raw.peek(3)[:3] == b"xxx"
        assert raw.read() == b"x" * 100_000
    archives.close_archives()
