//! The `.param` file.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;

/// What the file begins with.
const MAGIC: &str = "7767517";

/// The most layers that are read: what a network may have, and activations that stand alone.
const MAX_LAYERS: usize = 4096;

/// Keys of lists are this much below 0, and the key's number more.
const LIST: i64 = -23_300;

/// A layer.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    /// The parameters as they are written; a list begins with its length.
    parameters: BTreeMap<u32, (&'a str, bool)>,
}

/// Reads the text, whose layers must be as many as it says.
pub(super) fn parse(text: &str) -> Result<Vec<Line<'_>>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    ensure!(first == MAGIC, "begins with {:?}, expected {MAGIC}: is it a .param file of ncnn?", short(first));
    let counts = lines.next().unwrap_or_default();
    let count = counts.split_whitespace().next().and_then(|count| count.parse::<usize>().ok());
    let Some(count) = count.filter(|count| (1..=MAX_LAYERS).contains(count)) else {
        bail!("the second line is {:?}, expected the number of layers, 1 to {MAX_LAYERS}", short(counts));
    };
    let layers = lines.map(|line| layer(line).with_context(|| format!("line {:?}", short(line))));
    let layers = layers.take(count + 1).collect::<Result<Vec<_>>>()?;
    let found = if layers.len() > count { "more".to_owned() } else { layers.len().to_string() };
    ensure!(layers.len() == count, "says it has {count} layers, but has {found}");
    Ok(layers)
}

fn layer(line: &str) -> Result<Line<'_>> {
    let mut words = line.split_whitespace();
    let mut next = |what: &str| words.next().with_context(|| format!("ends before {what}"));
    let (kind, name) = (next("the layer's type")?, next("its name")?);
    let mut count = |what: &str| -> Result<usize> {
        let word = next(what)?;
        word.parse().ok().filter(|&count| count <= 64).with_context(|| format!("{what} is {word:?}, expected 0 to 64"))
    };
    let (inputs, outputs) = (count("the number of its inputs")?, count("the number of its outputs")?);
    let mut blobs = |count: usize| (0..count).map(|_| next("the names of its blobs")).collect::<Result<Vec<_>>>();
    let (inputs, outputs) = (blobs(inputs)?, blobs(outputs)?);
    let mut parameters = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').with_context(|| format!("{word:?} is no key=value"))?;
        let number: i64 = key.parse().with_context(|| format!("key {key:?} is no number"))?;
        let (number, is_list) = if number <= LIST { (LIST - number, true) } else { (number, false) };
        let number = u32::try_from(number).with_context(|| format!("key {key} is out of range"))?;
        ensure!(parameters.insert(number, (value, is_list)).is_none(), "key {number} is given twice");
    }
    Ok(Line { kind, name, inputs, outputs, parameters })
}

impl Line<'_> {
    /// A whole number from 0 on.
    pub(super) fn whole(&self, key: u32, missing: usize) -> Result<usize> {
        match self.parameters.get(&key) {
            None => Ok(missing),
            Some((value, false)) => value
                .parse()
                .ok()
                .with_context(|| format!("parameter {key} is {value}, expected a whole number from 0 on")),
            Some((value, true)) => bail!("parameter {key} is the list {value}, expected a number"),
        }
    }

    pub(super) fn real(&self, key: u32, missing: f32) -> Result<f32> {
        match self.parameters.get(&key) {
            None => Ok(missing),
            Some((value, false)) => {
                finite(value).with_context(|| format!("parameter {key} is {value}, expected a number"))
            }
            Some((value, true)) => bail!("parameter {key} is the list {value}, expected a number"),
        }
    }

    pub(super) fn list(&self, key: u32) -> Result<Vec<f32>> {
        let Some((text, is_list)) = self.parameters.get(&key) else { return Ok(Vec::new()) };
        let mut words = text.split(',');
        let count = words.next().and_then(|count| count.parse::<usize>().ok());
        let numbers: Option<Vec<f32>> = words.map(finite).collect();
        match numbers {
            Some(numbers) if *is_list && count == Some(numbers.len()) => Ok(numbers),
            _ => bail!("parameter {key} is {text}, expected a list: its length and as many numbers"),
        }
    }

    /// Refuses parameters that are neither 0 nor among these: a parameter that is not converted may matter.
    pub(super) fn only(&self, known: &[u32]) -> Result<()> {
        let strange = |&(key, (value, _)): &(&u32, &(&str, bool))| !known.contains(key) && finite(value) != Some(0.0);
        match self.parameters.iter().find(strange) {
            Some((key, (value, _))) => bail!("has parameter {key}={value}, which is not converted"),
            None => Ok(()),
        }
    }
}

