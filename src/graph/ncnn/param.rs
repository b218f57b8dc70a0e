//! The `.param` file, as text or in binary.

use std::collections::BTreeMap;

/// What a file begins with: this number, in ASCII or in 32 bits.
const MAGIC: u32 = 7_767_517;

/// The most layers that are read.
const MAX_LAYERS: usize = 1 << 14;
/// The most blobs that a layer reads or writes, and the most numbers of a list.
const MAX_BLOBS: usize = 256;
const MAX_LIST: usize = 1 << 10;

/// Keys of lists are this much below 0, and the key's number more; those of texts in binary.
const LIST: i64 = -23_300;
const TEXT: i64 = -23_400;

/// Behind the last parameter of a layer in binary.
const END: i32 = -233;

pub(super) type Read<T> = Result<T, String>;

/// A layer.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    parameters: BTreeMap<u32, Parameter>,
}

/// A parameter: the layer's type decides what is meant.
#[derive(Debug, PartialEq)]
enum Parameter {
    Number(Number),
    List(Vec<Number>),
    Text(String),
}

/// A number as both of what it may be meant as; binary files do not say which.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number {
    whole: Option<i64>,
    real: f32,
}

impl Number {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self { whole: text.parse().ok(), real: text.parse().ok()? })
    }

    fn of_bits(bits: u32) -> Self {
        Self { whole: Some(i64::from(bits.cast_signed())), real: f32::from_bits(bits) }
    }
}

/// Reads a file, whose layers must be as many as it says.
pub(super) fn parse(bytes: &[u8]) -> Read<Vec<Line>> {
    if bytes.first_chunk() == Some(&MAGIC.to_le_bytes()) {
        return Binary { bytes, at: 4 }.layers();
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("is no text: {error}"))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if first != MAGIC.to_string() {
        return Err(format!("begins with {:?}, expected {MAGIC}: is it one of ncnn?", short(first)));
    }
    let counts = lines.next().unwrap_or_default();
    let count = counts.split_whitespace().next().and_then(|count| count.parse::<usize>().ok());
    let Some(count) = count.filter(|count| (1..=MAX_LAYERS).contains(count)) else {
        let given = short(counts);
        return Err(format!("has as second line {given:?}, expected the number of layers, 1 to {MAX_LAYERS}"));
    };
    let layers =
        lines.map(|line| text_layer(line).map_err(|error| format!("has line {:?}, which {error}", short(line))));
    let layers = layers.take(count + 1).collect::<Read<Vec<_>>>()?;
    if layers.len() != count {
        let found = if layers.len() > count { "more".to_owned() } else { layers.len().to_string() };
        return Err(format!("says it has {count} layers, but has {found}"));
    }
    Ok(layers)
}

fn text_layer(line: &str) -> Read<Line> {
    let mut words = line.split_whitespace();
    let mut next = |what: &str| words.next().ok_or_else(|| format!("ends before {what}"));
    let (kind, name) = (next("the layer's type")?.to_owned(), next("its name")?.to_owned());
    let mut count = |what: &str| -> Read<usize> {
        let word = next(what)?;
        let count = word.parse().ok().filter(|&count| count <= MAX_BLOBS);
        count.ok_or_else(|| format!("says {what} is {word:?}, expected 0 to {MAX_BLOBS}"))
    };
    let (inputs, outputs) = (count("the number of its inputs")?, count("the number of its outputs")?);
    let mut blobs = |count: usize| -> Read<Vec<String>> {
        (0..count).map(|_| next("the names of its blobs").map(str::to_owned)).collect()
    };
    let (inputs, outputs) = (blobs(inputs)?, blobs(outputs)?);
    let mut parameters = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("has {word:?}, no key=value"))?;
        let key: i64 = key.parse().map_err(|_| format!("has key {key:?}, no number"))?;
        let (number, counted) = if key <= LIST { (LIST - key, true) } else { (key, false) };
        let number = u32::try_from(number).map_err(|_| format!("has key {key}, out of range"))?;
        let parameter = text_parameter(value, counted).map_err(|error| format!("has {word:?}, {error}"))?;
        if parameters.insert(number, parameter).is_some() {
            return Err(format!("has key {number} twice"));
        }
    }
    Ok(Line { kind, name, inputs, outputs, parameters })
}

