//! Parquet through polars.
//!
//! Columns are decoded one by one on this thread instead of through `ParquetReader::finish`: small
//! integers and half precision then need no extra polars features, a column of an unsupported type
//! does not spoil the others, and no thread pool is started.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::io::parquet::read::_internal::to_deserializer;
use polars::prelude::{
    ArrowDataType, ArrowField, BooleanChunked, Column as PolarsColumn, DataFrame, FileMetadata, Float64Chunked,
    Int64Chunked, IntoColumn, NewChunkedArray, ParquetCompression, ParquetReader, ParquetWriter, PolarsError,
    PolarsResult, SerReader, Series, StringChunked,
};

use crate::column::Column;
use crate::error::{TableError, opening};
use crate::spelling::Spelling;
use crate::table::{Source, Table};

const MAGIC: &[u8] = b"PAR1";
const KIND: &str = "Parquet";

pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Table, TableError> {
    if !bytes.starts_with(MAGIC) {
        let encrypted = bytes.starts_with(b"PARE");
        return Err(TableError::WrongKind {
            path: path.into(),
            expected: "a Parquet file that can be read",
            found: if encrypted { "it is encrypted".into() } else { opening(bytes) },
            remedy: if encrypted {
                "write it without encryption"
            } else {
                "let its name end in .csv if it is text, or write it again as Parquet"
            },
        });
    }
    // The footer is its length in 4 bytes, then the magic.
    if bytes.len() < 12 || !bytes.ends_with(MAGIC) {
        return Err(TableError::Truncated { path: path.into(), kind: KIND });
    }
    // polars panics on some contradictions inside a damaged file.
    catch_unwind(AssertUnwindSafe(|| decode(path, bytes)))
        .unwrap_or_else(|_| Err(damaged(path, "its contents contradict each other")))
}

