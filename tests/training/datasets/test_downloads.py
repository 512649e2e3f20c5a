"""``python -m training.download`` against a server of its own: whole, interrupted, altered, absent."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

import training.download
from training.datasets.dataset import read_dataset
from training.datasets.downloads.resumable import PublishedFile, download
from training.datasets.errors import InputError

CONTENT = bytes(range(256)) * 4096


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Publisher(ThreadingHTTPServer):
    """A server of one archive; it may drop a connection after so many bytes, and know no ranges."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.content, self.checksum = CONTENT, md5(CONTENT)
        self.drop_after, self.knows_ranges, self.ranges = None, True, []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, content):
        self.content, self.checksum = content, md5(content)

    @property
    def file(self):
        return PublishedFile(f"{self.address}/file", self.checksum, "md5", len(self.content))


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if self.path == "/article":
            described = {"name": "FracAtlas.zip", "size": len(server.content), "computed_md5": server.checksum}
            body, start = json.dumps({"files": [described | {"download_url": f"{server.address}/file"}]}).encode(), 0
        elif self.path == "/file":
            asked = self.headers.get("Range") if server.knows_ranges else None
            server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            body = server.content[start:]
            if asked and not body:
                self.send_error(416)
                return
        else:
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if server.drop_after is None or self.path != "/file" else body[: server.drop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher():
    with Publisher() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def archive_of_fracatlas():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        head = (
            "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"
        )
        content.writestr("FracAtlas/dataset.csv", head + "\n")
        content.writestr("FracAtlas/images/Fractured/IMG1.jpg", b"x" * 100_000)
    return buffer.getvalue()


def test_fracatlas_is_fetched_and_unpacked(publisher, tmp_path, monkeypatch, capsys):
    publisher.publish(archive_of_fracatlas())
    monkeypatch.setattr(training.download, "ARTICLE", f"{publisher.address}/article")
    for _ in range(2):
        assert training.download.main(["fracatlas", "--output", str(tmp_path / "data")]) == 0
        assert str(tmp_path / "data" / "FracAtlas") in capsys.readouterr().out
    assert publisher.ranges == [None]  # the second time there is nothing to fetch
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["FracAtlas"]
    with pytest.raises(InputError, match="the table is empty"):  # it is read as FracAtlas
        read_dataset(tmp_path / "data")


def test_an_interrupted_download_goes_on_where_it_was(publisher, tmp_path):
    publisher.drop_after = 300_000
    with pytest.raises(InputError, match="interrupted.*run the command again") as error:
        download(publisher.file, tmp_path / "a.zip")
    assert "\n" not in str(error.value)
    assert (tmp_path / "a.zip.partial").stat().st_size == 300_000
    publisher.drop_after = None
    assert download(publisher.file, tmp_path / "a.zip").read_bytes() == CONTENT
    assert publisher.ranges == [None, "bytes=300000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_server_without_ranges_sends_all_of_it_again(publisher, tmp_path):
    (tmp_path / "a.zip.partial").write_bytes(CONTENT[:1000])
    publisher.knows_ranges = False
    assert download(publisher.file, tmp_path / "a.zip").read_bytes() == CONTENT


def test_what_was_fetched_whole_is_checked_and_taken(publisher, tmp_path):
    (tmp_path / "a.zip.partial").write_bytes(CONTENT)
    assert download(publisher.file, tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"", b"another file"])
def test_another_file_than_was_published_is_removed(publisher, tmp_path, left):
    publisher.checksum = "0" * 32
    if left:
        (tmp_path / "a.zip.partial").write_bytes(left)
    with pytest.raises(InputError, match="another md5 than was published"):
        download(publisher.file, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("path", "message"), [("/gone", "404"), ("/file", "describes no FracAtlas.zip")])
def test_a_publisher_that_has_moved_is_told_in_one_line(publisher, tmp_path, monkeypatch, path, message):
    monkeypatch.setattr(training.download, "ARTICLE", publisher.address + path)
    with pytest.raises(SystemExit, match=message) as error:
        training.download.main(["fracatlas", "--output", str(tmp_path)])
    assert str(error.value).startswith("error: ") and "\n" not in str(error.value)


def test_without_a_network_there_is_one_line(publisher, tmp_path, monkeypatch):
    publisher.shutdown()
    publisher.server_close()
    monkeypatch.setattr(training.download, "ARTICLE", f"{publisher.address}/article")
    with pytest.raises(SystemExit, match=r"error: .*no connection.*run the command again") as error:
        training.download.main(["fracatlas", "--output", str(tmp_path)])
    assert "\n" not in str(error.value)


def test_a_checkpoint_is_fetched_in_the_same_way(publisher, tmp_path, capsys):
    entry = {"path": "models/sam_vit_b_1.pth", "url": f"{publisher.address}/file", "hash_type": "sha256"}
    listing = {"large_files": [entry | {"hash_val": hashlib.sha256(CONTENT).hexdigest()}]}
    (tmp_path / "large_files.yml").write_text(yaml.safe_dump(listing))
    assert training.download.main(["sam_vit_b", "--bundle", str(tmp_path)]) == 0
    assert (tmp_path / "models" / "sam_vit_b_1.pth").read_bytes() == CONTENT
    with pytest.raises(SystemExit, match="names no checkpoint sam_vit_l"):
        training.download.main(["sam_vit_l", "--bundle", str(tmp_path)])
