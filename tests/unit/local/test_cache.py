"""What comes from a registry is used only when it is what the checksums say."""

from pathlib import Path

from deploy.local.cache import read_checksums, sha256_of, verified, wrong_files


def _directory(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("a.jar", "b.jar"):
        (jars / name).write_text(f"content of {name}")
    sums = tmp_path / "sums"
    sums.write_text("".join(f"{sha256_of(jars / name)}  {name}\n" for name in ("a.jar", "b.jar")))
    return jars, read_checksums(sums)


def test_a_directory_with_the_right_content_is_verified_and_stays_so(tmp_path: Path) -> None:
    jars, sums = _directory(tmp_path)
    assert verified(jars, sums, tmp_path / "stamp")
    assert verified(jars, sums, tmp_path / "stamp")


def test_a_changed_file_is_found_although_the_directory_was_verified_before(tmp_path: Path) -> None:
    jars, sums = _directory(tmp_path)
    assert verified(jars, sums, tmp_path / "stamp")
    (jars / "b.jar").write_text("content of b.exe")
    assert not verified(jars, sums, tmp_path / "stamp")
    assert wrong_files(jars, sums) == ["b.jar"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    jars, sums = _directory(tmp_path)
    (jars / "a.jar").unlink()
    assert not verified(jars, sums, tmp_path / "stamp")
    assert wrong_files(jars, sums) == ["a.jar"]


def test_a_stamp_of_other_checksums_does_not_count(tmp_path: Path) -> None:
    jars, sums = _directory(tmp_path)
    assert verified(jars, sums, tmp_path / "stamp")
    assert not verified(jars, {**sums, "a.jar": "0" * 64}, tmp_path / "stamp")
