"""Every element type and layout is summed correctly, or refused by name."""

from __future__ import annotations

import datetime
import sys
import types
from collections import OrderedDict
from typing import Any

import cipherfold as cf
import ml_dtypes
import numpy as np
import numpy.ma
import pytest
import scipy.sparse  # type: ignore[import-untyped]
from conftest import Round, same

GRID = cf.Quantizer(clip=8.0, bits=16)


def decoded(key: cf.SecretKey, round_number: int, array: Any, codec: Any = GRID, chunk: int = 1) -> Any:
    """The server's result for two clients that both send this array in many messages."""
    update = {"x": array, "beside": np.zeros(3)}
    codecs = {"x": codec, "beside": GRID}
    spec = cf.RoundSpec.for_arrays(update, codecs, max_clients=2, round=round_number, key=key, chunk_ciphertexts=chunk)
    return Round(key, spec, [update] * 2).run().values["x"]


FLOATS = np.random.default_rng(7).normal(size=(12, 5, 7))
LAYOUTS = {
    "row-major": FLOATS,
    "column-major": np.asfortranarray(FLOATS),
    "transposed": FLOATS.transpose(2, 0, 1),
    "negative strides": FLOATS[::-1, :, ::-2],
    "strided": np.repeat(FLOATS, 3, axis=1)[:, ::3],
    "broadcast": np.broadcast_to(FLOATS[:, :1], FLOATS.shape),
    "read-only": FLOATS.copy(),
    "unaligned": np.frombuffer(b"x" + FLOATS.tobytes(), dtype=np.float64, offset=1).reshape(FLOATS.shape),
    "no dimensions": np.array(1.25),
    "no elements": np.zeros((0, 3)),
    "length one": np.array([[[2.5]]]),
    "matrix": np.asmatrix(FLOATS[0]),
}
LAYOUTS["read-only"].flags.writeable = False


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_layouts(key: cf.SecretKey, round_number: int, name: str, dtype: type) -> None:
    array = LAYOUTS[name]
    array = array if dtype is np.float64 else array.astype(dtype, order="K")
    values = decoded(key, round_number, array)
    assert values.shape == array.shape and values.dtype == (np.float32 if dtype is np.float16 else dtype)
    assert values.flags.writeable and values.flags.c_contiguous
    assert np.abs(values - np.asarray(array)).max(initial=0) <= GRID.error_bound + 1e-6
    expected = cf.simulate.secure_aggregate([{"x": np.array(array)}] * 2, GRID, in_the_clear=True)
    assert same(values, expected.values["x"])


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("layout", ["row-major", "column-major", "negative strides"])
def test_integers(key: cf.SecretKey, round_number: int, name: str, layout: str) -> None:
    info = np.iinfo(name)
    lowest, highest = max(info.min, -(2**31)), min(info.max, 2**31)
    array = np.random.default_rng(7).integers(lowest, highest, size=(50, 7), endpoint=True).astype(name)
    array[0, 0], array[1, 1] = lowest, highest
    array = {"row-major": array, "column-major": np.asfortranarray(array), "negative strides": array[::-1, ::-1]}[layout]
    values = decoded(key, round_number, array, cf.Integers(max=highest, min=lowest))
    assert values.tolist() == [[2 * value for value in row] for row in array.tolist()]


def test_truth_values_are_counted(key: cf.SecretKey, round_number: int) -> None:
    array = np.array([[True, False], [False, True]]).T[::-1]
    values = decoded(key, round_number, array, cf.Integers(max=1))
    assert values.dtype == np.uint64 and values.tolist() == (2 * array).tolist()


def test_bfloat16(key: cf.SecretKey, round_number: int) -> None:
    array = np.linspace(-3, 3, 600).reshape(20, 30).astype(ml_dtypes.bfloat16)
    for layout in (array, array.T, np.array(1.5, ml_dtypes.bfloat16)):
        values = decoded(key, next_round(), layout)
        assert values.dtype == np.float32 and values.shape == layout.shape
        assert np.abs(values - layout.astype(np.float32)).max() <= GRID.error_bound + 1e-6


def next_round() -> int:
    from conftest import _rounds

    return next(_rounds)


def test_half_and_single_precision_are_one_type_in_a_round(key: cf.SecretKey, round_number: int) -> None:
    single = np.linspace(-1, 1, 100).astype(np.float16).astype(np.float32)
    spec = cf.RoundSpec.for_arrays(single.astype(np.float16), GRID, max_clients=3, round=round_number)
    updates = [single, single.astype(np.float16), single]
    assert np.abs(Round(key, spec, updates).run().values - single).max() <= GRID.error_bound + 1e-6


