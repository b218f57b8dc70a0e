//! The weights of a layer in the type that is computed in, f32 or f64, and how sums of that type are made with them: by
//! matrix products, or where those cannot be by `gather`.

use super::cache;
use super::choice::{Choice, PANEL, choose};
use super::element::{Element, Stored};
use super::gather;
use super::memory::{Result, collect};
use super::order::Order;
use super::output::Slot;
use super::packed::Packed;
use super::panel::Finite;
use super::products;
use super::scratch::Pool;
use super::simd::Level;
use crate::op::{ConvTranspose, Geometry};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The weights of a layer in one type.
#[derive(Debug)]
pub(super) struct Computation<T> {
    /// For the products, unless a weight is infinite or NaN.
    packed: Option<Packed<T>>,
    /// Without shared blocks, where those have weights 0 for missing taps: for inputs that are infinite or NaN.
    unshared: Option<Packed<T>>,
    /// Made of the packed weights when first needed; from the beginning where there are none.
    gathered: OnceLock<gather::Weights<T>>,
    /// The last choice, with what it was made for.
    chosen: Mutex<Option<(Geometry, usize, Arc<Choice>)>>,
}

impl<T: Element> Computation<T> {
    /// Of a weight in this order; `bias` may be empty.
    pub(super) fn new(op: &ConvTranspose, order: Order, weight: &[T], bias: &[T], level: Level) -> Result<Self> {
        if !level.instructions().run(Finite(weight)) {
            return Self::gathered(op, order, weight, bias);
        }
        let pack = |share| Packed::ordered(op, order, weight, bias, level, share);
        let shared = pack(true)?;
        let unshared = shared.has_zero_taps.then(|| pack(false)).transpose()?;
        Ok(Self { packed: Some(shared), unshared, gathered: OnceLock::new(), chosen: Mutex::default() })
    }

    /// As [`Computation::new`], without packing for products.
    pub(super) fn gathered(op: &ConvTranspose, order: Order, weight: &[T], bias: &[T]) -> Result<Self> {
        let gathered = gather::Weights::new(op, order, weight, bias)?.into();
        Ok(Self { packed: None, unshared: None, gathered, chosen: Mutex::default() })
    }

    /// Computes the output and writes every slot: the products count what they write, each slot once, and `gather` visits
    /// all slots in order.
    pub(super) fn fill<S: Stored<Computed = T>>(
        &self,
        geometry: &Geometry,
        pool: &Pool<T>,
        x: &[T],
        y: &mut [Slot<S>],
    ) -> Result<()> {
        if let (Choice::Products(cut), Some(packed)) = (&*self.choice(geometry), &self.packed) {
            let packings = [packed, self.unshared.as_ref().unwrap_or(packed)];
            if products::run(geometry, packings, cut, pool, x, y)? == y.len() {
                return Ok(());
            }
        }
        gather::run(geometry, self.weights(geometry.op())?, x, y)
    }

    /// The choice; that of the last run where it had the same sizes and threads.
    pub(super) fn choice(&self, geometry: &Geometry) -> Arc<Choice> {
        let threads = rayon::current_num_threads();
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*chosen {
            Some((for_geometry, for_threads, choice)) if for_geometry == geometry && *for_threads == threads => {
                choice.clone()
            }
            _ => {
                let most = cache::elements::<T>(PANEL);
                let choice = Arc::new(choose(geometry, self.packed.as_ref(), threads, most));
                *chosen = Some((geometry.clone(), threads, choice.clone()));
                choice
            }
        }
    }

    /// The weights in the order of [`Order::by_output`].
    pub(super) fn weights(&self, op: &ConvTranspose) -> Result<&gather::Weights<T>> {
        if let Some(weights) = self.gathered.get() {
            return Ok(weights);
        }
        let (weight, bias) = self.packed.as_ref().map(|packed| packed.unpack(op)).transpose()?.unwrap_or_default();
        Ok(self.gathered.get_or_init(|| gather::Weights { weight, bias }))
    }

    /// Every kernel turned by 180°: in the order `iohw` the weight of the operation's adjoint.
    pub(super) fn turned(&self, op: &ConvTranspose) -> Result<Vec<T>> {
        let mut weight = match (self.gathered.get(), &self.packed) {
            (None, Some(packed)) => packed.unpack(op)?.0,
            _ => {
                let weight = &self.weights(op)?.weight;
                collect("the turned weights", weight.len(), weight.iter().copied())?
            }
        };
        weight.chunks_exact_mut(op.axes3().iter().map(|axis| axis.kernel).product()).for_each(<[T]>::reverse);
        Ok(weight)
    }
}
