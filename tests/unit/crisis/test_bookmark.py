"""The bookmark: whose it is, what damage does to it, and that it is replaced whole."""

from pathlib import Path

import pytest

from services.crisis.gateways.bookmark import Bookmark, BookmarkFile

KEPT = Bookmark("cluster-1", "vigil.risk.v1", {0: 17, 3: 4}, -0.125)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bookmark.json"


def test_what_is_written_is_read(path: Path) -> None:
    BookmarkFile(path).write(KEPT)
    assert BookmarkFile(path).read() == KEPT


def test_without_a_file_there_is_an_empty_one(path: Path) -> None:
    assert BookmarkFile(path).read() == Bookmark()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"cluster_id": "c", "topic": "t", "offsets": {"a": 1}, "skew_s": 0}', "\x00" * 20]
)
def test_damage_is_no_bookmark(path: Path, text: str) -> None:
    path.write_text(text)
    assert BookmarkFile(path).read() == Bookmark()


def test_it_fits_its_own_cluster_and_topic_only() -> None:
    assert KEPT.fits("cluster-1", "vigil.risk.v1")
    assert not KEPT.fits("cluster-2", "vigil.risk.v1")
    assert not KEPT.fits("cluster-1", "stage.risk.v1")
    assert not Bookmark("cluster-1", "vigil.risk.v1").fits("cluster-1", "vigil.risk.v1")


def test_nothing_is_written_when_nothing_changed(path: Path) -> None:
    file = BookmarkFile(path)
    file.write(KEPT)
    path.unlink()
    file.write(KEPT)
    assert not path.exists()
    file.write(Bookmark("cluster-1", "vigil.risk.v1", {0: 18, 3: 4}, -0.125))
    assert BookmarkFile(path).read().offsets == {0: 18, 3: 4}


def test_a_write_that_breaks_off_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = BookmarkFile(path)
    file.write(KEPT)

    def broken(*_names: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("services.crisis.gateways.bookmark.os.replace", broken)
    with pytest.raises(OSError, match="no space"):
        file.write(Bookmark("cluster-1", "vigil.risk.v1", {0: 99}, 0.0))
    assert BookmarkFile(path).read() == KEPT
