//! The device tree a partition starts with (LoPAR appendix B and C), as far as it does not come from the devices.

use arch::hpt::PAGE_SIZES;
use arch::state::SLB_SIZE;
use arch::time::TB_HZ;
use device::irq::{IrqKind, lisn};
use device::{DeviceTree, NodeId};
use devices::intc::Intc;
use devices::nvram::Nvram;
use devices::phb::Phb;
use devices::vterm::Vterms;
use firmware::stub;
use isa::Level;

use crate::cas::{Agreement, level_of};
use crate::config::PartitionConfig;
use crate::drc;
use crate::hcall;
use crate::rtas;
use crate::vio::VioBus;

/// What the tree is made from.
pub struct TreeInput<'a> {
    /// The partition.
    pub config: &'a PartitionConfig,
    /// What is agreed upon: [`crate::PaprState::agreement`].
    pub agreement: &'a Agreement,
    /// The interrupt controller. [`lisn::EPOW`] has to be claimed for `/event-sources/epow-events`.
    pub intc: &'a Intc,
    /// The terminals, the first being the console.
    pub terminals: &'a Vterms,
    /// The non-volatile memory.
    pub nvram: &'a Nvram,
    /// Other adapters below `/vdevice`.
    pub vio: &'a VioBus,
    /// The PCI host bridge.
    pub phb: Option<&'a Phb>,
    /// Kernel command line; empty for none.
    pub bootargs: &'a str,
    /// Address and size of the initial RAM disk.
    pub initrd: Option<(u64, u64)>,
    /// Address and size of a kernel that firmware in guest memory is to start, and whether it is little-endian.
    pub boot_kernel: Option<(u64, u64, bool)>,
    /// Where RTAS stands already, for a kernel entered with a flattened tree.
    pub rtas_base: Option<u32>,
    /// Random bytes for the kernel; empty for none.
    pub rng_seed: &'a [u8],
}

/// Frequency the processors claim to run at, in Hz.
const CLOCK_HZ: u32 = 2_000_000_000;
/// Bytes of a cache line.
const LINE: u32 = 128;
/// `reg` of the first second- and third-level cache; the numbers of caches are not those of processors.
const L2_BASE: u32 = 0x2000_0000;
const L3_BASE: u32 = 0x3000_0000;
/// Depth of the associativity lists: four domains, the last being the node.
const DOMAINS: usize = 4;

/// `ibm,pa-features` behind its length and type bytes: from byte 0 on, what ISA 2.06 has.
const PA_2_06: [u8; 6] = [0xf6, 0x3f, 0xc7, 0x00, 0x00, 0xc0];
/// What ISA 2.07 has,
/// without transactional memory.
const PA_2_07: [u8; 24] =
    [0xf6, 0x3f, 0xc7, 0xc0, 0x00, 0xf0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0, 0];
/// Bytes 24 to 65 of ISA 3.0.
const PA_3_0: [u8; 42] = [
    0x80, 0, 0x80, 0, 0x80, 0, 0, 0, 0x80, 0, 0xc0, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80,
    0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0, 0, 0,
];
/// Byte of the features that says "radix", in its top bit.
const PA_RADIX: usize = 40;

/// The numbers of a processor's associativity domains: of its memory, then itself.
pub(crate) fn cpu_associativity(vcpu: u32) -> [u32; DOMAINS + 1] {
    let mut domains = [0; DOMAINS + 1];
    domains[DOMAINS] = vcpu;
    domains
}

/// Makes the tree.
pub fn build(input: &TreeInput) -> DeviceTree {
    let mut tree = DeviceTree::new();
    let TreeInput { config, agreement, .. } = *input;
    root(&mut tree, config);
    chosen(&mut tree, input);
    cpus(&mut tree, config);
    memory(&mut tree, config);
    let rtas = rtas_node(&mut tree, config);
    stub::describe_rtas(&mut tree, rtas);
    if let Some(base) = input.rtas_base {
        stub::describe_placed_rtas(&mut tree, rtas, base);
    }
    input.intc.describe(&mut tree);
    event_sources(&mut tree);
    vdevice(&mut tree, input);
    if let Some(phb) = input.phb {
        phb.describe(&mut tree, rtas::pci::window_tokens());
    }
    devices::rng::describe(&mut tree);
    show_agreement(&mut tree, config, agreement);
    tree
}