fn damaged(path: &Path, cause: impl ToString) -> TableError {
    let cause = cause.to_string();
    let cause = cause.lines().next().unwrap_or_default().trim_end_matches('.');
    TableError::Damaged { path: path.into(), kind: KIND, cause: cause.into() }
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Table, TableError> {
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let metadata = reader.get_metadata().map_err(|cause| damaged(path, cause))?.clone();
    let mut names: Vec<&str> = metadata.schema().fields().iter().map(|field| field.name()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(TableError::DuplicateColumn { file: path.display().to_string(), name: pair[0].into() });
    }
    let schema = reader.schema().map_err(|cause| damaged(path, cause))?;
    check_size(path, bytes.len(), &metadata, schema.len())?;
    let source = Source { format: KIND, gzip: false, delimiter: None, encoding: None, bytes: bytes.len() as u64 };
    let mut table = Table::of(path, None, source);
    for field in schema.iter_values() {
        let name = field.name.to_string();
        let Some(mut values) = Values::of(&field.dtype) else {
            table.push_unread(name, format!("its type is {}", called(&field.dtype)));
            continue;
        };
        read_column(bytes, &metadata, field, &mut values)
            .map_err(|cause| damaged(path, format!("column {name:?}: {cause}")))?;
        match values.into_column() {
            Ok(column) => table.push_spelled(name, column, Spelling::default())?,
            Err(cause) => table.push_unread(name, cause),
        }
    }
    table.mark_index();
    Ok(table)
}

/// Refuses a file that claims more cells than it can hold: memory is set aside for what it claims.
fn check_size(path: &Path, bytes: usize, metadata: &FileMetadata, columns: usize) -> Result<(), TableError> {
    /// Cells up to which the size of the file does not matter.
    const ALWAYS: usize = 1 << 27;
    /// Repeated values take far less than a byte a cell.
    const PER_BYTE: usize = 256;
    let rows = metadata.row_groups.iter().fold(0usize, |rows, group| rows.saturating_add(group.num_rows()));
    let most = ALWAYS.max(bytes.saturating_mul(PER_BYTE));
    if rows.saturating_mul(columns) > most || metadata.num_rows > most {
        let rows = rows.max(metadata.num_rows);
        return Err(damaged(path, format!("it claims {rows} rows, more than its {bytes} bytes can hold")));
    }
    Ok(())
}

/// Row group by row group, in order.
fn read_column(bytes: &[u8], metadata: &FileMetadata, field: &ArrowField, values: &mut Values) -> PolarsResult<()> {
    let wrong = |cause: &'static str| PolarsError::ComputeError(cause.into());
    let mut field = field.clone();
    field.dtype = decoded_as(field.dtype);
    field.metadata = None;
    for group in metadata.row_groups.iter().filter(|group| group.num_rows() > 0) {
        if matches!(field.dtype, ArrowDataType::Null) {
            values.skip(group.num_rows());
            continue;
        }
        let chunk = group
            .columns_under_root_iter(&field.name)
            .and_then(|mut chunks| chunks.next())
            .ok_or_else(|| wrong("a part of it is missing"))?;
        let range = chunk.byte_range();
        let part = bytes
            .get(range.start as usize..range.end as usize)
            .ok_or_else(|| wrong("it reaches past the end of the file"))?
            .to_vec();
        let (arrays, _) = to_deserializer(vec![(chunk, part.into())], field.clone(), None)?;
        let series = Series::try_from((&field, arrays))?;
        if series.len() != group.num_rows() {
            return Err(wrong("it has another number of rows than the file"));
        }
        values.extend(&series)?;
    }
    Ok(())
}

/// The type to decode a column as: the same values, in a type this build of polars has.
fn decoded_as(stored: ArrowDataType) -> ArrowDataType {
    use ArrowDataType::*;
    match stored {
        Int8 | Int16 | UInt8 | UInt16 => Int32,
        Float16 => FixedSizeBinary(2),
        Dictionary(_, inner, _) => decoded_as(*inner),
        Utf8 | LargeUtf8 => Utf8View,
        other => other,
    }
}

/// The values of a column as they come in.
enum Values {
    Text(Vec<Option<String>>),
    Number(Vec<f64>),
    Integer { values: Vec<Option<i64>>, too_large: Option<(usize, u64)> },
    Flag(Vec<Option<bool>>),
}

impl Values {
    fn of(stored: &ArrowDataType) -> Option<Self> {
        use ArrowDataType::*;
        match stored {
            Utf8 | LargeUtf8 | Utf8View => Some(Self::Text(Vec::new())),
            Float16 | Float32 | Float64 | Null => Some(Self::Number(Vec::new())),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => {
                Some(Self::Integer { values: Vec::new(), too_large: None })
            }
            Boolean => Some(Self::Flag(Vec::new())),
            Dictionary(_, inner, _) => Self::of(inner),
            _ => None,
        }
    }

    fn skip(&mut self, rows: usize) {
        match self {
            Self::Text(values) => values.extend((0..rows).map(|_| None)),
            Self::Number(values) => values.extend((0..rows).map(|_| f64::NAN)),
            Self::Integer { values, .. } => values.extend((0..rows).map(|_| None)),
            Self::Flag(values) => values.extend((0..rows).map(|_| None)),
        }
    }

    fn extend(&mut self, series: &Series) -> PolarsResult<()> {
        use polars::prelude::DataType;
        match (self, series.dtype()) {
            (Self::Text(values), _) => {
                values.extend(series.str()?.iter().map(|value| value.map(str::to_owned)));
            }
            (Self::Number(values), DataType::Binary) => {
                values.extend(series.binary()?.iter().map(|half| match half {
                    Some(&[low, high]) => half_precision(u16::from_le_bytes([low, high])),
                    _ => f64::NAN,
                }));
            }
            (Self::Number(values), DataType::Float32) => {
                values.extend(series.f32()?.iter().map(|value| value.map_or(f64::NAN, f64::from)));
            }
            (Self::Number(values), _) => {
                values.extend(series.f64()?.iter().map(|value| value.unwrap_or(f64::NAN)));
            }
            (Self::Integer { values, .. }, DataType::Int32) => {
                values.extend(series.i32()?.iter().map(|value| value.map(i64::from)));
            }
            (Self::Integer { values, .. }, DataType::UInt32) => {
                values.extend(series.u32()?.iter().map(|value| value.map(i64::from)));
            }
            (Self::Integer { values, too_large }, DataType::UInt64) => {
                for value in series.u64()?.iter() {
                    if let Some(value) = value.filter(|&value| i64::try_from(value).is_err()) {
                        too_large.get_or_insert((values.len() + 1, value));
                    }
                    values.push(value.and_then(|value| i64::try_from(value).ok()));
                }
            }
            (Self::Integer { values, .. }, _) => values.extend(series.i64()?.iter()),
            (Self::Flag(values), _) => values.extend(series.bool()?.iter()),
        }
        Ok(())
    }

    /// The column; an error says why it cannot be used.
    fn into_column(self) -> Result<Column, String> {
        Ok(match self {
            Self::Text(values) => Column::Text(values),
            Self::Number(values) => Column::Number(values),
            Self::Integer { too_large: Some((row, value)), .. } => {
                return Err(format!("row {row} holds {value}, above the largest integer {}", i64::MAX));
            }
            Self::Integer { values, .. } => match values.iter().copied().collect() {
                Some(values) => Column::Integer(values),
                None => {
                    Column::Number(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect())
                }
            },
            Self::Flag(values) => match values.iter().copied().collect() {
                Some(values) => Column::Flag(values),
                None => Column::Text(values.iter().map(|v| v.map(|v| v.to_string())).collect()),
            },
        })
    }
}

/// IEEE 754 half precision, which f64 holds exactly.
fn half_precision(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A type by its everyday name.
fn called(dtype: &ArrowDataType) -> String {
    use ArrowDataType::*;
    match dtype {
        List(_) | LargeList(_) | FixedSizeList(..) => "list".into(),
        Struct(_) => "struct".into(),
        Map(..) => "map".into(),
        Date32 | Date64 => "date".into(),
        Timestamp(..) => "date and time".into(),
        Time32(_) | Time64(_) => "time of day".into(),
        Duration(_) | Interval(_) => "duration".into(),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "binary".into(),
        Decimal(..) | Decimal32(..) | Decimal64(..) | Decimal256(..) => "decimal".into(),
        Dictionary(_, inner, _) => called(inner),
        other => format!("{other:?}").to_lowercase(),
    }
}

pub(crate) fn render(table: &Table) -> PolarsResult<Vec<u8>> {
    const GROUP: usize = 1 << 18;
    let columns = table.columns().map(|(name, column)| to_polars(name, column)).collect();
    let frame = DataFrame::new(table.height(), columns)?;
    let mut bytes = Vec::new();
    // Group by group: `finish` would start the thread pool to regroup the rows.
    let mut writer = ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Zstd(None))
        .set_parallel(false)
        .batched(frame.schema())?;
    for start in (0..frame.height()).step_by(GROUP) {
        writer.write_batch(&frame.slice(start as i64, GROUP))?;
    }
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn to_polars(name: &str, column: &Column) -> PolarsColumn {
    let name = name.into();
    match column {
        Column::Text(values) => {
            StringChunked::from_iter_options(name, values.iter().map(Option::as_deref)).into_column()
        }
        Column::Number(values) => {
            Float64Chunked::from_iter_options(name, values.iter().map(|value| (!value.is_nan()).then_some(*value)))
                .into_column()
        }
        Column::Integer(values) => Int64Chunked::from_slice(name, values).into_column(),
        Column::Flag(values) => BooleanChunked::from_slice(name, values).into_column(),
    }
}
