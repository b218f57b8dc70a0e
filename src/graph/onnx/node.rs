//! A node of the file and its attributes.

use super::constant::{Constant, Read, decoded};
use super::proto;
use prost::Message;
use prost::bytes::Bytes;

/// The most attributes of a node.
const MAX_ATTRIBUTES: usize = 16;

/// What an attribute holds, by the number that it says.
const KINDS: [&str; 8] =
    ["a number", "a whole number", "a text", "a tensor", "a graph", "numbers", "whole numbers", "texts"];

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: String,
    name: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    attributes: Vec<proto::Attribute>,
}

pub(super) fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

impl Node {
    pub(super) fn decode(bytes: Bytes, number: usize) -> Read<Self> {
        let node = proto::Node::decode(bytes).map_err(|error| format!("node {number} is damaged: {error}"))?;
        let proto::Node { inputs, outputs, name, kind, attributes, domain } = node;
        let name = if name.is_empty() { outputs.first().cloned().unwrap_or_default() } else { name };
        let mut made = Self { kind, name, inputs, outputs, attributes: Vec::new() };
        if !["", "ai.onnx"].contains(&&*domain) {
            return Err(made.wrong(&format!("is of the domain {:?}, which is not read", short(&domain))));
        }
        if attributes.len() > MAX_ATTRIBUTES {
            let given = attributes.len();
            return Err(made.wrong(&format!("has {given} attributes, expected at most {MAX_ATTRIBUTES}")));
        }
        for bytes in attributes {
            let attribute = proto::Attribute::decode(bytes);
            let attribute = attribute.map_err(|error| made.wrong(&format!("has a damaged attribute: {error}")))?;
            if attribute.name.is_empty() {
                return Err(made.wrong("has an attribute without a name"));
            }
            made.attributes.push(attribute);
        }
        Ok(made)
    }

    /// What is wrong with this node.
    pub(super) fn wrong(&self, what: &str) -> String {
        format!("node {:?} ({}) {what}", short(&self.name), short(&self.kind))
    }

    /// The name of an input that is given: optional ones that are not have an empty name, or none.
    pub(super) fn input(&self, number: usize) -> Option<&str> {
        self.inputs.get(number).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn attribute(&self, name: &str, kind: i32) -> Read<Option<&proto::Attribute>> {
        match self.attributes.iter().find(|attribute| attribute.name == name) {
            Some(attribute) if attribute.kind != kind => {
                let of =
                    |kind: i32| usize::try_from(kind - 1).ok().and_then(|kind| KINDS.get(kind)).unwrap_or(&"other");
                Err(format!("has {} as {name}, expected {}", of(attribute.kind), of(kind)))
            }
            found => Ok(found),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.name == name)
    }

    pub(super) fn integer(&self, name: &str, missing: i64) -> Read<i64> {
        Ok(self.attribute(name, 2)?.map_or(missing, |attribute| attribute.integer))
    }

    pub(super) fn real(&self, name: &str, missing: f32) -> Read<f32> {
        match self.attribute(name, 1)?.map_or(missing, |attribute| attribute.real) {
            real if real.is_finite() => Ok(real),
            real => Err(format!("has {name} {real}, expected a finite number")),
        }
    }

    pub(super) fn text(&self, name: &str, missing: &str) -> Read<String> {
        let text = self.attribute(name, 3)?.map(|attribute| short(&String::from_utf8_lossy(&attribute.text)));
        Ok(text.unwrap_or_else(|| missing.to_owned()))
    }

    pub(super) fn integers(&self, name: &str) -> Read<Option<&[i64]>> {
        Ok(self.attribute(name, 7)?.map(|attribute| &*attribute.integers))
    }

    pub(super) fn reals(&self, name: &str) -> Read<Option<&[f32]>> {
        Ok(self.attribute(name, 6)?.map(|attribute| &*attribute.reals))
    }

    pub(super) fn tensor(&self, name: &str) -> Read<Option<Constant>> {
        let Some(attribute) = self.attribute(name, 4)? else { return Ok(None) };
        let tensor = proto::Tensor::decode(attribute.tensor.clone())
            .map_err(|error| format!("has a damaged tensor as {name}: {error}"))?;
        decoded(&tensor).map(Some).map_err(|error| format!("has a tensor as {name} that {error}"))
    }

    /// Refuses attributes that are not among these: one that is not read may matter.
    pub(super) fn only(&self, known: &[&str]) -> Read<()> {
        match self.attributes.iter().find(|attribute| !known.contains(&&*attribute.name)) {
            Some(attribute) => Err(format!("has the attribute {:?}, which is not read", short(&attribute.name))),
            None => Ok(()),
        }
    }
}