fn root(tree: &mut DeviceTree, config: &PartitionConfig) {
    let root = DeviceTree::ROOT;
    tree.set_str(root, "device_type", "chrp");
    tree.set_str(root, "model", &config.model_name);
    tree.set_strs(root, "compatible", &[&config.model_name, "qemu,pseries"]);
    tree.set_u32(root, "#address-cells", 2);
    tree.set_u32(root, "#size-cells", 2);
    tree.set_str(root, "system-id", &config.system_id);
    tree.set_str(root, "ibm,partition-name", &config.name);
    tree.set_u32(root, "ibm,partition-no", config.number);
    tree.set_u32(root, "hmc-managed?", 0);
    tree.set_empty(root, "ibm,lpar-capable");
    tree.set_u32(root, "ibm,partition-performance-parameters-level", 1);
    let uuid = uuid_text(&config.uuid);
    tree.set_str(root, "vm,uuid", &uuid);
    tree.set_str(root, "ibm,partition-uuid", &uuid);
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex =
        |range: std::ops::Range<usize>| uuid[range].iter().map(|b| format!("{b:02x}")).collect::<String>();
    [0..4, 4..6, 6..8, 8..10, 10..16].map(hex).join("-")
}

fn chosen(tree: &mut DeviceTree, input: &TreeInput) {
    let config = input.config;
    let chosen = tree.ensure_node(DeviceTree::ROOT, "chosen");
    if !input.bootargs.is_empty() {
        tree.set_str(chosen, "bootargs", input.bootargs);
    }
    if let Some((addr, size)) = input.initrd {
        let end = addr.saturating_add(size);
        // SLOF reads one cell of each; Linux takes one or two.
        match (u32::try_from(addr), u32::try_from(end)) {
            (Ok(addr), Ok(end)) => {
                tree.set_u32(chosen, "linux,initrd-start", addr);
                tree.set_u32(chosen, "linux,initrd-end", end);
            }
            _ => {
                tree.set_u64(chosen, "linux,initrd-start", addr);
                tree.set_u64(chosen, "linux,initrd-end", end);
            }
        }
    }
    if let Some((addr, size, little_endian)) = input.boot_kernel {
        tree.set_u64s(chosen, "qemu,boot-kernel", &[addr, size]);
        if little_endian {
            tree.set_empty(chosen, "qemu,boot-kernel-le");
        }
    }
    if !input.rng_seed.is_empty() {
        tree.set_bytes(chosen, "rng-seed", input.rng_seed);
    }
    let xive = match (config.offers_xics(), config.offers_xive()) {
        (true, true) => 0x80,
        (false, true) => 0x40,
        _ => 0,
    };
    let mmu = match (config.offers_hash(), config.offers_radix()) {
        // Either, and it can be changed later.
        (true, true) => 0xc0,
        (false, true) => 0x40,
        _ => 0,
    };
    let gtse = if config.offers_radix() { 0x40 } else { 0 };
    let support = [23, xive, 24, mmu, 25, 0, 26, gtse];
    tree.set_bytes(chosen, "ibm,arch-vec-5-platform-support", support);
}

fn cpus(tree: &mut DeviceTree, config: &PartitionConfig) {
    let cpus = tree.ensure_node(DeviceTree::ROOT, "cpus");
    tree.set_u32(cpus, "#address-cells", 1);
    tree.set_u32(cpus, "#size-cells", 0);
    let first: Vec<u32> = (0..config.cores()).map(|core| config.threads_of(core).start).collect();
    drc::describe(tree, cpus, drc::Kind::Cpu, &first, |id| format!("CPU {id}"));
    // SLOF takes the first child for the boot processor, so caches come last.
    let nodes: Vec<_> = (0..config.cores()).map(|core| cpu(tree, cpus, config, core)).collect();
    for (core, node) in (0..config.cores()).zip(nodes) {
        let l2 = caches(tree, cpus, config, core);
        tree.set_phandle_ref(node, "l2-cache", l2);
    }
}

