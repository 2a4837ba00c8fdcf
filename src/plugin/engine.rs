//! The one place that configures wasmtime.

use std::{fmt, thread, time::Duration};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::config;

/// How often the epoch advances: the grain in which computing time is checked, and the longest that
/// a guest keeps other tasks of its thread waiting.
const TICK: Duration = Duration::from_millis(10);

/// The native stack of a guest: recursion beyond it traps. Interpreters need most of it.
const WASM_STACK: usize = 512 << 10;

/// The fiber's whole stack: what the server's own functions need comes on top of the guest's.
const FIBER_STACK: usize = 1 << 20;

/// The most core instances, memories and tables of one component: an interpreter of Python has 38,
/// 4 and 10, a plugin in Rust 3, 1 and 2. A limit, and no memory that is set aside.
pub(super) const CORE_INSTANCES: u32 = 40;
pub(super) const MEMORIES: u32 = 4;
pub(super) const TABLES: u32 = 10;

/// Bytes of an instance's memory that stay for the next one, wiped: all that the shipped plugins have.
const KEPT: usize = 256 << 10;

/// Elements of one table: the functions of SpiderMonkey are some 20,000.
pub(super) const TABLE_ELEMENTS: usize = 50_000;

/// The interpreter's target that fits the machine.
#[cfg(target_endian = "little")]
const PULLEY: &str = "pulley64";
#[cfg(target_endian = "big")]
const PULLEY: &str = "pulley64be";

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allocation {
    /// A pool whose slots are as large as a guest can address: no bounds check is ever executed.
    Pool,
    /// A pool of small slots, with bounds checks: for systems with little address space.
    SmallPool,
    /// Each memory is mapped when an instance is made.
    OnDemand,
}

impl Allocation {
    /// The most that one memory can have, whatever the configuration says.
    pub(super) fn slot(self) -> u64 {
        match self {
            Self::Pool | Self::OnDemand => 4 << 30,
            Self::SmallPool => 256 << 20,
        }
    }
}

impl Allocation {
    /// For another process.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Pool => 0,
            Self::SmallPool => 1,
            Self::OnDemand => 2,
        }
    }

    /// That of a number.
    pub(super) fn of(number: u8) -> Option<Self> {
        let all = [Self::Pool, Self::SmallPool, Self::OnDemand];
        all.into_iter().find(|one| one.number() == number)
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pool => "a pool of 4 GiB slots",
            Self::SmallPool => "a pool of 256 MiB slots",
            Self::OnDemand => "memory mapped on demand",
        })
    }
}

/// An engine for `instances` at a time, with its clock running.
///
/// # Errors
/// When not even the plainest engine can be made, or there is no thread for the clock.
pub(super) fn engine(
    instances: u32,
    kind: config::Engine,
) -> wasmtime::Result<(Engine, Allocation)> {
    let pooled = |allocation| {
        let mut config = config(allocation, kind)?;
        pool(&mut config, instances, allocation);
        Ok((Engine::new(&config)?, allocation))
    };
    let made = pooled(Allocation::Pool).or_else(|error: wasmtime::Error| {
        tracing::warn!(%error, instances,
            "there is not enough address space for 4 GiB a plugin instance: plugins get 256 MiB at \
             most and execute bounds checks, some 10 to 30 % slower; lift `ulimit -v` or lower \
             plugin-host.instances");
        pooled(Allocation::SmallPool)
    });
    let made = made.or_else(|error| {
        tracing::warn!(%error, instances,
            "there is not enough address space for a pool of plugin instances: each login and each \
             upload maps its memory anew, several times slower; lift `ulimit -v` or lower \
             plugin-host.instances");
        pooled(Allocation::OnDemand)
    });
    let (engine, allocation) = made?;
    tick(&engine)?;
    Ok((engine, allocation))
}

/// An engine that compiles for those of this kind, and runs nothing.
///
/// # Errors
/// When it cannot be made.
pub(super) fn compiling(allocation: Allocation, kind: config::Engine) -> wasmtime::Result<Engine> {
    Engine::new(&config(allocation, kind)?)
}

