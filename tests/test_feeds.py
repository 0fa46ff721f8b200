"""Feeds: folders, tables, JSON lines and ZIP files, good and hostile, read from real files."""

from __future__ import annotations

import csv
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from index.feeds import FeedItem, Reject, Staged, archives, read_bytes, stage
from index.feeds.texts import quote_formula
from vision.errors import FeedError

DATA = Path(__file__).parents[2] / "shared" / "data"


def gather(
    *sources: str | Path, images_root: Path | None = None, folder_categories: bool = False
) -> tuple[dict[str, FeedItem], list[Reject]]:
    rejects: list[Reject] = []
    with stage(
        sources,
        reject=rejects.append,
        images_root=images_root,
        folder_categories=folder_categories,
    ) as staged:
        items = {item.product.product_id: item for item in staged}
        assert staged.products == len(items)
    archives.close_archives()
    return items, rejects


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in "abcde":
        (folder / f"{name}.jpg").write_bytes(name.encode())
    return folder


def write(folder: Path, text: str | bytes, name: str = "feed.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def make_zip(path: Path, members: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_table(shop: Path) -> None:
    feed = write(shop, "product_id,image_path,title\n1,a.jpg,A\n2,b.jpg|c.jpg,B\n1,d.jpg,A\n")
    items, rejects = gather(feed)
    root = os.path.realpath(shop)
    assert items["1"].images == (f"{root}/a.jpg", f"{root}/d.jpg")
    assert items["2"].images == (f"{root}/b.jpg", f"{root}/c.jpg")
    assert (items["1"].source, items["1"].line, items["2"].line) == (str(feed), 2, 3)
    assert not items["1"].named_by_path
    assert rejects == []
    assert read_bytes(items["2"].images[1], 9) == b"c"


def test_only_bad_rows_are_passed_over(shop: Path) -> None:
    feed = write(
        shop,
        "id,image,title,price\n"
        "1,a.jpg,A,1\n"
        ",a.jpg,no id,\n"
        "3,a.jpg,bad price,-1\n"
        "4,a.jpg,too,many,fields\n"
        "5,gone.jpg,missing,\n"
        "6,../secret.jpg,outside,\n"
        "7,https://x.example/z.jpg,remote,\n"
        "8,,no picture,\n"
        "1,b.jpg,other data,1\n"
        "10,a.jpg|gone.jpg,half,\n"
        "11\n"
        "12,e.jpg,good,\n",
    )
    items, rejects = gather(feed)
    assert list(items) == ["1", "10", "12"]
    assert [(reject.line, reject.product_id, reject.image) for reject in rejects] == [
        (3, "", ""), (4, "3", ""), (5, "", ""), (10, "1", ""), (6, "5", "gone.jpg"),
        (7, "6", "../secret.jpg"), (8, "7", "https://x.example/z.jpg"), (9, "8", ""),
        (11, "10", "gone.jpg"), (12, "11", ""),
    ]  # fmt: skip
    reasons = {reject.line: reject.reason for reject in rejects}
    assert "line 2" in reasons[10]
    assert "--images" in reasons[8]
    assert all(reject.source == str(feed) for reject in rejects)


def test_remote_pictures_are_looked_for_beside_the_feed(shop: Path, tmp_path: Path) -> None:
    feed = write(tmp_path, "id,image_link\n1,https://cdn.example/x/a.jpg?v=2\n2,b.jpg\n")
    assert gather(feed)[0] == {}
    items, rejects = gather(feed, images_root=shop)
    assert [Path(item.images[0]).name for item in items.values()] == ["a.jpg", "b.jpg"]
    assert rejects == []


def test_progress(shop: Path) -> None:
    feed = write(shop, "id,image\n" + "".join(f"{n},a.jpg\n" for n in range(2500)))
    seen: list[int] = []
    with stage([feed], reject=lambda reject: None, progress=seen.append) as staged:
        assert (staged.products, staged.images) == (2500, 2500)
    assert seen == [1000, 2000, 2500]


def test_several_sources_are_staged_together(shop: Path) -> None:
    first = write(shop, "id,image,title\n1,a.jpg,A\n2,a.jpg,B\n", "one.csv")
    second = write(shop, '{"id": 1, "image": "b.jpg", "title": "A"}\n{"id": 2, "image": "c.jpg"}',
                   "two.jsonl")  # fmt: skip
    items, rejects = gather(first, second, first)
    assert len(items["1"].images) == 2
    (reject,) = rejects
    assert (reject.source, reject.line, reject.product_id) == (str(second), 2, "2")
    assert f"line 3 of {first}" in reject.reason


def test_json_lines(shop: Path) -> None:
    lines = [
        json.dumps({"product_id": "1", "images": ["a.jpg", "b.jpg"], "price": 5}),
        "[]",
        "{",
        "",
        json.dumps({"product_id": "2", "image": "x.jpg"}),
        json.dumps({"title": "no id", "image": "a.jpg"}),
        json.dumps({"product_id": "3", "image": "c.jpg", "colour": "red"}),
    ]
    items, rejects = gather(write(shop, "\n".join(lines), "feed.JSONL"))
    assert list(items) == ["1", "3"]
    assert items["3"].product.attributes == {"colour": "red"}
    assert items["3"].line == 7
    assert [reject.line for reject in rejects] == [2, 3, 6, 5]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("f.csv", "title,price\nx,1\n", "product_id.*image_path.*it has: title, price"),
        ("f.csv", "id,price\nx,1\n", "no column image_path"),
        ("f.csv", "", "empty"),
        ("f.tsv", "id\timage\timage\ttitle\ttitle\n", "two columns"),
        ("f.csv", ",".join(f"c{n}" for n in range(10_000)), "10,000 columns"),
        ("f.csv", "id,image\n".encode("utf-16-le"), "NUL"),
        ("f.csv", b"id,image,gr\xf6\xdfe\n", "not UTF-8"),
        ("f.zip", "not a zip", "not a ZIP"),
        ("f.xlsx", "x", "no kind that can be read"),
        ("f", "x", "no kind that can be read"),
    ],
)
def test_feeds_that_cannot_be_read(tmp_path: Path, name: str, data: str, reason: str) -> None:
    feed = write(tmp_path, data, name)
    with pytest.raises(FeedError, match=reason) as caught:
        gather(feed)
    assert str(feed) in str(caught.value)