/// The caches beyond the first level of a core; answers the second.
fn caches(tree: &mut DeviceTree, cpus: NodeId, config: &PartitionConfig, core: u32) -> NodeId {
    let (l2_kib, l3_kib) = match config.model.level {
        Level::V3_1 => (1024, 4096),
        Level::V3_0 => (512, 10240),
        _ => (512, 8192),
    };
    let mut cache = |level: u32, base: u32, kib: u32| {
        let node = tree.add_node(cpus, &format!("l{level}-cache@{:x}", base + core));
        tree.set_str(node, "device_type", "cache");
        tree.set_u32(node, "reg", base + core);
        tree.set_empty(node, "cache-unified");
        let sets = kib * 1024 / LINE / 8;
        for side in ["d", "i"] {
            tree.set_u32(node, &format!("{side}-cache-size"), kib * 1024);
            tree.set_u32(node, &format!("{side}-cache-line-size"), LINE);
            tree.set_u32(node, &format!("{side}-cache-block-size"), LINE);
            tree.set_u32(node, &format!("{side}-cache-sets"), sets);
        }
        node
    };
    let l2 = cache(2, L2_BASE, l2_kib);
    let l3 = cache(3, L3_BASE, l3_kib);
    tree.set_phandle_ref(l2, "l2-cache", l3);
    l2
}

/// A core's node without what depends on the agreement.
fn cpu(tree: &mut DeviceTree, cpus: NodeId, config: &PartitionConfig, core: u32) -> NodeId {
    let model = config.model;
    let threads: Vec<u32> = config.threads_of(core).collect();
    let id = threads[0];
    let node = tree.add_node(cpus, &format!("PowerPC,{}@{id:x}", model.tree_name));
    tree.set_str(node, "device_type", "cpu");
    tree.set_u32(node, "reg", id);
    tree.set_str(node, "status", "okay");
    tree.set_empty(node, "64-bit");
    tree.set_u32(node, "clock-frequency", CLOCK_HZ);
    tree.set_u32(node, "timebase-frequency", TB_HZ as u32);
    for side in ["d", "i"] {
        tree.set_u32(node, &format!("{side}-cache-size"), 32 << 10);
        tree.set_u32(node, &format!("{side}-cache-line-size"), LINE);
        tree.set_u32(node, &format!("{side}-cache-block-size"), LINE);
        tree.set_u32(node, &format!("{side}-cache-sets"), 32);
    }
    for name in ["slb-size", "ibm,slb-size"] {
        tree.set_u32(node, name, SLB_SIZE as u32);
    }
    tree.set_u32(node, "ibm,vmx", 2);
    tree.set_u32(node, "ibm,dfp", 1);
    tree.set_u32(node, "ibm,purr", 1);
    tree.set_u32(node, "ibm,spurr", 1);
    tree.set_u32s(node, "ibm,processor-segment-sizes", &[28, 40, u32::MAX, u32::MAX]);
    let mut sizes = Vec::new();
    for s in &PAGE_SIZES {
        sizes.extend([s.shift, s.slb as u32, s.actual.len() as u32]);
        sizes.extend(s.actual.iter().flat_map(|&(shift, encoding)| [shift, encoding as u32]));
    }
    tree.set_u32s(node, "ibm,segment-page-sizes", &sizes);
    if config.offers_hash() {
        tree.set_u32s(node, "ibm,pft-size", &[0, config.hpt_shift()]);
    }
    if config.offers_radix() {
        // log2 of the page size, and in the top three bits what `tlbie` calls it.
        let encodings = [12, 5 << 29 | 16, 1 << 29 | 21, 2 << 29 | 30];
        tree.set_u32s(node, "ibm,processor-radix-AP-encodings", &encodings);
        let bits = pid_bits(config.memory);
        if bits < PID_BITS {
            tree.set_u32(node, "ibm,mmu-pid-bits", bits);
        }
    }
    tree.set_u32s(node, "ibm,ppc-interrupt-server#s", &threads);
    let global: Vec<u32> = threads.iter().flat_map(|&t| [t, 0]).collect();
    tree.set_u32s(node, "ibm,ppc-interrupt-gserver#s", &global);
    tree.set_bytes(node, "ibm,pi-features", [1, 0, 0]);
    tree.set_u32(node, "ibm,chip-id", 0);
    tree.set_u32(node, "ibm,my-drc-index", drc::index(drc::Kind::Cpu, id));
    let mut associativity = vec![DOMAINS as u32 + 1];
    associativity.extend(cpu_associativity(id));
    tree.set_u32s(node, "ibm,associativity", &associativity);
    node
}

