//! The container, a safetensors file: eight bytes with the header's length, the header in JSON, the tensors' bytes.
//!
//! The crate `safetensors` knows what a header says and when it is sound. Read here are the JSON, in which it takes a
//! key twice for once, and the lengths, whose sum it does not check for overflow.

use crate::describe::json::{Unique, listed, quoted, read_any, told};
use crate::error::{Error, Result};
use crate::tensor::{Data, DataView, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest header: far beyond what a network needs, and little enough to parse.
const MAX_HEADER: u64 = 4 << 20;

/// A file's tensors and what it says beside them.
pub(super) struct File<'a> {
    /// What `__metadata__` says.
    pub(super) notes: BTreeMap<String, String>,
    header: Metadata,
    data: &'a [u8],
    /// The tensors that were read.
    read: BTreeMap<String, Arc<Tensor>>,
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
        let in_header = |error: String| unsound(format!("the header: {error}"));
        let text = std::str::from_utf8(header).map_err(|error| in_header(error.to_string()))?;
        let Value::Object(mut entries) = Unique::parse(text).map_err(in_header)? else {
            return Err(in_header("expected a JSON object".into()));
        };
        let notes = entries.remove("__metadata__").map(read_any).transpose();
        let notes = notes.map_err(|error| in_header(format!("__metadata__: {error}")))?.unwrap_or_default();
        let infos = entries.into_iter().map(|(name, value)| {
            let info = info(&name, value).map_err(|error| unsound(format!("tensor {}: {error}", quoted(&name))))?;
            Ok((name, info))
        });
        let mut infos = infos.collect::<Result<Vec<_>>>()?;
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let header = Metadata::new(None, infos).map_err(|error| match error {
            SafeTensorError::InvalidOffset(name) => {
                unsound(format!("tensor {} overlaps the one before it, or leaves a gap", quoted(&name)))
            }
            error => in_header(told(error)),
        })?;
        if header.data_len() != data.len() {
            return Err(unsound(format!(
                "the tensors end at byte {} of the data, of which there are {}",
                header.data_len(),
                data.len()
            )));
        }
        Ok(Self { notes, header, data, read: BTreeMap::new() })
    }

    /// The number of a tensor's elements; `None` where there is no such tensor.
    pub(super) fn elements(&self, name: &str) -> Option<usize> {
        self.header.info(name).map(|info| info.shape.iter().product())
    }

    /// The numbers of elements of all tensors.
    pub(super) fn all_elements(&self) -> impl Iterator<Item = usize> {
        self.header.tensors().into_values().map(|info| info.shape.iter().product()).collect::<Vec<_>>().into_iter()
    }

    /// A tensor, or what there is instead; the same one for each time that it is named.
    pub(super) fn tensor(&mut self, name: &str) -> Result<Arc<Tensor>> {
        if let Some(tensor) = self.read.get(name) {
            return Ok(tensor.clone());
        }
        let Some(TensorInfo { dtype, shape, data_offsets: (begin, end) }) = self.header.info(name) else {
            let names = self.header.offset_keys();
            let (count, there) = (names.len(), listed(names.iter()));
            return Err(unsound(format!("no tensor {} among the {count} there are: {there}", quoted(name))));
        };
        let bytes = &self.data[*begin..*end];
        // The bytes need not be aligned.
        let data = match dtype {
            Dtype::F16 => Data::F16(chunks(bytes, f16::from_le_bytes)),
            Dtype::BF16 => Data::Bf16(chunks(bytes, bf16::from_le_bytes)),
            Dtype::F32 => Data::F32(chunks(bytes, f32::from_le_bytes)),
            Dtype::F64 => Data::F64(chunks(bytes, f64::from_le_bytes)),
            other => return Err(unsound(format!("tensor {} has type {other}", quoted(name)))),
        };
        let tensor = Tensor::new(shape.clone(), data);
        let tensor = Arc::new(tensor.map_err(|error| unsound(format!("tensor {}: {error}", quoted(name))))?);
        self.read.insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }
}

fn chunks<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}

