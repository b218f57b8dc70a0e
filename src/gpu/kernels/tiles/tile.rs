//! The tile of `direct` or `tiled`: the outputs of an invocation, and where it reads what they are made of.

use super::buffers::Buffers;
use super::register_tile::RegisterTile;
use super::source::Source;
use super::workgroup_tile::WorkgroupTile;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) shape: RegisterTile,
    pub(crate) reads: Reads,
}

/// Where inputs and weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reads {
    /// In the buffers: `direct`.
    Buffers(Buffers),
    /// In the workgroup's memory: `tiled`.
    Memory(WorkgroupTile),
}

impl Tile {
    pub(crate) fn source(&self) -> &dyn Source {
        match &self.reads {
            Reads::Buffers(buffers) => buffers,
            Reads::Memory(workgroup) => workgroup,
        }
    }

    /// The kernel that it is for.
    pub(crate) fn kernel(&self) -> Kernel {
        self.source().grid().kernel
    }

    /// See [`Grid::split_k`](super::source::Grid::split_k).
    pub(crate) fn split_k(&self) -> usize {
        self.source().grid().split_k
    }

    /// What inputs and weights are rounded to before they are multiplied.
    pub(crate) fn factors(&self) -> Storage {
        match self.reads {
            Reads::Buffers(Buffers { factors, .. }) => factors,
            Reads::Memory(_) => Storage::F32,
        }
    }

    /// What a workgroup of `tiled` shares.
    pub(crate) fn workgroup(&self) -> Option<&WorkgroupTile> {
        match &self.reads {
            Reads::Buffers(_) => None,
            Reads::Memory(workgroup) => Some(workgroup),
        }
    }

    /// How many elements of the input are read at once.
    pub(crate) fn elements_read(&self) -> usize {
        match self.reads {
            Reads::Buffers(Buffers { reading, .. }) => reading.access().elements(),
            Reads::Memory(_) => 1,
        }
    }

    /// The tile of which this one's kernel is made: what differs only between layers of other sizes must not make
    /// another kernel.
    pub(crate) fn compiled(mut self) -> Self {
        if let Reads::Buffers(buffers) = &mut self.reads {
            buffers.split_k = buffers.split_k.min(2);
        }
        self
    }
}

/// Its name among the candidates of an operation: tuning files have it.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegisterTile { rank, axes, .. } = &self.shape;
        let join =
            |values: [usize; 3]| values[3 - rank..].iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        let (cells, phases) = (join(axes.map(|axis| axis.cells)), join(axes.map(|axis| axis.phases)));
        write!(f, "{cells} cells of {phases} outputs, {} channels", self.shape.channels())?;
        if self.shape.rounds() > 1 {
            write!(f, ", rounds of {} taps", join(axes.map(|axis| axis.written)))?;
        }
        if self.factors() == Storage::F16 {
            write!(f, ", products of f16")?;
        }
        if let Some(workgroup) = self.workgroup() {
            write!(f, ", {} invocations, {} along the channels", workgroup.invocations(), workgroup.blocks)?;
            if workgroup.ahead {
                write!(f, ", read ahead")?;
            }
        }
        match self.split_k() {
            1 => Ok(()),
            splits => write!(f, ", {splits} splits of the input channels"),
        }
    }
}