fn finite(text: &str) -> Option<f32> {
    text.parse().ok().filter(|value: &f32| value.is_finite())
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let text = "7767517\n1 1\nConvolution  conv1 1 1 a b 0=16 1=3 5=1 6=432 9=2 -23310=1,1.000000e-01\n";
        let lines = parse(text).unwrap();
        let line = &lines[0];
        assert_eq!(
            (line.kind, line.name, &line.inputs[..], &line.outputs[..]),
            ("Convolution", "conv1", &["a"][..], &["b"][..])
        );
        assert_eq!((line.whole(0, 7).unwrap(), line.whole(11, 7).unwrap()), (16, 7));
        assert_eq!(line.list(10).unwrap(), [0.1]);
        assert_eq!(line.real(9, 0.0).unwrap(), 2.0);
        assert!(line.only(&[0, 1, 5, 6, 9, 10]).is_ok());
        assert_eq!(
            line.only(&[0, 1, 5, 6, 9]).unwrap_err().to_string(),
            "has parameter 10=1,1.000000e-01, which is not converted"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refusal = |text: &str| format!("{:#}", parse(text).unwrap_err());
        for (text, expected) in [
            ("", "begins with \"\", expected 7767517"),
            ("\u{1F600}", "begins with"),
            ("7767517", "expected the number of layers, 1 to 4096"),
            ("7767517\n-1 3", "the second line is \"-1 3\""),
            ("7767517\n99999999999999999999 3", "the second line is"),
            ("7767517\n1000000000 3", "1 to 4096"),
            ("7767517\n2 2\nInput a 0 1 a", "says it has 2 layers, but has 1"),
            ("7767517\n1 2\nInput a 0 1 a\nInput b 0 1 b", "says it has 1 layers, but has more"),
            ("7767517\n1 1\nInput", "ends before its name"),
            ("7767517\n1 1\nInput a 0 9999999999 a", "expected 0 to 64"),
            ("7767517\n1 1\nInput a 0 2 a", "ends before the names of its blobs"),
            ("7767517\n1 1\nInput a 0 1 a 0", "\"0\" is no key=value"),
            ("7767517\n1 1\nInput a 0 1 a x=1", "key \"x\" is no number"),
            ("7767517\n1 1\nInput a 0 1 a 0=1 0=2", "key 0 is given twice"),
            ("7767517\n1 1\nInput a 0 1 a -5=1", "key -5 is out of range"),
            ("7767517\n1 1\nInput a 0 1 a -9223372036854775808=1", "out of range"),
        ] {
            assert!(refusal(text).contains(expected), "{}, expected {expected}", refusal(text));
        }
        let lines = parse("7767517\n1 1\nReLU a 1 1 a b 0=nan 1=-1 2=1.5 -23303=2,1 -23304=x").unwrap();
        assert!(lines[0].real(0, 0.0).is_err() && lines[0].whole(1, 0).is_err() && lines[0].whole(2, 0).is_err());
        assert!(lines[0].list(3).is_err() && lines[0].list(4).is_err() && lines[0].whole(3, 0).is_err());
    }
}