/// What the header says of one tensor: its bytes are as many as its shape and its type need.
fn info(name: &str, value: Value) -> std::result::Result<TensorInfo, String> {
    let info: TensorInfo = read_any(value)?;
    let TensorInfo { dtype, shape, data_offsets: (begin, end) } = &info;
    if !matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
        return Err(format!("has type {dtype}, expected F16, BF16, F32 or F64"));
    }
    let told = |error: String| format!("{error}: {dtype}, shape {shape:?}, data_offsets {begin} to {end}");
    let Some(length) = end.checked_sub(*begin) else { return Err(told("runs backwards".into())) };
    let alone = TensorInfo { data_offsets: (0, length), ..info.clone() };
    match Metadata::new(None, vec![(name.to_owned(), alone)]) {
        Ok(_) => Ok(info),
        Err(error) => Err(told(error.to_string())),
    }
}

/// A file of these tensors, in their order.
pub(super) fn write(metadata: BTreeMap<String, String>, tensors: &[(String, Arc<Tensor>)]) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut infos = Vec::new();
    for (name, tensor) in tensors {
        let begin = data.len();
        let dtype = match tensor.view().data() {
            DataView::F16(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                Dtype::F16
            }
            DataView::Bf16(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                Dtype::BF16
            }
            DataView::F32(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                Dtype::F32
            }
            DataView::F64(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                Dtype::F64
            }
        };
        let shape = tensor.shape().to_vec();
        infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (begin, data.len()) }));
    }
    // As a value its keys are sorted, so that a file has the same bytes each time.
    let failed = |error: &dyn std::fmt::Display| unsound(error.to_string());
    let header = Metadata::new(None, infos).map_err(|error| failed(&error))?;
    let mut header = serde_json::to_value(header).map_err(|error| failed(&error))?;
    header["__metadata__"] = metadata.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    let mut header = header.to_string().into_bytes();
    // The format lets the header be filled with spaces; so the data begin at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..], &data].concat())
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
        let tensors = [("z", half), ("y", single), ("x", double)].map(|(name, tensor)| (name.into(), Arc::new(tensor)));
        let bytes = write(BTreeMap::from([("a".into(), "b".into())]), &tensors).unwrap();
        assert_eq!(bytes.len() % 8, 6, "the data begin at a multiple of 8");
        let mut file = File::parse(&bytes).unwrap();
        assert_eq!(file.notes["a"], "b");
        for (name, tensor) in tensors {
            let read = file.tensor(&name).unwrap();
            assert_eq!(read, tensor);
            assert!(Arc::ptr_eq(&read, &file.tensor(&name).unwrap()), "kept once");
        }
        assert_eq!(
            file.tensor("w").unwrap_err().to_string(),
            "safetensors: no tensor \"w\" among the 3 there are: z, y, x"
        );
    }

    #[test]
    fn hostile_headers_are_refused_with_their_numbers() {
        let long = [&(4_u64 << 30).to_le_bytes(), &b"{}"[..]].concat();
        let most = [&u64::MAX.to_le_bytes(), &b"{}"[..]].concat();
        let beyond = [&100_u64.to_le_bytes(), &b"{}"[..]].concat();
        let deep = "[".repeat(100_000);
        let sound = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        for (bytes, expected) in [
            (vec![1, 2, 3], "3 bytes, expected 8"),
            (long, "length is 4294967296 bytes, expected at most 4194304"),
            (most, "length is 18446744073709551615 bytes"),
            (beyond, "length is 100 bytes, but 2 follow"),
            (file("{", 0), "the header: not valid JSON"),
            (file("\u{ff}", 0), "the header: not valid JSON"),
            ([&2_u64.to_le_bytes()[..], &[0xff, 0xff]].concat(), "the header: invalid utf-8"),
            (file(&deep, 0), "recursion limit"),
            (file("[]", 0), "the header: expected a JSON object"),
            (file(r#"{"__metadata__":[]}"#, 0), "__metadata__: invalid type: sequence"),
            (file(r#"{"__metadata__":{"a":1}}"#, 0), "__metadata__: a: invalid type: integer `1`, expected a string"),
            (file(r#"{"__metadata__":{"a":"b","a":"c"}}"#, 0), r#"the key "a" stands twice"#),
            (file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), r#"the key "__metadata__" stands twice"#),
            (file(&format!(r#"{{"w":{sound},"w":{sound}}}"#), 8), r#"the key "w" stands twice"#),
            (
                file(r#"{"w":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}"#, 8),
                r#""dtype" stands twice"#,
            ),
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
        let part = 1_u64 << 60;
        let parts = (0..16_u64).map(|index| {
            let (begin, length) = (index * part, if index == 15 { part - 8 } else { part });
            format!(
                r#""{index:02}":{{"dtype":"F16","shape":[{}],"data_offsets":[{begin},{}]}}"#,
                length / 2,
                begin + length
            )
        });
        let huge = format!("{{{}}}", parts.collect::<Vec<_>>().join(","));
        for (bytes, expected) in [
            (one("Q4", "[2]", "[0,8]", 8), r#"tensor "w": dtype: unknown variant `Q4`, expected one of"#),
            (one("I64", "[1]", "[0,8]", 8), r#"tensor "w": has type I64, expected F16"#),
            (file(r#"{"w":7}"#, 0), r#"tensor "w": invalid type: integer `7`"#),
            (file(r#"{"w":{"shape":[2],"data_offsets":[0,8]}}"#, 8), "missing field `dtype`"),
            (one("F32", "[-2]", "[0,8]", 8), "shape[0]: invalid value: integer `-2`"),
            (one("F32", "[2.0]", "[0,8]", 8), "shape[0]: invalid type: floating point `2.0`"),
            (one("F32", "7", "[0,8]", 8), "shape: invalid type: integer `7`"),
            (one("F32", "[2]", "[0]", 8), "data_offsets"),
            (one("F32", "[2]", "[0,8,9]", 8), "data_offsets"),
            (one("F32", "[3]", "[0,8]", 8), "F32, shape [3], data_offsets 0 to 8"),
            (one("F16", "[2]", "[8,4]", 8), "runs backwards: F16, shape [2], data_offsets 8 to 4"),
            (one("F32", "[4294967296,4294967296]", "[0,8]", 8), "overflow"),
            (one("F32", "[2]", "[4,12]", 12), r#"tensor "w" overlaps the one before it, or leaves a gap"#),
            (one("F32", "[2]", "[0,8]", 7), "the tensors end at byte 8 of the data, of which there are 7"),
            (one("F32", "[2]", "[18446744073709551607,18446744073709551615]", 8), "leaves a gap"),
            (one("F32", "[2]", "[0,8]", 9), "end at byte 8 of the data, of which there are 9"),
            (two("[0,8]", "[4,12]"), r#"tensor "b" overlaps"#),
            (two("[0,8]", "[0,8]"), "overlaps"),
            // Together as long as the whole address space.
            (file(&huge, 0), "the tensors end at byte 18446744073709551608 of the data, of which there are 0"),
            (one(&"D".repeat(1 << 20), "[2]", "[0,8]", 8), "unknown variant"),
            (file(&format!(r#"{{"{}":7}}"#, "n".repeat(1 << 20)), 0), "invalid type"),
        ] {
            let refusal = refusal(&bytes);
            assert!(refusal.contains(expected), "{refusal}, expected {expected}");
            assert!(refusal.len() < 500, "{} bytes", refusal.len());
        }
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_panics() {
        let tensor = Arc::new(Tensor::f32([2], [1.0, 2.0]).unwrap());
        let bytes = write(BTreeMap::new(), &[("w".into(), tensor)]).unwrap();
        for length in 0..bytes.len() {
            assert!(File::parse(&bytes[..length]).is_err(), "{length}");
        }
        for index in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = bytes.clone();
                bytes[index] ^= flip;
                if let Ok(mut file) = File::parse(&bytes) {
                    let _ = file.tensor("w");
                }
            }
        }
    }
}
