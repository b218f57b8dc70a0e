//! What the values of a picture's colours are.

/// What the values of colours are, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Those that files store, with the curve of sRGB (IEC 61966-2-1).
    #[default]
    Srgb,
    /// In proportion to light.
    Linear,
}

impl Encoding {
    /// A value in this encoding, of the one that a file stores.
    pub fn of_stored(self, stored: f32) -> f32 {
        match self {
            Encoding::Srgb => stored,
            Encoding::Linear if stored <= 0.04045 => stored / 12.92,
            Encoding::Linear => libm::powf((stored + 0.055) / 1.055, 2.4),
        }
    }

    /// The value that a file stores, of one in this encoding.
    pub fn to_stored(self, value: f32) -> f32 {
        match self {
            Encoding::Srgb => value,
            Encoding::Linear if value <= 0.003_130_8 => value * 12.92,
            Encoding::Linear => 1.055 * libm::powf(value, 1.0 / 2.4) - 0.055,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_go_through_each_encoding_unchanged() {
        for stored in (-100..=1200).map(|thousandths| thousandths as f32 / 1000.0) {
            assert_eq!(Encoding::Srgb.to_stored(Encoding::Srgb.of_stored(stored)), stored);
            let again = Encoding::Linear.to_stored(Encoding::Linear.of_stored(stored));
            assert!((again - stored).abs() < 1e-6, "{stored}: {again}");
        }
        // Half of the light is stored as 187.5 of 255.
        assert!((Encoding::Linear.of_stored(187.516 / 255.0) - 0.5).abs() < 1e-5);
        assert!(Encoding::Linear.of_stored(f32::NAN).is_nan() && Encoding::Linear.to_stored(f32::NAN).is_nan());
    }
}
