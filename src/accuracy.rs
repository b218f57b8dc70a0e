//! How exact a result has to be.

/// How exact a result has to be: what a plan may choose among.
///
/// ```
/// use upconv::{Accuracy, ConvTranspose};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([3, 3]).accuracy(Accuracy::Normwise).build()?;
/// assert_eq!(op.accuracy(), Accuracy::Normwise);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accuracy {
    /// Each output is within n·ε·Σ|x·w| of its own sum of n products; sums of integers below 2²⁴ are exact; NaN and infinities
    /// reach the outputs that they belong to, and no others. See
    /// [`Expected::compare`](crate::reference::Expected::compare).
    #[default]
    Elementwise,
    /// Each output is within a multiple of ε of the largest sum that any output of its channel could have, which allows
    /// Winograd's transforms with their fewer products: for networks and pictures. A NaN or an infinity shows in the
    /// outputs around those that it belongs to. See
    /// [`Expected::compare_normwise`](crate::reference::Expected::compare_normwise).
    Normwise,
    /// What [`Normwise`](Self::Normwise) allows, and products of f16: inputs and weights may be rounded to f16 (2⁻¹¹ of
    /// each), and up to 36 products be added up in f16, before they are added to a sum in f32; biases, slopes and what is
    /// fused stay f32. Inputs and such sums beyond 65504 become infinite. See
    /// [`Expected::compare_half`](crate::reference::Expected::compare_half). What has no f16, like the CPU, computes as under
    /// `Normwise`.
    Half,
}

impl Accuracy {
    /// All of them, the strictest first.
    pub const ALL: &[Accuracy] = &[Accuracy::Elementwise, Accuracy::Normwise, Accuracy::Half];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Accuracy::Elementwise => "elementwise",
            Accuracy::Normwise => "normwise",
            Accuracy::Half => "half",
        }
    }

    /// The one of this name.
    ///
    /// # Errors
    /// What names there are, in words.
    pub fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|accuracy| accuracy.name() == name);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|accuracy| accuracy.name()).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