class Tensor:
    """The part of a torch tensor that this package uses."""

    def __init__(self, array: Any, dtype: str = "torch.float32", device: str = "cpu", layout: str = "torch.strided") -> None:
        self.array, self.dtype, self.layout = array, dtype, layout
        self.device = types.SimpleNamespace(type=device.split(":")[0])
        self.requires_grad = True

    def detach(self) -> Tensor:
        other = Tensor(self.array, self.dtype, "cpu", self.layout)
        other.requires_grad = False
        return other

    def view(self, dtype: str) -> Tensor:
        assert dtype == "torch.int16"
        return Tensor(self.array.view(np.int16), dtype).detach()

    def numpy(self) -> Any:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


def test_tensors_of_torch(key: cf.SecretKey, round_number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.linspace(-1, 1, 60, dtype=np.float32).reshape(6, 10)
    assert np.allclose(decoded(key, round_number, Tensor(array)), array, atol=GRID.error_bound + 1e-6)
    assert "torch" not in sys.modules
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(int16="torch.int16"))
    halves = array.astype(ml_dtypes.bfloat16)
    values = decoded(key, next_round(), Tensor(halves.T, "torch.bfloat16"))
    assert values.dtype == np.float32 and np.allclose(values, halves.T.astype(np.float32), atol=GRID.error_bound + 1e-6)


class WithArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.arange(4.0)


def test_objects_with_an_array(key: cf.SecretKey, round_number: int) -> None:
    assert np.allclose(decoded(key, round_number, WithArray()), np.arange(4.0), atol=GRID.error_bound)
    assert np.allclose(decoded(key, next_round(), np.float64(1.5)), 1.5, atol=GRID.error_bound)


