//! Tensors in NumPy's .npy files.

use crate::atomic::AtomicFile;
use crate::input::{self, Input};
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};
use std::io::{Read, Write};
use std::path::Path;
use upconv::{Data, Tensor};

/// The longest header that is read, in bytes; NumPy itself refuses to parse one beyond 10,000.
const MAX_HEADER: usize = 1 << 16;

/// Where the header begins in version 1; in versions 2 and 3 two more bytes of its length come first.
const DATA_AT: usize = 10;

/// Reads a file of float16, float32 or float64 elements, or what comes through a pipe, that takes at most so many bytes.
/// Fortran order and big-endian bytes are converted.
pub(crate) fn read(path: &Path, most: u64) -> Result<Tensor> {
    let shown = input::shown(path);
    let open = || -> Result<_> {
        let input = Input::open(path)?;
        let length = input.length()?;
        Ok((input, length))
    };
    let (input, length) = open().with_context(|| format!("cannot read {shown}"))?;
    parse(input, length, most).with_context(|| shown)
}

/// Reads what has this length, if it is known. Nothing is read beyond what its beginning announces, which is at most so
/// many bytes of data.
pub(crate) fn parse(mut reader: impl Read, length: Option<u64>, most: u64) -> Result<Tensor> {
    let mut bytes = Vec::new();
    let mut read_until = |bytes: &mut Vec<u8>, end: usize| -> Result<usize> {
        let missing = end.saturating_sub(bytes.len()) as u64;
        reader.by_ref().take(missing).read_to_end(bytes)?;
        // What the file has, as far as it is known.
        length.map_or(Ok(bytes.len()), |length| Ok(usize::try_from(length)?))
    };
    let has = read_until(&mut bytes, DATA_AT + 2)?;
    ensure!(bytes.starts_with(b"\x93NUMPY"), "not an .npy file: {has} bytes, without NumPy's signature");
    let (begin, header) = match bytes[..] {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (DATA_AT, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => (DATA_AT + 2, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => bail!("an .npy file cut off in its header, or of a version other than 1 to 3: {has} bytes"),
    };
    ensure!(header <= MAX_HEADER, "its header claims {header} bytes, the file has {has}");
    let data = begin + header;
    let has = read_until(&mut bytes, data)?;
    ensure!(data <= bytes.len(), "its header claims {header} bytes, the file has {has}");
    let depth = nesting(&bytes[begin..data]);
    ensure!(depth <= 2, "its header nests brackets {depth} deep, expected at most 2: a dictionary with a tuple");

    let (shape, size) = {
        let file = NpyFile::new(&bytes[..]).context("its header cannot be read")?;
        let shape: Vec<usize> = file.shape().iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?;
        match file.dtype() {
            DType::Plain(kind) if kind.type_char() == TypeChar::Float && [2, 4, 8].contains(&kind.size_field()) => {
                (shape, kind.size_field() as usize)
            }
            other => bail!("its elements are {}, expected float16, float32 or float64", other.descr()),
        }
    };
    let needed = shape.iter().try_fold(size, |n, &extent| n.checked_mul(extent));
    let Some(needed) = needed.filter(|needed| needed.checked_add(data + 1).is_some()) else {
        bail!("shape {shape:?} needs more than 2^64 bytes of data, the file has {}", has - data)
    };
    let check = |rest: usize| {
        ensure!(needed == rest, "shape {shape:?} needs {needed} bytes of data, the file has {rest}");
        Ok(())
    };
    if length.is_some() {
        check(has.saturating_sub(data))?;
    }
    ensure!(
        needed as u64 <= most,
        "shape {shape:?} takes {needed} bytes, more than the {most} allowed; --memory raises them"
    );
    // One byte more shows that there are too many.
    read_until(&mut bytes, data + needed + 1)?;
    check(bytes.len() - data)?;

    let file = NpyFile::new(&bytes[..])?;
    let order = file.order();
    let data = match size {
        2 => Data::F16(in_c_order(file.into_vec::<f16>()?, &shape, order)),
        4 => Data::F32(in_c_order(file.into_vec::<f32>()?, &shape, order)),
        _ => Data::F64(in_c_order(file.into_vec::<f64>()?, &shape, order)),
    };
    Ok(Tensor::new(shape, data)?)
}

/// How deep brackets nest: the parser of `npyz` takes exponential time in it.
fn nesting(header: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in header {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The elements with the last axis varying fastest.
fn in_c_order<T: Copy>(elements: Vec<T>, shape: &[usize], order: Order) -> Vec<T> {
    if order == Order::C {
        return elements;
    }
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let at = |index: usize| {
        let mut rest = index;
        let mut at = 0;
        for (extent, stride) in shape.iter().zip(&strides).rev() {
            at += rest % extent * stride;
            rest /= extent;
        }
        elements[at]
    };
    (0..elements.len()).map(at).collect()
}

/// Writes a tensor in C order and puts the file in its place.
pub(crate) fn write(mut file: AtomicFile, tensor: &Tensor) -> Result<()> {
    fill(&mut file, tensor)?;
    file.commit()
}

/// Writes a tensor in C order to a file that is not yet in its place.
pub(crate) fn fill(file: &mut AtomicFile, tensor: &Tensor) -> Result<()> {
    let shape: Vec<u64> = tensor.shape().iter().map(|&n| n as u64).collect();
    match tensor.data() {
        Data::F16(v) => write_elements(file, &shape, v),
        Data::F32(v) => write_elements(file, &shape, v),
        Data::F64(v) => write_elements(file, &shape, v),
        _ => write_elements(file, &shape, &tensor.to_f32()),
    }
    .and_then(|()| file.flush())
    .with_context(|| format!("cannot write {}", file.path().display()))
}

fn write_elements<T: npyz::AutoSerialize + Copy>(
    file: &mut AtomicFile,
    shape: &[u64],
    elements: &[T],
) -> std::io::Result<()> {
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
    writer.extend(elements.iter().copied())?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1 with this header and data.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    fn refusal(bytes: &[u8]) -> String {
        let of = |length| format!("{:#}", parse(bytes, length, u64::MAX).unwrap_err());
        // A pipe and a file tell the same.
        assert_eq!(of(None), of(Some(bytes.len() as u64)));
        of(None)
    }

    #[test]
    fn fortran_order_and_big_endian_are_converted() {
        // np.asfortranarray(np.arange(6, dtype='>f4').reshape(2, 3))
        let data: Vec<u8> = [0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        let tensor = parse(&file(&header(">f4", "True", "(2, 3)"), &data)[..], None, 24).unwrap();
        assert_eq!(tensor, Tensor::f32([2, 3], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap());
    }

    #[test]
    fn every_type_returns_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npy");
        let values = Tensor::new([1, 3], Data::F64(vec![0.1, -2.5, f64::INFINITY])).unwrap();
        for dtype in [upconv::DType::F16, upconv::DType::F32, upconv::DType::F64] {
            let tensor = values.cast(dtype);
            write(AtomicFile::create(&path, false).unwrap(), &tensor).unwrap();
            assert_eq!(read(&path, 24).unwrap(), tensor);
        }
        let empty = Tensor::f32([0, 2], []).unwrap();
        write(AtomicFile::create(&path, false).unwrap(), &empty).unwrap();
        assert_eq!(read(&path, 0).unwrap(), empty);
    }

    #[test]
    fn what_is_no_array_is_refused_with_its_numbers() {
        assert_eq!(refusal(b""), "not an .npy file: 0 bytes, without NumPy's signature");
        assert!(refusal(b"\x93NUMPY\x01").contains("cut off in its header"));
        assert!(refusal(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("claims 4294967295 bytes, the file has 12"));
        let short = file(&header("<f4", "False", "(2, 3)"), &[0; 20]);
        assert_eq!(refusal(&short), "shape [2, 3] needs 24 bytes of data, the file has 20");
        let many = parse(&file(&header("<f4", "False", "(2, 3)"), &[0; 24])[..], None, 23).unwrap_err().to_string();
        assert_eq!(many, "shape [2, 3] takes 24 bytes, more than the 23 allowed; --memory raises them");
        let integers = file(&header("<i4", "False", "(1,)"), &[0; 4]);
        assert_eq!(refusal(&integers), "its elements are '<i4', expected float16, float32 or float64");
        let huge = file(&header("<f4", "False", "(4294967296, 4294967296)"), &[]);
        assert!(refusal(&huge).contains("needs more than 2^64 bytes of data"), "{}", refusal(&huge));
        assert!(refusal(&file("not a header", &[])).contains("header cannot be read"));
        assert!(refusal(&file(&"(".repeat(60_000), &[])).contains("nests brackets 60000 deep"));
        assert!(refusal(&file(&format!("{{'descr':{}", "[".repeat(20)), &[])).contains("nests brackets 21 deep"));
    }
}
