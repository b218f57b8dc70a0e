//! What holds of every plan: for tests and for fuzzing.

use super::body::{Body, Plan};
use crate::gpu::dispatch::{Band, Dispatch, GATHER_WORKGROUP, products};
use crate::gpu::kernels::gather;
use crate::gpu::profile::DeviceProfile;
use std::ops::Range;

/// Plans of more outputs are checked by the boxes of their dispatches alone.
const MOST_OUTPUTS: usize = 1 << 13;

impl Plan {
    /// Checks that the dispatches stay within the limits, and that each output's products are added in their order, each
    /// once.
    ///
    /// # Panics
    /// Where they do not.
    #[doc(hidden)]
    #[allow(clippy::panic, reason = "it is for tests")]
    pub fn check(&self, profile: &DeviceProfile) {
        if let Body::Winograd(_, products) = &self.body {
            products.check(profile);
        }
        for dispatch in self.dispatches() {
            self.check_limits(dispatch, profile);
        }
        let outputs = self.geometry.output_len();
        match &self.body {
            Body::Winograd(..) => {}
            _ if outputs <= MOST_OUTPUTS => self.check_outputs(),
            _ => {
                let last = self.bands().filter(|band| band.finishes_sums(&self.geometry));
                let finished: u128 = last.map(|band| u128::from(band.elements())).sum();
                assert_eq!(finished, outputs as u128, "outputs that are finished");
            }
        }
    }

    fn check_limits(&self, dispatch: &Dispatch, profile: &DeviceProfile) {
        let Dispatch { input, weights, output, residual, workgroups, band, .. } = dispatch;
        for window in [input, weights, output].into_iter().chain(residual) {
            assert!(window.size <= profile.max_binding, "{window:?}");
            assert!(window.size >= 4 && window.size.is_multiple_of(4), "{window:?}");
            assert!(window.offset.is_multiple_of(profile.binding_alignment), "{window:?}");
        }
        assert!(workgroups.iter().all(|&count| 1 <= count && count <= profile.max_workgroups), "{workgroups:?}");
        assert!(dispatch.multiply_adds <= profile.max_multiply_adds, "{}", dispatch.multiply_adds);
        let iterations = match &self.body {
            Body::Gather(_) => {
                let [x, y, _] = workgroups.map(u64::from);
                assert!(x * y * GATHER_WORKGROUP >= band.elements(), "{workgroups:?}");
                let taps = band.taps.each_ref().map(ExactSizeIterator::len);
                gather::cost::iterations(band.group_in_channels.len(), taps)
            }
            Body::Tiles(tile, _) => tile.iterations(&self.geometry.op, band.group_in_channels.len()),
            Body::Winograd(..) | Body::Matrix(..) => 0,
        };
        assert!(iterations <= profile.max_iterations, "{iterations}");
        assert!(self.scratch_bytes() <= profile.max_binding, "{}", self.scratch_bytes());
    }

    /// Goes through the outputs of every dispatch.
    fn check_outputs(&self) {
        let (strides, (channels, taps)) = (self.geometry.output_strides(), products(&self.geometry));
        // The products of an output in the order of its sum: channels outermost, taps along w innermost.
        let number = |channel: usize, [z, y, x]: [usize; 3]| ((channel * taps[0] + z) * taps[1] + y) * taps[2] + x;
        let mut added = vec![0; self.geometry.output_tensor_len()];
        for dispatch in self.dispatches() {
            let Band { batch, out_channels, output: [z, y, x], group_in_channels, taps } = &dispatch.band;
            let ends = |of: fn(&Range<usize>) -> usize| taps.each_ref().map(of);
            let first = number(group_in_channels.start, ends(|taps| taps.start));
            let last = number(group_in_channels.end - 1, ends(|taps| taps.end - 1));
            let count = group_in_channels.len() * taps.iter().map(ExactSizeIterator::len).product::<usize>();
            assert_eq!(last + 1 - first, count, "products that follow each other");
            for (n, co) in batch.clone().flat_map(|n| out_channels.clone().map(move |co| (n, co))) {
                for (z, y) in z.clone().flat_map(|z| y.clone().map(move |y| (z, y))) {
                    for x in x.clone() {
                        let at = [(n, strides.batch), (co, strides.channel)].into_iter();
                        let at = at.chain([z, y, x].into_iter().zip(strides.spatial));
                        let at: usize = at.map(|(index, stride)| index * stride).sum();
                        let at = at + strides.first;
                        let byte = at as u64 * self.storage.size();
                        let seen = dispatch.output.offset..dispatch.output.offset + dispatch.output.size;
                        assert!(seen.start <= byte && byte + self.storage.size() <= seen.end, "output {at}");
                        assert_eq!(added[at], first, "output {at}: parts that follow each other");
                        added[at] = last + 1;
                    }
                }
            }
        }
        let all = number(channels, [0; 3]);
        let finished = added.iter().filter(|&&added| added == all).count();
        assert_eq!(finished, self.geometry.output_len(), "an output lacks products");
        assert!(added.iter().all(|&added| added == all || added == 0), "an output has some of its products");
    }
}
