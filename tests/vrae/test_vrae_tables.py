"""Tables as programs and people write them: each peculiarity is handled and said, or refused by the
name of its column."""

import sys

import numpy as np
import pytest

from seqvae.data.tables import read_csv, read_table, read_ts
from vrae.archive import installed_sets, read_set


def table(tmp_path, text, encoding="utf-8", **options):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    return read_table(path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": ["Y"], "label": "y"}, "--drop, --label: expected different columns, got 'y' for"),
        ({"id": "s", "time": "s"}, "--id, --time: expected different columns, got 's' for both"),
    ],
)
def test_two_flags_that_name_one_column_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, "s,x,y\na,1,2\na,3,2\n", **options)


def test_series_labels_and_names(tmp_path):
    found = table(tmp_path, "x,sequence, y,label\n1,a,2,5\n3,b,4,6\n5,a,6,5\n")
    series = found.series
    np.testing.assert_array_equal(series.sequences, [[[1, 2], [5, 6]], [[3, 4], [0, 0]]])
    assert series.labels.tolist() == [5, 6] and series.mask.tolist() == [[1, 1], [1, 0]]
    assert series.ids.tolist() == ["a", "b"] and series.names == ("x", "y") and not found.notes
    one = table(tmp_path, "x\n1\n2\n3\n").series
    assert one.sequences.shape == (1, 3, 1) and one.labels is None and one.ids is None
    assert read_csv(tmp_path / "a.csv").names == ("x",)
    named = table(tmp_path, "Who,When,x\na,1,2\na,2,3\n", id="who", time="when")
    assert (named.id_name, named.time_name) == ("Who", "When")


@pytest.mark.parametrize(
    "text, options",
    [
        ("\ufeffsequence,x,y\na,1,2\na,3,4\nb,5,6\n", {}),  # a byte-order mark
        ("Sequence,x,y\na,1,2\na,3,4\nb,5,6\n", {}),
        ("sequence;x;y\na;1,0;2\na;3;4,0\nb;5;6\n", {}),  # decimal commas
        ("sequence\tx\ty\na\t1\t2\na\t3\t4\nb\t5\t6\n", {}),
        ("sequence,x,y\r\na,1,2\r\n\r\na,3,4\r\nb,5,6\r\n\r\n", {}),  # blank lines
        (",sequence,x,y\n0,a,1,2\n1,a,3,4\n2,b,5,6\n", {}),  # pandas numbers the rows
        ("who,x,y,note\na,1,2,p\na,3,4,q\nb,5,6,r\n", {"id": "WHO", "drop": ["note"]}),
        ("id,Date,x,y\na,2024-01-02,3,4\na,2024-01-01,1,2\nb,2024-01-01,5,6\n", {}),
        ("id,t,x,y\na,10,3,4\na,9,1,2\nb,1,5,6\n", {"time": "t"}),  # numbers, not words
        ("y,id,z,x\n2,a,word,1\n4,a,word,3\n6,b,word,5\n", {"features": ("x", "y")}),
    ],
    ids=[
        "mark",
        "capitals",
        "semicolons",
        "tabs",
        "blank",
        "index",
        "named",
        "dates",
        "times",
        "features",
    ],
)
def test_the_same_series_in_many_forms(tmp_path, text, options):
    series = table(tmp_path, text, **options).series
    np.testing.assert_array_equal(series.sequences, [[[1, 2], [3, 4]], [[5, 6], [0, 0]]])
    assert series.names == ("x", "y") and series.ids.tolist() == ["a", "b"]


def test_what_is_done_to_a_column_is_said(tmp_path):
    text = "index,id,time,x,y\n0,a,5,1,\n1,a,3,2,NA\n2,a,4,3,7\n"
    found = table(tmp_path, text)
    assert found.notes == [
        "column 'id' is read as --id.",
        "column 'time' is read as --time.",
        "column 'index' numbers the rows and is left out.",
        "the rows of 1 series are not in the order of 'time': sorted by it.",
        "2 of 6 numbers are missing (y 2).",
    ]
    np.testing.assert_array_equal(found.series.sequences[0, :, 0], [2, 3, 1])
    np.testing.assert_array_equal(found.series.sequences[0, :, 1], [np.nan, 7, np.nan])
    assert found.series.times is None  # even steps


def test_uneven_times_are_kept(tmp_path):
    text = "id,time,x\na,2024-01-01 00:00,1\na,2024-01-01 00:01,2\na,2024-01-01 00:05,3\n"
    found = table(tmp_path, text + "b,2024-01-01,1\n")
    np.testing.assert_array_equal(np.diff(found.series.times), [[60, 240], [0, 0]])
    assert "the steps of 'time' are uneven, from 60 to 240 s." not in found.notes
    assert any("uneven, from 60 to 240" in note for note in found.notes)


