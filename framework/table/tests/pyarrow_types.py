"""Writes pyarrow_types.parquet: column types that pandas and pyarrow users have in their files."""

import decimal
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

table = pa.table({
    "gene": pa.array(["TP53", "NA", "1-Mar"]).dictionary_encode(),
    "f16": pa.array([0.5, -65504.0, None], pa.float16()),
    "f32": pa.array([0.5, float("nan"), -2.0], pa.float32()),
    "f64": pa.array([0.1, 1e300, -0.0], pa.float64()),
    "i8": pa.array([-128, 0, 127], pa.int8()),
    "i16": pa.array([-32768, 0, 32767], pa.int16()),
    "i32": pa.array([-2147483648, 0, 2147483647], pa.int32()),
    "i64": pa.array([-9223372036854775808, 0, 9223372036854775807], pa.int64()),
    "u8": pa.array([0, 1, 255], pa.uint8()),
    "u16": pa.array([0, 1, 65535], pa.uint16()),
    "u32": pa.array([0, 1, 4294967295], pa.uint32()),
    "u64": pa.array([0, 1, 9223372036854775807], pa.uint64()),
    "huge": pa.array([0, 18446744073709551615, 1], pa.uint64()),
    "gaps": pa.array([1, None, 3], pa.int64()),
    "flag": pa.array([True, False, True]),
    "doubt": pa.array([True, None, False]),
    "nothing": pa.array([None, None, None], pa.null()),
    "spans": pa.array([[1], [2, 3], []], pa.list_(pa.int64())),
    "point": pa.array([{"x": 1}, {"x": 2}, {"x": 3}]),
    "day": pa.array([date(2020, 1, 1)] * 3),
    "price": pa.array([decimal.Decimal("1.25")] * 3),
    "large": pa.array(["a", "b", None], pa.large_string()),
    "level": pa.array([1.5, 2.5, 1.5]).dictionary_encode(),
})
pq.write_table(table, "pyarrow_types.parquet", row_group_size=2)
