//! What the values of a picture's colours are.

/// What the values of colours are, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Those that files store, with the curve of sRGB.
    #[default]
    Srgb,
    /// In proportion to light.
    Linear,
}
