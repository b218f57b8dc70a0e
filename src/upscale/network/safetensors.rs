//! The container: eight bytes with the header's length, the header in JSON, the tensors' bytes.
//!
//! Read here rather than by the `safetensors` crate so that each refusal says which tensor, which bytes and how many.

use crate::error::{Error, Result};
use crate::tensor::{DType, Data, Tensor, element_count};
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::Range;

/// The longest header: far beyond what a network needs, far below what parsing could not bear.
const MAX_HEADER: u64 = 4 << 20;

/// A file's tensors and what it says beside them.
pub(super) struct File<'a> {
    pub(super) metadata: Map<String, Value>,
    tensors: BTreeMap<String, Entry>,
    data: &'a [u8],
}

struct Entry {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

fn unsound(problem: String) -> Error {
    Error::Safetensors { problem }
}

impl<'a> File<'a> {
    /// Reads the header and checks all it says of the tensors.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(unsound(format!("{} bytes, expected 8 for the header's length and more", bytes.len())));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            return Err(unsound(format!("the header's length is {length} bytes, expected at most {MAX_HEADER}")));
        }
        let Some((header, data)) = rest.split_at_checked(length as usize) else {
            return Err(unsound(format!("the header's length is {length} bytes, but {} follow", rest.len())));
        };
        let header: Value =
            serde_json::from_slice(header).map_err(|error| unsound(format!("the header is no JSON: {error}")))?;
        let Value::Object(mut header) = header else {
            return Err(unsound("the header is no JSON object".into()));
        };
        let metadata = match header.remove("__metadata__") {
            None => Map::new(),
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return Err(unsound("__metadata__ is no JSON object".into())),
        };
        let entries = header.iter().map(|(name, info)| Ok((name.clone(), entry(name, info)?)));
        let tensors = entries.collect::<Result<BTreeMap<_, _>>>()?;
        check_cover(&tensors, data.len())?;
        Ok(Self { metadata, tensors, data })
    }

    /// A tensor, or what there is instead.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some(Entry { dtype, shape, bytes }) = self.tensors.get(name) else {
            let names: Vec<&str> = self.tensors.keys().take(20).map(String::as_str).collect();
            let count = self.tensors.len();
            return Err(unsound(format!("no tensor {name:?} among the {count} there are: {}", names.join(", "))));
        };
        let bytes = &self.data[bytes.clone()];
        // The bytes need not be aligned.
        let data = match dtype {
            DType::F16 => Data::F16(chunks(bytes, f16::from_le_bytes)),
            DType::Bf16 => Data::Bf16(chunks(bytes, bf16::from_le_bytes)),
            DType::F32 => Data::F32(chunks(bytes, f32::from_le_bytes)),
            DType::F64 => Data::F64(chunks(bytes, f64::from_le_bytes)),
        };
        Tensor::new(shape.clone(), data)
    }
}

fn chunks<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}

/// What the header says of one tensor: its bytes are as many as its shape and its type need.
fn entry(name: &str, info: &Value) -> Result<Entry> {
    let dtype = match info.get("dtype").and_then(Value::as_str) {
        Some("F16") => DType::F16,
        Some("BF16") => DType::Bf16,
        Some("F32") => DType::F32,
        Some("F64") => DType::F64,
        Some(other) => {
            return Err(unsound(format!("tensor {name:?} has type {other:?}, expected F16, BF16, F32 or F64")));
        }
        None => return Err(unsound(format!("tensor {name:?} has no type"))),
    };
    let numbers = |key: &str| -> Result<Vec<usize>> {
        let list = info.get(key).and_then(Value::as_array);
        let numbers = list.map(|list| list.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect());
        let given = info.get(key).map_or_else(|| "missing".into(), ToString::to_string);
        numbers.flatten().ok_or_else(|| {
            unsound(format!("tensor {name:?}: {key} is {given}, expected a list of whole numbers from 0 on"))
        })
    };
    let shape = numbers("shape")?;
    let [begin, end] = numbers("data_offsets")?[..] else {
        return Err(unsound(format!("tensor {name:?}: data_offsets is no pair")));
    };
    let elements = element_count(&shape).map_err(|error| unsound(format!("tensor {name:?}: {error}")))?;
    let needed = elements.checked_mul(dtype.size());
    if end.checked_sub(begin).is_none_or(|given| Some(given) != needed) {
        let size = dtype.size();
        return Err(unsound(format!(
            "tensor {name:?}: data_offsets {begin} to {end} do not hold {elements} elements of {size} bytes, its shape \
             {shape:?}"
        )));
    }
    Ok(Entry { dtype, shape, bytes: begin..end })
}

/// The tensors must follow each other without gap or overlap, and fill the file.
fn check_cover(tensors: &BTreeMap<String, Entry>, length: usize) -> Result<()> {
    let mut order: Vec<_> = tensors.iter().map(|(name, entry)| (entry.bytes.clone(), name)).collect();
    order.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut end = 0;
    for (bytes, name) in order {
        let Range { start, end: last } = bytes;
        if last > length {
            return Err(unsound(format!(
                "tensor {name:?} ends at byte {last} of the data, of which there are {length}: the file is cut, or lies"
            )));
        }
        if start != end {
            let what = if start < end { "overlaps the tensor before it" } else { "leaves a gap" };
            return Err(unsound(format!("tensor {name:?} {what}: it begins at byte {start}, expected {end}")));
        }
        end = last;
    }
    if end != length {
        return Err(unsound(format!("the tensors end at byte {end} of the data, of which there are {length}")));
    }
    Ok(())
}