/// A list may be written with its length, or, in newer files, without.
fn text_parameter(value: &str, counted: bool) -> Read<Parameter> {
    if !counted && !value.contains(',') {
        let number = Number::of_text(value).map(Parameter::Number);
        return Ok(number.unwrap_or_else(|| Parameter::Text(value.to_owned())));
    }
    let mut words = value.split(',');
    let count = if counted { words.next().and_then(|count| count.parse::<usize>().ok()) } else { None };
    let numbers: Option<Vec<Number>> = words.take(MAX_LIST + 1).map(Number::of_text).collect();
    match numbers {
        Some(numbers) if numbers.len() <= MAX_LIST && (!counted || count == Some(numbers.len())) => {
            Ok(Parameter::List(numbers))
        }
        _ => Err("expected a list: its length and as many numbers".into()),
    }
}

/// The types of layers in binary files, by their number.
const KINDS: [(u32, &str); 33] = [
    (2, "BatchNorm"),
    (5, "Concat"),
    (6, "Convolution"),
    (7, "Crop"),
    (8, "Deconvolution"),
    (9, "Dropout"),
    (10, "Eltwise"),
    (11, "ELU"),
    (14, "Flatten"),
    (15, "InnerProduct"),
    (16, "Input"),
    (21, "Pooling"),
    (23, "PReLU"),
    (25, "Reduction"),
    (26, "ReLU"),
    (27, "Reshape"),
    (29, "Scale"),
    (30, "Sigmoid"),
    (33, "Split"),
    (35, "TanH"),
    (40, "BinaryOp"),
    (41, "UnaryOp"),
    (42, "ConvolutionDepthWise"),
    (43, "Padding"),
    (50, "Interp"),
    (51, "DeconvolutionDepthWise"),
    (54, "Clip"),
    (67, "HardSwish"),
    (68, "Noop"),
    (69, "PixelShuffle"),
    (71, "Mish"),
    (73, "Swish"),
    (80, "GELU"),
];

struct Binary<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Binary<'_> {
    fn word(&mut self) -> Read<u32> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word = rest.first_chunk().ok_or_else(|| format!("ends at byte {}, in a layer", self.bytes.len()))?;
        self.at += 4;
        Ok(u32::from_le_bytes(*word))
    }

    fn count(&mut self, what: &str, most: usize) -> Read<usize> {
        let word = self.word()?.cast_signed();
        let count = usize::try_from(word).ok().filter(|&count| count <= most);
        count.ok_or_else(|| format!("says at byte {} that {what} are {word}, expected 0 to {most}", self.at - 4))
    }

    fn layers(mut self) -> Read<Vec<Line>> {
        let count = self.count("the layers", MAX_LAYERS)?;
        self.word()?;
        let mut made = 0;
        let layers = (0..count).map(|number| self.layer(number, &mut made)).collect::<Read<Vec<_>>>()?;
        if self.at != self.bytes.len() {
            return Err(format!("has {} bytes, but its layers end at byte {}", self.bytes.len(), self.at));
        }
        Ok(layers)
    }

    /// Blobs are numbered in the order in which they are written.
    fn layer(&mut self, number: usize, made: &mut u32) -> Read<Line> {
        let kind = self.word()?;
        let known = KINDS.iter().find(|(number, _)| *number == kind);
        let kind = known.map_or_else(|| format!("type {kind}"), |(_, name)| (*name).to_owned());
        let (inputs, outputs) = (self.count("a layer's inputs", MAX_BLOBS)?, self.count("its outputs", MAX_BLOBS)?);
        let mut blobs = |count: usize| -> Read<Vec<u32>> { (0..count).map(|_| self.word()).collect() };
        let (inputs, outputs) = (blobs(inputs)?, blobs(outputs)?);
        for &output in &outputs {
            if output != *made {
                return Err(format!("has layer {number}, which writes blob {output}, expected {made}"));
            }
            *made += 1;
        }
        let mut parameters = BTreeMap::new();
        loop {
            let key = self.word()?.cast_signed();
            if key == END {
                break;
            }
            let (number, parameter) = self.parameter(i64::from(key))?;
            let number = u32::try_from(number).map_err(|_| format!("has key {key} before byte {}", self.at))?;
            parameters.insert(number, parameter);
        }
        let named = |blobs: Vec<u32>| blobs.iter().map(|blob| format!("blob {blob}")).collect();
        Ok(Line { kind, name: number.to_string(), inputs: named(inputs), outputs: named(outputs), parameters })
    }

    fn parameter(&mut self, key: i64) -> Read<(i64, Parameter)> {
        if key <= TEXT {
            let length = self.count("the bytes of a text", 1 << 16)?;
            let text = self.bytes.get(self.at..).unwrap_or_default().get(..length);
            let text = text.ok_or_else(|| format!("ends at byte {}, in a text", self.bytes.len()))?;
            self.at += length.next_multiple_of(4);
            return Ok((TEXT - key, Parameter::Text(String::from_utf8_lossy(text).into_owned())));
        }
        if key <= LIST {
            let count = self.count("the numbers of a list", MAX_LIST)?;
            let numbers = (0..count).map(|_| self.word().map(Number::of_bits)).collect::<Read<_>>()?;
            return Ok((LIST - key, Parameter::List(numbers)));
        }
        Ok((key, Parameter::Number(Number::of_bits(self.word()?))))
    }
}