/// Sets what depends on the agreement: the processors' version and features, `/chosen`'s vector. The interrupt
/// controller describes itself.
pub(crate) fn show_agreement(tree: &mut DeviceTree, config: &PartitionConfig, a: &Agreement) {
    let level = level_of(a.logical_pvr);
    let features = pa_features(level, config.offers_radix());
    let Some(cpus) = tree.find("/cpus") else { return };
    for node in tree.children(cpus).to_vec() {
        if tree.prop_str(node, "device_type") != Some("cpu") {
            continue;
        }
        tree.set_u32(node, "cpu-version", a.cpu_version);
        tree.set_bytes(node, "ibm,pa-features", &features[..]);
        if level >= Level::V3_0 && config.model.dec_bits > 32 {
            tree.set_u32(node, "ibm,dec-bits", config.model.dec_bits);
        } else {
            tree.remove_prop(node, "ibm,dec-bits");
        }
    }
    let chosen = tree.ensure_node(DeviceTree::ROOT, "chosen");
    if a.vec5.is_empty() {
        tree.remove_prop(chosen, "ibm,architecture-vec-5");
    } else {
        tree.set_bytes(chosen, "ibm,architecture-vec-5", &a.vec5[..]);
    }
}

fn pa_features(level: Level, radix: bool) -> Vec<u8> {
    let mut bits = if level >= Level::V2_07 { PA_2_07.to_vec() } else { PA_2_06.to_vec() };
    if level >= Level::V3_0 {
        bits.extend_from_slice(&PA_3_0);
        if !radix {
            bits[PA_RADIX] &= 0x7f;
        }
    }
    if level >= Level::V3_1 {
        // Copy and paste in order, prefixed instructions, matrices and the other additions of ISA 3.1.
        bits[64] = 0x80;
        bits.extend_from_slice(&[0x00, 0x00, 0xce, 0x00, 0x00, 0x00, 0x80, 0x00]);
    }
    let mut value = vec![bits.len() as u8, 0];
    value.extend(bits);
    value
}

/// Bits of a process identifier of these processors.
const PID_BITS: u32 = 20;

/// As many of them as a small partition shall use: Linux makes a table of 16 bytes for each identifier there can be, in
/// memory of its own, and 16 MiB would be an eighth of the smallest partitions. 1/128 of the memory is enough: no process
/// does with 2 KiB.
fn pid_bits(memory: u64) -> u32 {
    (memory / 128 / 16).max(1).ilog2().clamp(14, PID_BITS)
}

fn memory(tree: &mut DeviceTree, config: &PartitionConfig) {
    let mut add = |start: u64, size: u64| {
        let node = tree.ensure_node(DeviceTree::ROOT, &format!("memory@{start:x}"));
        tree.set_str(node, "device_type", "memory");
        tree.set_u64s(node, "reg", &[start, size]);
        tree.set_u32s(node, "ibm,associativity", &[DOMAINS as u32, 0, 0, 0, 0]);
    };
    let rma = config.rma_size();
    add(0, rma);
    if config.memory > rma {
        add(rma, config.memory - rma);
    }
}

/// Names of `ibm,hypertas-functions` and one of the hypercalls that each stands for (LoPAR table 7.3.1).
const HYPERTAS: &[(&str, u64)] = &[
    ("hcall-pft", 0x08),
    ("hcall-bulk", 0x124),
    ("hcall-block-remove", 0x328),
    ("hcall-hpt-resize", 0x36c),
    ("hcall-term", 0x58),
    ("hcall-dabr", 0x28),
    ("hcall-xdabr", 0x134),
    ("hcall-sprg0", 0x24),
    ("hcall-set-mode", 0x31c),
    ("hcall-interrupt", 0x64),
    ("hcall-tce", 0x20),
    ("hcall-multi-tce", 0x138),
    ("hcall-vio", 0x104),
    ("hcall-lLAN", 0x114),
    ("hcall-splpar", 0xdc),
    ("hcall-join", 0x298),
    ("hcall-copy", 0x2c),
    ("hcall-debug", 0x3c),
    ("hcall-vphn", 0x2ec),
    ("hcall-rpt-invalidate", 0x448),
];

