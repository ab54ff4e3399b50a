//! What to boot, and how rhyp and QEMU are asked for it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Who runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// This project.
    Rhyp,
    /// `qemu-system-ppc64`, for proving the tests and for comparison.
    Qemu,
}

/// How a guest's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It powered itself off.
    PowerOff,
    /// It died: panic, os-term, check-stop.
    Died,
}

impl Peer {
    /// The exit status by which the peer reports an outcome.
    pub fn status(self, outcome: Outcome) -> i32 {
        match (self, outcome) {
            (_, Outcome::PowerOff) => 0,
            (Self::Rhyp, Outcome::Died) => 3,
            (Self::Qemu, Outcome::Died) => 1,
        }
    }
}

/// Processor models under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cpu {
    /// ISA 2.07; hashed page tables and XICS only.
    Power8,
    /// ISA 3.0.
    Power9,
    /// ISA 3.1.
    Power10,
}

impl Cpu {
    /// The name on rhyp's command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Power8 => "power8",
            Self::Power9 => "power9",
            Self::Power10 => "power10",
        }
    }
}

/// How the guest translates addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mmu {
    /// Radix tree tables.
    Radix,
    /// Hashed page table.
    Hash,
}

/// The interrupt controller offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IrqChip {
    /// The older controller, by hypercalls.
    Xics,
    /// The newer one, by pages.
    Xive,
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Mmu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Radix => "radix",
            Self::Hash => "hash",
        })
    }
}

impl fmt::Display for IrqChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xics => "xics",
            Self::Xive => "xive",
        })
    }
}

/// A boot, independent of who runs it.
#[derive(Clone, Debug)]
pub struct BootSpec {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub append: String,
    /// The processor model.
    pub cpu: Cpu,
    /// Number of virtual processors.
    pub cpus: u32,
    /// How many of them form a core.
    pub threads: u32,
    /// Memory, as both command lines write it (`1G`).
    pub memory: String,
    /// Address translation.
    pub mmu: Mmu,
    /// Interrupt controller.
    pub irqchip: IrqChip,
    /// More of rhyp's own options; the other peer does not get them.
    pub rhyp_options: Vec<OsString>,
}

impl BootSpec {
    /// One POWER9 processor, 1 GiB, radix, XIVE, console on hvc0.
    pub fn new(kernel: &Path, initrd: &Path) -> Self {
        Self {
            kernel: kernel.to_path_buf(),
            initrd: initrd.to_path_buf(),
            append: "console=hvc0".to_owned(),
            cpu: Cpu::Power9,
            cpus: 1,
            threads: 1,
            memory: "1G".to_owned(),
            mmu: Mmu::Radix,
            irqchip: IrqChip::Xive,
            rhyp_options: Vec::new(),
        }
    }

    /// The same on another processor model, with the translation and interrupts a POWER8 is limited to.
    #[must_use]
    pub fn on(mut self, cpu: Cpu) -> Self {
        self.cpu = cpu;
        if cpu == Cpu::Power8 {
            (self.mmu, self.irqchip) = (Mmu::Hash, IrqChip::Xics);
        }
        self
    }

    /// The arguments after the program's name.
    pub fn arguments(&self, peer: Peer) -> Vec<OsString> {
        match peer {
            Peer::Rhyp => self.rhyp_arguments(),
            Peer::Qemu => self.qemu_arguments(),
        }
    }

    fn rhyp_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into(), "--kernel".into(), self.kernel.clone().into()];
        arguments.extend(["--initrd".into(), self.initrd.clone().into()]);
        for (option, value) in [
            ("--append", self.append.clone()),
            ("--cpu", self.cpu.to_string()),
            ("--cpus", self.cpus.to_string()),
            ("--threads", self.threads.to_string()),
            ("--memory", self.memory.clone()),
            ("--mmu", self.mmu.to_string()),
            ("--irqchip", self.irqchip.to_string()),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
        arguments.extend(self.rhyp_options.iter().cloned());
        arguments
    }

    fn qemu_arguments(&self) -> Vec<OsString> {
        let hash = self.mmu == Mmu::Hash && self.cpu != Cpu::Power8;
        let append = if hash { format!("{} disable_radix", self.append) } else { self.append.clone() };
        let cores = self.cpus / self.threads.max(1);
        let mut arguments: Vec<OsString> = Vec::new();
        for (option, value) in [
            ("-machine", format!("pseries,x-vof=on,ic-mode={}", self.irqchip)),
            ("-cpu", self.cpu.name().to_uppercase()),
            ("-smp", format!("{},sockets=1,cores={cores},threads={}", self.cpus, self.threads)),
            ("-m", self.memory.clone()),
            ("-append", append),
            ("-display", "none".to_owned()),
            ("-monitor", "none".to_owned()),
            ("-serial", "stdio".to_owned()),
            ("-action", "panic=exit-failure".to_owned()),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
        arguments.push("-nodefaults".into());
        arguments.extend(["-kernel".into(), self.kernel.clone().into()]);
        arguments.extend(["-initrd".into(), self.initrd.clone().into()]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(spec: &BootSpec, peer: Peer) -> String {
        let words: Vec<_> = spec.arguments(peer).iter().map(|a| a.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn a_power8_has_neither_radix_nor_xive() {
        let spec = BootSpec::new(Path::new("/k"), Path::new("/i")).on(Cpu::Power8);
        let rhyp = words(&spec, Peer::Rhyp);
        assert!(rhyp.contains("--cpu power8") && rhyp.contains("--mmu hash --irqchip xics"), "{rhyp}");
        let qemu = words(&spec, Peer::Qemu);
        assert!(qemu.contains("-cpu POWER8") && !qemu.contains("disable_radix"), "{qemu}");
    }

    #[test]
    fn hash_on_power9_is_asked_for_by_each_peers_means() {
        let mut spec = BootSpec::new(Path::new("/k"), Path::new("/i"));
        (spec.mmu, spec.cpus, spec.threads) = (Mmu::Hash, 4, 2);
        assert!(words(&spec, Peer::Qemu).contains("console=hvc0 disable_radix"));
        assert!(words(&spec, Peer::Qemu).contains("-smp 4,sockets=1,cores=2,threads=2"));
        let rhyp = words(&spec, Peer::Rhyp);
        assert!(rhyp.contains("--mmu hash") && !rhyp.contains("disable_radix"), "{rhyp}");
    }
}
