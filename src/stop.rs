//! Work that can be stopped from outside, for programs that must answer an interruption.

use crate::error::{Error, Result};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static WATCHED: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// A request to stop work that is under way on another thread. Clones are the same request.
///
/// What this library computes [within](Self::watch) ends with [`Error::Stopped`] once the request is made: on the CPU
/// backend between the parts that its threads take, on a device between submissions. The reference is not stopped.
///
/// ```
/// use upconv::{ConvTranspose, Error, Stop, Tensor, cpu::Layer};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([2]).stride([2]).build()?;
/// let layer = Layer::new(&op, &Tensor::f32([1, 1, 2], [1.0, 2.0])?, None)?;
/// let input = Tensor::f32([1, 1, 1], [10.0])?;
///
/// let stop = Stop::new();
/// assert_eq!(stop.watch(|| layer.run(&input))?.to_f32(), [10.0, 20.0]);
/// stop.request();
/// assert!(matches!(stop.watch(|| layer.run(&input)), Err(Error::Stopped)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request. It cannot be taken back.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Whether the request was made.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Does work on this thread that ends early once the request is made.
    pub fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Puts back what was watched before, also where the work panics.
        struct Before(Option<Stop>);

        impl Drop for Before {
            fn drop(&mut self) {
                WATCHED.set(self.0.take());
            }
        }

        let _before = Before(WATCHED.replace(Some(self.clone())));
        work()
    }

    /// The request that this thread watches, if it watches one: for who has parts of his own.
    pub fn watched() -> Option<Self> {
        WATCHED.with_borrow(Clone::clone)
    }

    /// Ends work where the request was made.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn check(&self) -> Result<()> {
        if self.is_requested() { Err(Error::Stopped) } else { Ok(()) }
    }
}