def test_sources_that_are_not_there(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(FeedError, match="does not exist"):
        gather(shop, tmp_path / "none.csv")
    with pytest.raises(FeedError, match="not a folder"):
        gather(shop, images_root=tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(FeedError, match="no kind"):
        gather(tmp_path / "pipe.csv")


def test_a_folder(shop: Path) -> None:
    (shop / "Rain wear/jackets").mkdir(parents=True)
    (shop / "Rain wear/jackets/red_trail-jacket.PNG").touch()
    (shop / ".git").mkdir()
    for name in (".git/x.jpg", ".hidden.jpg", "notes.txt", "feed.csv"):
        (shop / name).touch()
    items, rejects = gather(shop, folder_categories=True)
    assert list(items) == ["Rain wear/jackets/red_trail-jacket.PNG", *(f"{n}.jpg" for n in "abcde")]
    item = next(iter(items.values()))
    assert item.product.title == "red trail jacket"
    assert item.product.category == "Rain wear > jackets"
    assert (item.named_by_path, item.line, item.source) == (True, 0, str(shop))
    assert item.images == (os.path.realpath(shop / item.product.product_id),)
    assert gather(shop)[0]["a.jpg"].product.category == ""
    assert rejects == []


def test_links_in_a_folder(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    (shop / "in.jpg").symlink_to("a.jpg")
    (shop / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (shop / "away").symlink_to(tmp_path)
    (shop / "same").symlink_to(shop)
    items, rejects = gather(shop)
    assert list(items) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "in.jpg"]
    assert {reject.image for reject in rejects} == {"out.jpg", "away"}
    assert all("outside the feed" in reject.reason for reject in rejects)


def test_odd_names_in_a_folder(tmp_path: Path) -> None:
    shop = tmp_path / "odd"
    shop.mkdir()
    for name in (b"gr\xf6\xdfe.jpg", b"a\nb.jpg", "茶 '\"<b>.jpg".encode(), b"back\\slash.jpg"):
        (Path(os.fsdecode(os.fsencode(shop) + b"/" + name))).touch()
    items, rejects = gather(shop)
    assert list(items) == ["back\\slash.jpg", "茶 '\"<b>.jpg"]
    assert [reject.image for reject in rejects] == ["a\nb.jpg", "gr\\udcf6\\udcdfe.jpg"]


def test_the_same_name_in_two_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").touch()
    items, rejects = gather(tmp_path / "one", tmp_path / "two", tmp_path / "one")
    assert items["x.jpg"].source == str(tmp_path / "one")
    assert [(reject.source, reject.product_id) for reject in rejects] == [
        (str(tmp_path / "two"), "x.jpg")
    ]


def test_a_single_picture(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "link.JPG").symlink_to(shop / "a.jpg")
    items, rejects = gather(shop / "b.jpg", tmp_path / "link.JPG")
    assert list(items) == ["b.jpg", "link.JPG"]
    assert items["link.JPG"].named_by_path
    assert read_bytes(items["link.JPG"].images[0], 9) == b"a"
    assert rejects == []


def test_a_zip_with_a_feed(tmp_path: Path) -> None:
    feed = "id,image\n1,i/a.jpg\n2,../b.jpg\n3,../../etc/passwd\n4,/etc/passwd\n5,https://x/c.jpg\n"
    path = make_zip(tmp_path / "f.zip", {
        "shop/feed.csv": feed, "shop/i/a.jpg": b"A", "b.jpg": b"B", "shop/c.jpg": b"C",
        "readme.txt": "", "inner.zip": b"PK", "__MACOSX/shop/._feed.csv": b"x", ".x.csv": "",
    })  # fmt: skip
    items, rejects = gather(path)
    assert [item.images for item in items.values()] == [
        (f"{path}!/shop/i/a.jpg",), (f"{path}!/b.jpg",), (f"{path}!/shop/c.jpg",),
    ]  # fmt: skip
    assert [(reject.line, reject.reason[:21]) for reject in rejects] == [
        (4, "path outside the feed"), (5, "path outside the feed"),
    ]  # fmt: skip
    assert read_bytes(items["2"].images[0], 9) == b"B"
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/c.jpg").touch()
    assert list(gather(path, images_root=tmp_path / "beside")[0]) == ["5"]


def test_a_zip_of_pictures(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.ZIP", {"b/x_1.jpg": b"1", "a.png": b"2", "n.txt": b"", "b/": b""})
    items, rejects = gather(path, folder_categories=True)
    products = [item.product for item in items.values()]
    assert [(product.product_id, product.title, product.category) for product in products] == [
        ("a.png", "a", ""),
        ("b/x_1.jpg", "x 1", "b"),
    ]
    assert all(item.named_by_path for item in items.values())
    assert rejects == []
    assert read_bytes(items["a.png"].images[0], 9) == b"2"


def test_a_zip_with_two_feeds(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {"a.csv": "id,image\n", "b.jsonl": ""})
    with pytest.raises(FeedError, match=r"several feeds \(a\.csv, b\.jsonl\)"):
        gather(path)


def test_a_hostile_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "f.zip", {
        "../slip.jpg": b"x", "/abs.jpg": b"x", "C:/drive.jpg": b"x", "back\\slash.jpg": b"x",
        "a/../../b.jpg": b"x", "good.jpg": b"G", "..\\up.txt": b"x",
    })  # fmt: skip
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        odd = zipfile.ZipInfo("odd.jpg")
        odd.compress_type = zipfile.ZIP_LZMA
        archive.writestr(odd, b"x")
    before = sorted(tmp_path.rglob("*"))
    items, rejects = gather(path)
    assert list(items) == ["good.jpg"]
    assert len(rejects) == 8
    assert sorted(tmp_path.rglob("*")) == before


def test_a_feed_in_a_zip_that_is_damaged(tmp_path: Path) -> None:
    rows = "".join(f"{n},a.jpg,{os.urandom(20).hex()}\n" for n in range(20_000))
    path = make_zip(tmp_path / "f.zip", {"feed.csv": "id,image,t\n" + rows, "a.jpg": b"A"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(FeedError, match="damaged"):
        gather(path)


def test_a_hostile_table(shop: Path) -> None:
    feed = write(
        shop,
        b"id,image,title\n1,a.jpg,A\n2,a.jpg,gr\xf6\xdfe\n3,a.jpg,n\0l\n4,a.jpg,"
        + b"x" * (20 << 20)
        + b'\n5,b.jpg,ok\n6,b.jpg,"open\n7,c.jpg,"fine"\n8,c.jpg,<script>alert(1)</script>\n'
        + b'9,c.jpg,"' + b"y" * 140_000 + b'"\n10,d.jpg,\'=1+1\n11,' + b"z/" * 40_000 + b",x\n",
    )  # fmt: skip
    items, rejects = gather(feed)
    assert list(items) == ["1", "5", "7", "8", "10"]
    assert items["10"].product.title == "=1+1"
    assert [reject.line for reject in rejects] == [3, 4, 5, 7, 10, 12]
    assert all(len(reject.image) <= 500 for reject in rejects)


def test_shopify(shop: Path) -> None:
    header = ("Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Variant Price,"
              "Image Src,Image Position,Variant Image\n")  # fmt: skip
    feed = write(
        shop,
        header
        + "tee,Tee,<p>Soft</p>,Acme,Shirts,Size,S,9.50,https://cdn.example/a.jpg?v=1,1,\n"
        + "mug,Mug,,Acme,Mugs,Title,Default Title,5,c.jpg,1,\n"
        + "tee,,,,,,M,11,b.jpg,2,d.jpg\n"
        + "tee,,,,,,L,11,,,\n"
        + "ghost,,,,,,,,e.jpg,1,\n"
        + "bare,Bare,,,,,,,,,\n",
    )
    items, rejects = gather(feed)
    tee = items["tee"]
    assert [Path(image).name for image in tee.images] == ["a.jpg", "b.jpg", "d.jpg"]
    assert (tee.product.price, tee.product.description, tee.product.brand) == (9.5, "Soft", "Acme")
    assert tee.product.category == "Shirts"
    assert items["mug"].product.attributes == {}
    assert [(reject.line, reject.product_id) for reject in rejects] == [(6, "ghost"), (7, "bare")]


def test_shopify_options_of_rows_that_stand_together(shop: Path) -> None:
    feed = write(
        shop,
        "Handle,Title,Option1 Name,Option1 Value,Image Src\n"
        "tee,Tee,Size,S,a.jpg\ntee,,,M,\ntee,,,L,\ntee,,,M,\n",
    )
    assert gather(feed)[0]["tee"].product.attributes == {"Size": "S, M, L"}


def test_google(shop: Path) -> None:
    feed = write(
        shop,
        "id\ttitle\tdescription\tlink\timage_link\tadditional_image_link\tproduct_type\tprice\n"
        '1\tTV\t20" wide\thttps://x.example/1\ta.jpg\tb.jpg,c.jpg\tHome > TV\t19.99 USD\n',
        "google.txt",
    )
    items, rejects = gather(feed)
    product = items["1"].product
    assert (product.price, product.currency, product.category) == (19.99, "USD", "Home > TV")
    assert product.description == '20" wide'
    assert len(items["1"].images) == 3
    assert rejects == []


def test_exported_formulas_come_back(shop: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "'=1", "''+", "'tis", "plain", '"quoted", yes', "two\nlines"]
    with (shop / "feed.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["product_id", "image_path", "title"])
        for number, text in enumerate(texts):
            writer.writerow([quote_formula(cell) for cell in (f"={number}", "a.jpg", text)])
    items, rejects = gather(shop / "feed.csv")
    assert [item.product.title for item in items.values()] == texts
    assert list(items) == [f"={number}" for number in range(len(texts))]
    assert rejects == []


def test_an_error_closes_the_staging_area(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Staged] = []
    monkeypatch.setattr(Staged, "close", lambda staged: closed.append(staged))

    def refuse(reject: Reject) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        stage([write(shop, "id,image\n1,none.jpg\n")], reject=refuse)
    assert len(closed) == 1


@pytest.mark.skipif(
    not (DATA / "products.csv").exists(), reason="the development photos are absent"
)
def test_a_real_feed() -> None:
    items, rejects = gather(DATA / "products.csv")
    assert (len(items), rejects) == (3453, [])
    assert all(len(item.images) == 1 for item in items.values())
    assert items["luma:WT09:yellow"].product.category == "Women > Tops > Bras & Tanks"
    assert items["luma:WT09:yellow"].product.price == 34.0