REFUSED: dict[str, tuple[Any, str]] = {
    "object": (np.array([1, 2.5, None], dtype=object), "dtype object"),
    "big-endian": (np.zeros(3, ">f4"), "newbyteorder"),
    "big-endian integers": (np.zeros(3, ">i8"), "newbyteorder"),
    "complex": (np.zeros(3, complex), "real and its imaginary part"),
    "text": (np.array(["a", "b"]), "dtype <U1"),
    "bytes": (np.array([b"a"]), "dtype |S1"),
    "dates": (np.array(["2026-11-27"], "datetime64[D]"), "dtype datetime64[D]"),
    "durations": (np.array([3], "timedelta64[s]"), "dtype timedelta64[s]"),
    "records": (np.zeros(2, [("a", "f4"), ("b", "i4")]), "dtype"),
    "long double": (np.zeros(2, np.longdouble), "numpy.float32"),
    "float8": (np.zeros(2, ml_dtypes.float8_e4m3fn), "float8_e4m3fn"),
    "int4": (np.zeros(2, ml_dtypes.int4), "int4"),
    "masked": (np.ma.masked_array([1.0, 2.0], [True, False]), "array.filled"),
    "sparse": (scipy.sparse.csr_matrix(np.eye(3)), "toarray()"),
    "sparse array": (scipy.sparse.coo_array(np.eye(3)), "toarray()"),
    "number": (1.5, "numpy.asarray"),
    "none": (None, "NoneType"),
    "text itself": ("weights", "numpy.asarray"),
    "bytes themselves": (b"\0\0\0\0", "numpy.asarray"),
    "date": (datetime.date(2026, 11, 27), "numpy.asarray"),
    "set": ({1.0}, "numpy.asarray"),
    "generator": ((value for value in (1.0, 2.0)), "numpy.asarray"),
    "class": (np.ndarray, "numpy.asarray"),
    "cuda": (Tensor(np.zeros(3), device="cuda:0"), "tensor.cpu()"),
    "meta": (Tensor(np.zeros(3), device="meta"), "tensor.cpu()"),
    "sparse tensor": (Tensor(np.zeros(3), layout="torch.sparse_coo"), "to_dense()"),
    "complex tensor": (Tensor(np.zeros(3, complex), "torch.complex64"), "real and its imaginary part"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_array_and_a_remedy(key: cf.SecretKey, name: str) -> None:
    refused, told = REFUSED[name]
    with pytest.raises(cf.DtypeError) as caught:
        cf.RoundSpec.for_arrays({"layer": {"w": refused}}, GRID, max_clients=2)
    assert caught.value.array == "layer/w" and caught.value.kind == "python.Dtype"
    assert "'layer/w'" in str(caught.value) and told in str(caught.value)
    spec = cf.RoundSpec.for_arrays({"layer": {"w": np.zeros(3)}}, GRID, max_clients=2)
    with pytest.raises(cf.DtypeError) as caught:
        cf.Client(spec, key.public).encrypt({"layer": {"w": refused}})
    assert caught.value.array == "layer/w" and isinstance(caught.value, (TypeError, ValueError))


def test_a_round_needs_values() -> None:
    empty: Any
    for empty in ({}, [], np.zeros((0, 3)), {"a": np.zeros(0), "b": []}):
        with pytest.raises(cf.ConfigError) as caught:
            cf.RoundSpec.for_arrays(empty, GRID, max_clients=2)
        assert caught.value.kind == "python.NothingToSum"
    assert cf.RoundSpec.for_arrays([], GRID, max_clients=2, max_weight=3).messages == 1


def test_ragged_lists_are_refused_at_their_first_number() -> None:
    with pytest.raises(cf.DtypeError) as caught:
        cf.RoundSpec.for_arrays({"w": [[1.0, 2.0], [3.0]]}, GRID, max_clients=2)
    assert caught.value.array == "w/0/0"


def test_an_array_that_raises_is_refused_with_its_message() -> None:
    class Broken:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("no memory left")

    with pytest.raises(cf.DtypeError, match="no memory left"):
        cf.RoundSpec.for_arrays({"w": Broken()}, GRID, max_clients=2)


def test_structures_with_endless_nesting() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(cf.ConfigError) as caught:
        cf.RoundSpec.for_arrays(endless, GRID, max_clients=2)
    assert caught.value.kind == "federated.StructureDepth" and caught.value.maximum == 128
    deep: Any = np.zeros(1)
    for _ in range(128):
        deep = (deep,)
    assert cf.RoundSpec.for_arrays(deep, GRID, max_clients=2).values == 1


def test_mappings_of_any_kind() -> None:
    arrays = OrderedDict([("b", np.zeros(1)), ("a", types.MappingProxyType({"c": np.zeros(2)}))])
    assert cf.RoundSpec.for_arrays(arrays, GRID, max_clients=2).names == ["b", "a/c"]
    with pytest.raises(cf.UpdateError) as caught:
        cf.RoundSpec.for_arrays({"a": {1: np.zeros(1)}}, GRID, max_clients=2)
    assert caught.value.kind == "python.NameType" and (caught.value.path, caught.value.found) == ("a", "int")


def test_codecs_by_name() -> None:
    arrays = {"a": {"x": np.zeros(2), "y": np.zeros(2)}, "n": np.zeros(3, np.int64)}
    spec = cf.RoundSpec.for_arrays(arrays, {"n": cf.Integers(max=3), "a": GRID}, max_clients=2)
    assert spec.error_bounds == {"a/x": GRID.error_bound, "a/y": GRID.error_bound, "n": 0.0}
    several: list[tuple[dict[str, Any], list[str], list[str]]] = [
        ({"a": GRID}, ["n"], []),
        ({"a": GRID, "n": cf.Integers(max=1), "z": GRID}, [], ["z"]),
    ]
    for codecs, missing, unexpected in several:
        with pytest.raises(cf.ConfigError) as caught:
            cf.RoundSpec.for_arrays(arrays, codecs, max_clients=2)
        assert caught.value.kind == "python.Codecs"
        assert (caught.value.missing, caught.value.unexpected) == (missing, unexpected)
    wrong: list[Any] = ["int8", None, {"a": {"x": 3, "y": GRID}, "n": cf.Integers(max=1)}]
    for codec in wrong:
        with pytest.raises(cf.ConfigError) as caught:
            cf.RoundSpec.for_arrays(arrays, codec, max_clients=2)
        assert caught.value.kind == "python.CodecType"
    with pytest.raises(cf.ConfigError) as caught:
        cf.RoundSpec.for_arrays(arrays, GRID, max_clients=2)
    assert caught.value.kind == "federated.EncodingType" and (caught.value.array, caught.value.dtype) == ("n", "i64")


def test_arrays_that_change_while_they_are_encrypted(key: cf.SecretKey, round_number: int) -> None:
    array = np.full(1000, 0.5)
    spec = cf.RoundSpec.for_arrays({"w": array}, cf.Quantizer(), max_clients=2, round=round_number, key=key, chunk_ciphertexts=1)
    updates = [cf.Client(spec, key.public, number=number).encrypt({"w": array}) for number in range(2)]
    # Values that cannot be encoded any more are refused when they are read.
    messages = iter(updates[0])
    next(messages)
    array[700] = np.nan
    with pytest.raises(cf.UpdateError) as caught:
        list(messages)
    assert (caught.value.array, caught.value.index) == ("w", 700)
    # After an error, no caller gets the remaining messages.
    with pytest.raises(cf.Cancelled):
        next(messages)
    # Changed values are sent as they are.
    array[:] = 0.25
    aggregator = cf.Aggregator(spec, key.public)
    aggregator.add(1, updates[1])
    aggregator.add(0, cf.Client(spec, key.public, number=0).encrypt({"w": np.full(1000, 0.75)}))
    assert np.allclose(cf.Server(spec, key).decrypt(aggregator.finish()).values["w"], 0.5, atol=spec.error_bound)


def test_results_are_arrays_that_numpy_owns(key: cf.SecretKey, round_number: int) -> None:
    values = decoded(key, round_number, np.zeros((100, 100), np.float32), chunk=1024)
    values += 1
    values.resize((50, 200), refcheck=False) if values.flags.owndata else None
    assert values.sum() == 10_000
