//! Processor models.

use isa::Level;

/// A processor model as `--cpu` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name, lower case.
    pub name: &'static str,
    /// What the device tree calls it: `PowerPC,<this>`.
    pub tree_name: &'static str,
    /// Processor version register.
    pub pvr: u32,
    /// Newest instructions it has.
    pub level: Level,
    /// Logical PVR of its architecture level (`cpu-version` after CAS, LoPAR).
    pub logical_pvr: u32,
    /// Radix translation.
    pub radix: bool,
    /// XIVE interrupts can be offered.
    pub xive: bool,
    /// Bits of the large decrementer, 32 when there is none.
    pub dec_bits: u32,
    /// Most threads of a core.
    pub max_threads: u32,
    /// `scv` and FSCR[SCV].
    pub scv: bool,
}

const POWER7: Model = Model {
    name: "power7",
    tree_name: "POWER7",
    pvr: 0x003f_0203,
    level: Level::V2_06,
    logical_pvr: 0x0f00_0003,
    radix: false,
    xive: false,
    dec_bits: 32,
    max_threads: 4,
    scv: false,
};
const POWER8: Model = Model {
    name: "power8",
    tree_name: "POWER8",
    pvr: 0x004d_0200,
    level: Level::V2_07,
    logical_pvr: 0x0f00_0004,
    radix: false,
    xive: false,
    dec_bits: 32,
    max_threads: 8,
    scv: false,
};
const POWER9: Model = Model {
    name: "power9",
    tree_name: "POWER9",
    pvr: 0x004e_1202,
    level: Level::V3_0,
    logical_pvr: 0x0f00_0005,
    radix: true,
    xive: true,
    dec_bits: 56,
    max_threads: 8,
    scv: true,
};
const POWER10: Model = Model {
    name: "power10",
    tree_name: "POWER10",
    pvr: 0x0080_0200,
    level: Level::V3_1,
    logical_pvr: 0x0f00_0006,
    radix: true,
    xive: true,
    dec_bits: 56,
    max_threads: 8,
    scv: true,
};

/// All models; relatives of POWER7 and POWER8 share their descriptions but for name and PVR.
pub static MODELS: &[Model] = &[
    POWER7,
    Model { name: "power7+", tree_name: "POWER7+", pvr: 0x004a_0201, ..POWER7 },
    POWER8,
    Model { name: "power8e", pvr: 0x004b_0201, ..POWER8 },
    Model { name: "power8nvl", pvr: 0x004c_0100, ..POWER8 },
    POWER9,
    POWER10,
    // The instructions of POWER10 under another version.
    Model { name: "power11", tree_name: "POWER11", pvr: 0x0082_1200, logical_pvr: 0x0f00_0007, ..POWER10 },
];

impl Model {
    /// The model of a name, upper or lower case.
    pub fn by_name(name: &str) -> Option<&'static Model> {
        MODELS.iter().find(|m| m.name.eq_ignore_ascii_case(name))
    }
}