def test_labels_may_be_words_and_lie_in_any_row(tmp_path):
    series = table(tmp_path, "id,Class,x\na,,1\na,run,2\nb,walk,3\n").series
    assert series.labels.tolist() == ["run", "walk"]


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("x,y\n", {}, "expected a line of names and at least one of numbers"),
        ("x,y\n1,2\n3,word\n", {}, "line 3: column 'y': expected numbers, got a word, 'word'"),
        ("x,y\n1,2024-01-31\n", {}, "line 2: column 'y': .* got a date.*--time=y"),
        ("x,y\n1\n", {}, "line 2: expected 2 values"),
        ("x,y\n1,inf\n", {}, "line 2: column 'y': expected a finite number, got 'inf'"),
        ("x,y\n1,\n2,\n", {}, "column 'y' is empty. Leave it out: --drop=y"),
        ("x,X\n1,2\n", {}, "expected columns of different names, got x more than once"),
        ("1,2\n3,4\n", {}, "expected the names of the columns in the first line, got numbers"),
        ("id,x\n1,2\n2,3\n", {}, "every row has an 'id' of its own"),
        ("id,x\na,2\n,3\n", {}, "line 3: column 'id': expected the series' id, got an empty"),
        ("id,series,x\na,b,2\n", {}, "id and series may each be the column of --id"),
        ("id,label,x\na,p,2\na,q,3\n", {}, "one label a series, got p, q in the series 'a'"),
        ("id,label,x\na,,2\na,,3\n", {}, "one label a series, got none in the series 'a'"),
        ("time,x\n1,2\n1,3\n", {}, "lines 2 and 3 of the series '' have the same time"),
        ("time,x\n1,2\nnoon,3\n", {}, "line 3: column 'time': expected a number or a date"),
        ("x,y\n1,2\n", {"id": "z"}, "--id: expected one of the columns x, y of .*got 'z'"),
        ("x,y\n1,2\n", {"drop": ["z"]}, "--drop: expected one of the columns x, y"),
        ("x\n1\n", {"drop": ["x"]}, "expected at least one column of numbers"),
        ("x\n1\n", {"features": ["y"]}, "features of the run: expected one of the columns x"),
        ("id,x\na,1\na,2\nb,\nb,\n", {}, "number 1 holds no observed number"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message) as error:
        table(tmp_path, text, **options)
    assert "a.csv" in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="not a readable CSV file in UTF-8"):
        table(tmp_path, "x\n\u00e9\n", "latin-1")
    for read in (read_csv, read_ts):
        with pytest.raises(FileNotFoundError, match="no such file"):
            read(tmp_path / "none.csv")


def test_a_table_without_ids_is_said_to_be_one_series(tmp_path):
    (note,) = table(tmp_path, "x,y\n1,2\n3,4\n").notes
    assert note.startswith("no column names the series (--id): the 2 rows are one series of 2")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """aeon and sktime with a set or two, in place of those that are installed."""
    for package, names in (("aeon", ("One", "Two")), ("sktime", ("One", "Three"))):
        for name in names:
            folder = tmp_path / package / "datasets" / "data" / name
            folder.mkdir(parents=True)
            for part, value in (("TRAIN", 1), ("TEST", 2)):
                text = f"@classLabel true a b\n@data\n{value},2:a\n{value},2,{len(package)}:b\n"
                (folder / f"{name}_{part}.ts").write_text(text)
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_sets_of_installed_packages_are_read_without_their_import(packages):
    assert set(installed_sets()) == {"One", "Two", "Three"}
    train, test = read_set("One")  # of aeon, the first package
    np.testing.assert_array_equal(train.sequences[..., 0], [[1, 2, 0], [1, 2, 4]])
    assert test.sequences[0, 0, 0] == 2 and test.labels.tolist() == ["a", "b"]
    assert read_set("Three")[0].sequences[1, 2, 0] == len("sktime")
    with pytest.raises(ValueError, match="name: expected one of One, Three, Two, got 'Four'"):
        read_set("Four")


def test_without_the_packages_their_names_are_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="ship in aeon and sktime; neither is installed"):
        read_set("GunPoint")


def test_files_of_the_archives(tmp_path):
    path = tmp_path / "a.ts"
    head = "#about\n@problemName a\n@classLabel true u v\n@data\n"
    path.write_text(head + "1,2,3:4,5,6:u\n7,?:8,9:v\n\n")
    series = read_ts(path)
    np.testing.assert_array_equal(
        series.sequences, [[[1, 4], [2, 5], [3, 6]], [[7, 8], [np.nan, 9], [0, 0]]]
    )
    assert series.labels.tolist() == ["u", "v"]
    for text, message in (
        ("1,2\n", "expected a .ts file with the line @data"),
        ("@timeStamps true\n@data\n1\n", "without time stamps"),
        ("@data\n1,word\n", "line 2: expected numbers"),
        ("@data\n", "expected at least one, got none"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_ts(path)