fn rtas_node(tree: &mut DeviceTree, config: &PartitionConfig) -> NodeId {
    let rtas = tree.ensure_node(DeviceTree::ROOT, "rtas");
    let offered = |&&(name, number): &&(&str, u64)| {
        let possible = match name {
            "hcall-rpt-invalidate" => config.offers_radix(),
            "hcall-block-remove" => config.offers_hash(),
            _ => true,
        };
        possible && hcall::find(number).is_some()
    };
    let functions: Vec<&str> = HYPERTAS.iter().filter(offered).map(|f| f.0).collect();
    tree.set_strs(rtas, "ibm,hypertas-functions", &functions);
    tree.set_u32s(rtas, "ibm,associativity-reference-points", &[4, 3, 2, 1]);
    tree.set_u32s(rtas, "ibm,max-associativity-domains", &[DOMAINS as u32, 1, 1, 1, 1]);
    tree.set_u32(rtas, "rtas-version", 1);
    tree.set_u32(rtas, "rtas-error-log-max", rtas::events::ERROR_LOG_MAX);
    tree.set_u32(rtas, "rtas-event-scan-rate", 1);
    tree.set_empty(rtas, "ibm,extended-os-term");
    let (memory, lmb) = (config.memory, drc::LMB_SIZE);
    let capacity = [(memory >> 32) as u32, memory as u32, (lmb >> 32) as u32, lmb as u32, config.cores()];
    tree.set_u32s(rtas, "ibm,lrdr-capacity", &capacity);
    for (n, row) in rtas::TABLE.iter().enumerate() {
        tree.set_u32(rtas, row.name, rtas::token(n));
    }
    rtas
}

fn event_sources(tree: &mut DeviceTree) {
    let sources = tree.ensure_node(DeviceTree::ROOT, "event-sources");
    tree.set_empty(sources, "interrupt-controller");
    tree.set_u32(sources, "#interrupt-cells", 2);
    tree.set_u32s(sources, "interrupt-ranges", &[lisn::EPOW, 1]);
    let epow = tree.ensure_node(sources, "epow-events");
    tree.set_u32s(epow, "interrupts", &[lisn::EPOW, IrqKind::Msi.sense_cell()]);
}

fn vdevice(tree: &mut DeviceTree, input: &TreeInput) {
    let vdevice = tree.ensure_node(DeviceTree::ROOT, "vdevice");
    tree.set_str(vdevice, "device_type", "vdevice");
    tree.set_str(vdevice, "compatible", "IBM,vdevice");
    tree.set_u32(vdevice, "#address-cells", 1);
    tree.set_u32(vdevice, "#size-cells", 0);
    tree.set_u32(vdevice, "#interrupt-cells", 2);
    tree.set_empty(vdevice, "interrupt-controller");
    let mut console = None;
    for terminal in input.terminals.iter() {
        let node = terminal.describe(tree, vdevice);
        console.get_or_insert(node);
    }
    for device in input.vio.iter() {
        device.describe(tree, vdevice);
    }
    let nvram = input.nvram.describe(tree, vdevice);
    let aliases = tree.ensure_node(DeviceTree::ROOT, "aliases");
    let path = tree.path(nvram);
    tree.set_str(aliases, "nvram", &path);
    if let Some(console) = console {
        let path = tree.path(console);
        tree.set_str(aliases, "hvterm", &path);
        let chosen = tree.ensure_node(DeviceTree::ROOT, "chosen");
        tree.set_str(chosen, "stdout-path", &path);
        tree.set_str(chosen, "linux,stdout-path", &path);
    }
}

#[cfg(test)]
mod tests;
