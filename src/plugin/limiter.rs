//! The limits of one instance: memory, tables, and the memory that the server keeps on its behalf.

use std::fmt;

use wasmtime::ResourceLimiter;

use super::{
    engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES},
    instance_limiter::InstancePermit,
};

/// Counts what the instances of one store ask for, and remembers what was denied: a guest that is
/// denied memory crashes in a way of its own, and the log should say why.
pub(super) struct Limiter {
    /// Counts it among what all instances have.
    slot: InstancePermit,
    memory: u64,
    used: u64,
    asked: u64,
    denied: Option<Excess>,
}

impl Limiter {
    pub(super) fn new(memory: u64, slot: InstancePermit) -> Self {
        Self {
            slot,
            memory,
            used: 0,
            asked: 0,
            denied: None,
        }
    }

    /// Bytes of linear memory that the instances of the store have had at most: memory never shrinks.
    pub(super) fn peak(&self) -> u64 {
        self.used
    }

    /// The first denial.
    pub(super) fn denied(&self) -> Option<Excess> {
        self.denied
    }

    /// A new call begins on the same instance.
    pub(super) fn restart(&mut self) {
        self.denied = None;
    }

    fn deny(&mut self, excess: Excess) -> bool {
        self.denied.get_or_insert(excess);
        false
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        if self.used.saturating_add(more) > self.memory {
            return Ok(self.deny(Excess::Memory(self.memory)));
        }
        if !self.slot.grow(more) {
            return Ok(self.deny(Excess::Budget));
        }
        self.used += more;
        self.asked = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        if self.denied.is_none() {
            self.used = self.used.saturating_sub(self.asked);
            self.slot.shrink(self.asked);
        }
        self.asked = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS || self.deny(Excess::Table))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

/// A limit that a guest ran into. As an error it ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// Linear memory, in bytes.
    Memory(u64),
    /// Linear memory of all instances together, or the user's share of it.
    Budget,
    /// The elements of a table.
    Table,
    /// More of this than the server keeps.
    Kept(&'static str, usize),
}

impl fmt::Display for Excess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(limit) => {
                write!(formatter, "more memory than limits.memory, {limit} bytes")
            }
            Self::Budget => formatter.write_str(
                "more memory than is left for it of plugin-host.memory, which all plugins share",
            ),
            Self::Table => write!(formatter, "a table of more than {TABLE_ELEMENTS} elements"),
            Self::Kept(what, limit) => write!(formatter, "{what}: more than {limit}"),
        }
    }
}

impl std::error::Error for Excess {}