impl Line {
    /// A whole number.
    pub(super) fn integer(&self, key: u32, missing: i64) -> Read<i64> {
        match self.parameters.get(&key) {
            None => Ok(missing),
            Some(Parameter::Number(Number { whole: Some(whole), .. })) => Ok(*whole),
            Some(other) => Err(format!("has {key}={}, expected a whole number", told(other))),
        }
    }

    /// A whole number from 0 on.
    pub(super) fn whole(&self, key: u32, missing: usize) -> Read<usize> {
        let whole = self.integer(key, missing as i64)?;
        usize::try_from(whole)
            .ok()
            .filter(|&whole| whole <= i32::MAX as usize)
            .ok_or_else(|| format!("has {key}={whole}, expected a whole number from 0 on"))
    }

    pub(super) fn real(&self, key: u32, missing: f32) -> Read<f32> {
        match self.parameters.get(&key) {
            None => Ok(missing),
            Some(Parameter::Number(Number { real, .. })) if real.is_finite() => Ok(*real),
            Some(other) => Err(format!("has {key}={}, expected a number", told(other))),
        }
    }

    /// A list of numbers; empty where it is missing.
    pub(super) fn reals(&self, key: u32) -> Read<Vec<f32>> {
        let numbers = self.list(key)?;
        match numbers.iter().find(|number| !number.real.is_finite()) {
            Some(number) => Err(format!("has {} in the list {key}, expected numbers", number.real)),
            None => Ok(numbers.iter().map(|number| number.real).collect()),
        }
    }

    /// A list of whole numbers; empty where it is missing.
    pub(super) fn integers(&self, key: u32) -> Read<Vec<i64>> {
        let numbers = self.list(key)?.iter().map(|number| number.whole);
        numbers.collect::<Option<_>>().ok_or_else(|| format!("has a list {key} of other than whole numbers"))
    }

    fn list(&self, key: u32) -> Read<&[Number]> {
        match self.parameters.get(&key) {
            None => Ok(&[]),
            Some(Parameter::List(numbers)) => Ok(numbers),
            Some(other) => Err(format!("has {key}={}, expected a list", told(other))),
        }
    }

    /// Refuses parameters that are neither 0 nor among these: one that is not read may matter. The keys 30 and 31 are hints
    /// for ncnn, of shapes and of what to leave out.
    pub(super) fn only(&self, known: &[u32]) -> Read<()> {
        let zero = |parameter: &Parameter| match parameter {
            Parameter::Number(number) => number.whole == Some(0) || number.real == 0.0,
            Parameter::List(_) | Parameter::Text(_) => false,
        };
        let strange = |(key, parameter): &(&u32, &Parameter)| {
            !known.contains(key) && ![30, 31].contains(*key) && !zero(parameter)
        };
        match self.parameters.iter().find(strange) {
            Some((key, parameter)) => Err(format!("has parameter {key}={}, which is not read", told(parameter))),
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, key: u32) -> bool {
        self.parameters.contains_key(&key)
    }
}

fn told(parameter: &Parameter) -> String {
    let number = |number: &Number| number.whole.map_or_else(|| number.real.to_string(), |whole| whole.to_string());
    match parameter {
        Parameter::Number(value) => number(value),
        Parameter::List(numbers) => format!("{:?}", numbers.iter().map(number).collect::<Vec<_>>()),
        Parameter::Text(text) => format!("{:?}", short(text)),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