/// A file of these tensors.
pub(super) fn write(metadata: &Map<String, Value>, tensors: &[(String, &Tensor)]) -> Vec<u8> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), Value::Object(metadata.clone()));
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let begin = data.len();
        let dtype = match tensor.data() {
            Data::F16(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "F16"
            }
            Data::Bf16(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "BF16"
            }
            Data::F32(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "F32"
            }
            Data::F64(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "F64"
            }
        };
        let info = json!({"dtype": dtype, "shape": tensor.shape(), "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), info);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The format lets the header be filled with spaces; so the data begin at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), &header[..], &data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    fn refusal(bytes: &[u8]) -> String {
        File::parse(bytes).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let half = Tensor::new([3], Data::F16([1.5, -0.1, 65504.0].map(f16::from_f64).to_vec())).unwrap();
        let single = Tensor::f32([2, 1], [f32::MIN_POSITIVE, -3.0]).unwrap();
        let double = Tensor::new([], Data::F64(vec![0.1])).unwrap();
        let bytes = write(
            &Map::from_iter([("a".to_owned(), json!("b"))]),
            &[("z".into(), &half), ("y".into(), &single), ("x".into(), &double)],
        );
        let file = File::parse(&bytes).unwrap();
        assert_eq!(file.metadata["a"], "b");
        for (name, tensor) in [("z", half), ("y", single), ("x", double)] {
            assert_eq!(file.tensor(name).unwrap(), tensor);
        }
        assert_eq!(
            file.tensor("w").unwrap_err().to_string(),
            "safetensors: no tensor \"w\" among the 3 there are: x, y, z"
        );
    }

    #[test]
    fn hostile_headers_are_refused_with_their_numbers() {
        let long = [&(4_u64 << 30).to_le_bytes(), &b"{}"[..]].concat();
        let most = [&u64::MAX.to_le_bytes(), &b"{}"[..]].concat();
        let beyond = [&100_u64.to_le_bytes(), &b"{}"[..]].concat();
        let deep = "[".repeat(100_000);
        for (bytes, expected) in [
            (vec![1, 2, 3], "3 bytes, expected 8"),
            (long, "length is 4294967296 bytes, expected at most 4194304"),
            (most, "length is 18446744073709551615 bytes"),
            (beyond, "length is 100 bytes, but 2 follow"),
            (file("{", 0), "no JSON"),
            (file("\u{ff}", 0), "no JSON"),
            (file(&deep, 0), "recursion limit"),
            (file("[]", 0), "no JSON object"),
            (file(r#"{"__metadata__":[]}"#, 0), "__metadata__ is no JSON object"),
        ] {
            let refusal = refusal(&bytes);
            assert!(refusal.contains(expected), "{refusal}, expected {expected}");
        }
    }

    #[test]
    fn tensors_that_lie_are_refused_with_their_numbers() {
        let one = |dtype: &str, shape: &str, offsets: &str, data: usize| {
            file(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), data)
        };
        let two = |first: &str, second: &str| {
            let header = format!(
                r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{first}}},
                "b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
            );
            file(&header, 16)
        };
        for (bytes, expected) in [
            (one("Q4", "[2]", "[0,8]", 8), r#"tensor "w" has type "Q4", expected F16"#),
            (one("I64", "[1]", "[0,8]", 8), r#"type "I64""#),
            (file(r#"{"w":7}"#, 0), "no type"),
            (one("F32", "[-2]", "[0,8]", 8), "shape is [-2], expected a list of whole numbers"),
            (one("F32", "[2.0]", "[0,8]", 8), "shape is [2.0]"),
            (one("F32", "7", "[0,8]", 8), "shape is 7"),
            (one("F32", "[2]", "[0]", 8), "no pair"),
            (one("F32", "[2]", "[0,8,9]", 8), "no pair"),
            (one("F32", "[3]", "[0,8]", 8), "0 to 8 do not hold 3 elements of 4 bytes"),
            (one("F16", "[2]", "[8,4]", 8), "8 to 4 do not hold 2 elements of 2 bytes"),
            (one("F32", "[4294967296,4294967296]", "[0,8]", 8), "overflows"),
            (one("F32", "[2]", "[4,12]", 12), "leaves a gap: it begins at byte 4, expected 0"),
            (one("F32", "[2]", "[0,8]", 7), "ends at byte 8 of the data, of which there are 7"),
            (one("F32", "[2]", "[18446744073709551607,18446744073709551615]", 8), "ends at byte 18446744073709551615"),
            (one("F32", "[2]", "[0,8]", 9), "end at byte 8 of the data, of which there are 9"),
            (two("[0,8]", "[4,12]"), r#"tensor "b" overlaps the tensor before it: it begins at byte 4, expected 8"#),
            (two("[0,8]", "[0,8]"), "overlaps"),
        ] {
            let refusal = refusal(&bytes);
            assert!(refusal.contains(expected), "{refusal}, expected {expected}");
        }
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_panics() {
        let tensor = Tensor::f32([2], [1.0, 2.0]).unwrap();
        let bytes = write(&Map::new(), &[("w".into(), &tensor)]);
        for length in 0..bytes.len() {
            assert!(File::parse(&bytes[..length]).is_err(), "{length}");
        }
        for index in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = bytes.clone();
                bytes[index] ^= flip;
                if let Ok(file) = File::parse(&bytes) {
                    let _ = file.tensor("w");
                }
            }
        }
    }
}
