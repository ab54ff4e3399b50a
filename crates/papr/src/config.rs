//! What a partition is made of, as far as the guest is told.

use arch::Model;

/// Address translations the partition may offer (`--mmu`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MmuChoice {
    /// Whatever the model has; the guest chooses.
    #[default]
    Any,
    /// Radix trees only. A model without them has hashed tables nevertheless.
    Radix,
    /// Hashed tables only.
    Hash,
}

/// Interrupt controllers the partition may offer (`--irqchip`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IrqChoice {
    /// Both where the model has both; the guest chooses.
    #[default]
    Dual,
    /// XICS only.
    Xics,
    /// XIVE only. A model without it has XICS nevertheless.
    Xive,
}

/// The least and the most a partition may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Virtual cores.
    pub cores: (u32, u32),
    /// Entitlement in hundredths of a processor.
    pub entitled: (u32, u32),
    /// Memory in bytes.
    pub memory: (u64, u64),
}

/// How a partition has its processors, as H_GET_PPP tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Out of a pool that it shares with others.
    pub shared: bool,
    /// Hundredths of a processor.
    pub entitled: u32,
    /// Its weight, if it may have what others leave.
    pub weight: Option<u8>,
    /// Hundredths that nobody is entitled to.
    pub unallocated: u32,
    /// Processors of the pool.
    pub pool: u32,
    /// Processors of the machine.
    pub machine: u32,
    /// Nanoseconds of the pool's processors that nobody had.
    pub pool_idle: u64,
}

/// Description of a partition that does not change while it lives.
#[derive(Clone, Debug)]
pub struct PartitionConfig {
    /// Processor model.
    pub model: &'static Model,
    /// Model whose architecture level is the newest one the guest may use (`--cpu NAME,compat=NAME`).
    pub compat: Option<&'static Model>,
    /// Translations to offer.
    pub mmu: MmuChoice,
    /// Interrupt controllers to offer.
    pub irqchip: IrqChoice,
    /// Virtual processors, at least 1.
    pub vcpus: u32,
    /// Threads of a core: 1, 2, 4 or 8. Virtual processor `core * threads + thread` is thread `thread` of `core`.
    pub threads: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Between what processors and memory may be changed; `None`: they stay as they are.
    pub limits: Option<Limits>,
    /// Name of the partition.
    pub name: String,
    /// Number of the partition, from 1.
    pub number: u32,
    /// Identity of the partition.
    pub uuid: [u8; 16],
    /// The root's `model` property. Tools take "emulated by qemu" for a machine they do not work on.
    pub model_name: String,
    /// The root's `system-id`: "IBM," and a serial number.
    pub system_id: String,
}

impl PartitionConfig {
    /// A partition of this model with one processor and this much memory, and names that say nothing.
    pub fn new(model: &'static Model, memory: u64) -> Self {
        PartitionConfig {
            model,
            compat: None,
            mmu: MmuChoice::Any,
            irqchip: IrqChoice::Dual,
            vcpus: 1,
            threads: 1,
            memory,
            limits: None,
            name: "rhyp".into(),
            number: 1,
            uuid: [0; 16],
            model_name: "IBM,pSeries-rhyp".into(),
            system_id: "IBM,0000001".into(),
        }
    }

    /// The model whose architecture level is the newest to be offered.
    pub fn newest(&self) -> &'static Model {
        match self.compat {
            Some(c) if c.logical_pvr < self.model.logical_pvr => c,
            _ => self.model,
        }
    }

    /// Whether radix trees are offered.
    pub fn offers_radix(&self) -> bool {
        self.mmu != MmuChoice::Hash && self.newest().radix
    }

    /// Whether hashed tables are offered.
    pub fn offers_hash(&self) -> bool {
        self.mmu != MmuChoice::Radix || !self.newest().radix
    }

    /// Whether XIVE is offered.
    pub fn offers_xive(&self) -> bool {
        self.irqchip != IrqChoice::Xics && self.newest().xive
    }

    /// Whether XICS is offered.
    pub fn offers_xics(&self) -> bool {
        self.irqchip != IrqChoice::Xive || !self.newest().xive
    }

    /// Cores, the last one perhaps with fewer threads.
    pub fn cores(&self) -> u32 {
        self.vcpus.div_ceil(self.threads.max(1))
    }

    /// Processors of its own and nothing else in the machine.
    pub fn dedicated(&self) -> Capacity {
        let cores = self.cores();
        let entitled = cores.saturating_mul(100);
        Capacity {
            shared: false,
            entitled,
            weight: None,
            unallocated: 0,
            pool: cores,
            machine: cores,
            pool_idle: 0,
        }
    }

    /// What it may be given.
    pub fn limits(&self) -> Limits {
        let entitled = self.cores().saturating_mul(100);
        let now = Limits {
            cores: (self.cores(), self.cores()),
            entitled: (entitled, entitled),
            memory: (self.memory, self.memory),
        };
        self.limits.unwrap_or(now)
    }

    /// The virtual processors that are threads of a core.
    pub fn threads_of(&self, core: u32) -> std::ops::Range<u32> {
        let first = core.saturating_mul(self.threads.max(1));
        first..first.saturating_add(self.threads.max(1)).min(self.vcpus)
    }

    /// log2 of the size of the hashed page table in bytes: 1/128 of the memory, as PAPR recommends, and no less than
    /// 256 KiB, no more than 16 GiB.
    pub fn hpt_shift(&self) -> u32 {
        let memory = self.memory.max(1).checked_next_power_of_two().unwrap_or(1 << 63);
        (memory.ilog2().saturating_sub(7)).clamp(18, 34)
    }

    /// The largest table that the guest may resize to: four times the usual one.
    pub fn max_hpt_shift(&self) -> u32 {
        self.hpt_shift() + 2
    }

    /// Bytes of memory that are accessible with translation off (`/memory@0`).
    pub fn rma_size(&self) -> u64 {
        self.memory.min(1 << 40)
    }
}