/// All that compiled code depends on.
fn config(allocation: Allocation, kind: config::Engine) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if kind == config::Engine::Pulley {
        config.target(PULLEY)?;
    }
    config
        .wasm_component_model(true)
        // Calls are plain ones: without the component model's own tasks a call is cheaper.
        .concurrency_support(false)
        // Ends loops, and lets other tasks run; 10 to 20 % of a tight loop, half of what fuel costs.
        .epoch_interruption(true)
        // Traps in the log name functions, and lines where the component carries them.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        // Inspectors search with vectors. The relaxed ones differ from machine to machine.
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        // Nothing in the contract uses these.
        .wasm_memory64(false)
        // The initial memory is mapped, not copied.
        .memory_init_cow(true);
    match allocation {
        Allocation::Pool => {
            // The whole of a 32-bit address space and the largest usual offset: nothing to check.
            config
                .memory_reservation(4 << 30)
                .memory_guard_size(32 << 20);
        }
        Allocation::SmallPool => {
            config
                .memory_reservation(256 << 20)
                .memory_guard_size(64 << 10);
        }
        Allocation::OnDemand => {
            // Address space is scarce, or this would be a pool: a memory moves when it grows.
            config.memory_reservation(0).memory_guard_size(64 << 10);
        }
    }
    Ok(config)
}

/// Gives instances their memory from a pool, where there is one.
fn pool(config: &mut Config, instances: u32, allocation: Allocation) {
    if allocation == Allocation::OnDemand {
        return;
    }
    let slot = usize::try_from(allocation.slot()).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::default();
    // `slots` hands out as many permits as there are memories, so that the pool is never empty for
    // one who holds a permit; the other totals are as many as so many memories can come with.
    pool.total_component_instances(instances)
        .total_memories(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        // Metadata of large interpreters; a limit alone.
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(slot)
        .table_elements(TABLE_ELEMENTS)
        // InstanceLimiter that wait with a component's memory image mapped.
        .max_unused_warm_slots(100)
        // This part of a memory is wiped, at once when its guest is gone: no password waits in it. The
        // rest goes back to the system, which is quicker for much and slower for little: each page that
        // the next guest writes to is a fault. `pagemap_scan` would find the pages that were
        // written to, but passes over those that are swapped out.
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(16 << 10);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
}

/// Advances the epoch for as long as somebody else holds the engine.
fn tick(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("plugin-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    /// Code that one process compiles is what the other takes.
    #[test]
    fn compiled_code_does_not_depend_on_the_pool() {
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        for kind in [config::Engine::Native, config::Engine::Pulley] {
            let (running, allocation) = engine(20, kind).unwrap();
            assert_eq!(hash(&running), hash(&compiling(allocation, kind).unwrap()));
        }
    }

    /// Of a memory that is larger than what is wiped: below that, above, and where its data lie.
    #[test]
    fn no_instance_finds_what_another_has_written() {
        use wasm_encoder::{
            ConstExpr, DataSection, ExportKind, ExportSection, MemorySection, MemoryType, Module,
        };

        const PAGES: u64 = 20;
        const DATA: (usize, &[u8]) = (100_000, b"as it was compiled");
        let memory = MemoryType {
            minimum: PAGES,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        let mut module = Module::new();
        module.section(MemorySection::new().memory(memory));
        module.section(ExportSection::new().export("memory", ExportKind::Memory, 0));
        let at = ConstExpr::i32_const(i32::try_from(DATA.0).unwrap());
        module.section(DataSection::new().active(0, &at, DATA.1.iter().copied()));

        let (engine, _) = engine(2, config::Engine::Native).unwrap();
        let module = wasmtime::Module::new(&engine, module.finish()).unwrap();
        let end = DATA.0 + DATA.1.len();
        for grown in [0, 1, 3, 0, 0] {
            let mut store = wasmtime::Store::new(&engine, ());
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            memory.grow(&mut store, grown).unwrap();
            let bytes = memory.data_mut(&mut store);
            assert!(bytes.len() > 2 * KEPT);
            assert_eq!(bytes.get(DATA.0..end), Some(DATA.1));
            let others = bytes.iter().enumerate();
            let found = others
                .filter(|(at, _)| !(DATA.0..end).contains(at))
                .find(|(_, byte)| **byte != 0);
            assert_eq!(found, None);
            bytes.fill(0xaa);
        }
    }
}
