//! Puts a kernel image into guest memory: ELF, 32 or 64 bit, either byte order, gzip'd or not.
//!
//! Where a segment goes:
//! - A 64-bit kernel linked at 0xC000000000000000 (`vmlinux`) goes to [`Layout::kernel_base`] plus the low
//!   60 bits of its link address; it moves itself down to 0 later.
//! - An image linked at 0, where the interrupt vectors are (test kernels), is position-independent and
//!   shifted to [`Layout::kernel_base`] as well.
//! - Every other image (`zImage.pseries`, GRUB's `core.elf`) goes to the physical addresses in its header.
//!
//! Whatever the image's byte order, its first instruction is executed in big-endian mode, in 32-bit mode if
//! the file is a 32-bit one, with translation off (IEEE 1275 PowerPC binding section 8).

use std::borrow::Cow;
use std::io::Read;

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endian as _, Endianness, ReadRef};
use serde::{Deserialize, Serialize};

/// Where `vmlinux` goes unless the machine says otherwise.
pub const DEFAULT_KERNEL_BASE: u64 = 0x40_0000;
/// Most bytes a compressed image may unfold to.
pub const MAX_IMAGE_SIZE: u64 = 1 << 30;
/// Most program headers that are looked at.
pub const MAX_SEGMENTS: usize = 256;
/// Alignment of the initial RAM disk.
pub const INITRD_ALIGN: u64 = 0x1_0000;

/// The low 60 bits of a link address: what real mode sees.
const REAL_MASK: u64 = (1 << 60) - 1;
/// The quadrant that 64-bit kernels are linked in.
const KERNEL_QUADRANT: u64 = 0xC;

/// What the loader has to know of guest memory. Sizes in bytes; memory starts at real address 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Memory that is accessible with translation off.
    pub rma_size: u64,
    /// All memory, at least `rma_size`.
    pub ram_size: u64,
    /// Where images that do not insist on a place go.
    pub kernel_base: u64,
}

impl Layout {
    /// A layout with the usual place for the kernel.
    pub fn new(rma_size: u64, ram_size: u64) -> Self {
        Layout { rma_size, ram_size, kernel_base: DEFAULT_KERNEL_BASE }
    }
}

/// Byte order of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

/// What was loaded. Addresses are real ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Address of the first instruction.
    pub entry: u64,
    /// Value for r2 if the image names its entry by a function descriptor (ELF ABI version 1).
    pub toc: Option<u64>,
    /// Byte order of the file.
    pub endian: ByteOrder,
    /// Whether it is a 64-bit file; a 32-bit one starts in 32-bit mode.
    pub is_64bit: bool,
    /// First byte of the image in memory.
    pub low: u64,
    /// First byte after it, uninitialised data included.
    pub high: u64,
    /// What it is, for a person.
    pub name: String,
}

/// Guest memory refused an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guest memory at {0:#x} cannot be written")]
pub struct TargetError(pub u64);

/// Where an image is written to.
pub trait LoadTarget {
    /// Writes bytes at a real address.
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), TargetError>;
    /// Clears bytes at a real address.
    fn zero(&mut self, addr: u64, len: u64) -> Result<(), TargetError>;
}

/// Why an image cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The magic number is missing.
    #[error("not an ELF file")]
    NotElf,
    /// Damaged gzip data.
    #[error("gzip data is damaged: {0}")]
    BadGzip(String),
    /// The unpacked image is larger than the loader accepts.
    #[error("unpacks to more than {0} MiB")]
    UnpacksTooLarge(u64),
    /// For another processor.
    #[error("ELF file for {0}, not for Power")]
    WrongMachine(String),
    /// Not something that can be started.
    #[error("ELF file is not executable ({0})")]
    NotExecutable(&'static str),
    /// The file ends before its contents do.
    #[error("ELF file is truncated")]
    Truncated,
    /// The header contradicts itself.
    #[error("ELF file is malformed: {0}")]
    Malformed(&'static str),
    /// Two segments would occupy the same memory.
    #[error("ELF segments overlap at {0:#x}")]
    Overlap(u64),
    /// Does not fit.
    #[error("{what} needs memory up to {needed:#x}, but only {available:#x} bytes are there")]
    TooLarge {
        /// What does not fit.
        what: &'static str,
        /// First address after it.
        needed: u64,
        /// Memory there is.
        available: u64,
    },
    /// Would overwrite interrupt vectors and firmware.
    #[error("ELF segment at {0:#x} lies where firmware is")]
    InFirmware(u64),
    /// Guest memory refused.
    #[error(transparent)]
    Target(#[from] TargetError),
}

struct Segment<'a> {
    /// Link address, for the entry.
    vaddr: u64,
    /// Physical address by the file.
    paddr: u64,
    /// Where it goes.
    dest: u64,
    data: &'a [u8],
    memsz: u64,
    executable: bool,
}

/// The parts of an ELF file that matter here, whatever its class.
struct Image<'a> {
    segments: Vec<Segment<'a>>,
    entry: u64,
    relocatable: bool,
    endian: ByteOrder,
    is_64bit: bool,
}

/// Unpacks an image if it is gzip'd. Data after the compressed stream is ignored.
pub fn unpack(image: &[u8], limit: u64) -> Result<Cow<'_, [u8]>, LoadError> {
    if !image.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(image));
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(image)
        .take(limit + 1)
        .read_to_end(&mut out)
        .map_err(|e| LoadError::BadGzip(e.to_string()))?;
    if out.len() as u64 > limit {
        return Err(LoadError::UnpacksTooLarge(limit >> 20));
    }
    Ok(Cow::Owned(out))
}

/// Loads a kernel image (or any other client program) and says where it starts.
pub fn load_kernel(image: &[u8], layout: &Layout, target: &mut dyn LoadTarget) -> Result<Loaded, LoadError> {
    // What does not fit after unpacking cannot be loaded, but debug information may add to the file.
    let limit = layout.ram_size.saturating_mul(4).clamp(1 << 20, MAX_IMAGE_SIZE);
    let file = unpack(image, limit)?;
    let mut parsed = parse(&file)?;
    place(&mut parsed, layout)?;
    let (low, high) = parsed
        .segments
        .iter()
        .fold((u64::MAX, 0), |(low, high), s| (low.min(s.dest), high.max(s.dest + s.memsz)));
    let (entry, toc) = find_entry(&parsed)?;
    for s in &parsed.segments {
        target.write(s.dest, s.data)?;
        let filled = s.data.len() as u64;
        if s.memsz > filled {
            target.zero(s.dest + filled, s.memsz - filled)?;
        }
    }
    let Image { endian, is_64bit, relocatable, .. } = parsed;
    let name = format!(
        "{}-bit {}-endian {} ELF{}",
        if is_64bit { 64 } else { 32 },
        if endian == ByteOrder::Big { "big" } else { "little" },
        if relocatable { "position-independent" } else { "fixed" },
        if matches!(file, Cow::Owned(_)) { ", gzip'd" } else { "" }
    );
    Ok(Loaded { entry, toc, endian, is_64bit, low, high, name })
}

/// Finds a place for an initial RAM disk of `size` bytes: right above the kernel if that leaves half of the
/// rest of the real-mode area to the kernel's own start-up code, otherwise at the top of memory. The
/// address is a multiple of [`INITRD_ALIGN`].
pub fn place_initrd(layout: &Layout, kernel: &Loaded, size: u64) -> Result<u64, LoadError> {
    let too_large = |needed| LoadError::TooLarge { what: "initrd", needed, available: layout.ram_size };
    let above = align_up(kernel.high, INITRD_ALIGN).ok_or(too_large(u64::MAX))?;
    let end = above.checked_add(size).ok_or(too_large(u64::MAX))?;
    if end <= layout.rma_size && layout.rma_size - end >= (layout.rma_size - above) / 2 {
        return Ok(above);
    }
    // Out of the way of what start-up code allocates, which is all in the real-mode area.
    let top = layout.ram_size.checked_sub(size).map(|at| at & !(INITRD_ALIGN - 1));
    match top {
        Some(at) if at >= above && (at >= layout.rma_size || layout.ram_size <= layout.rma_size) => Ok(at),
        _ if end <= layout.ram_size => Ok(above),
        _ => Err(too_large(end)),
    }
}

/// Places an initial RAM disk and writes it. Returns its address.
pub fn load_initrd(
    initrd: &[u8],
    layout: &Layout,
    kernel: &Loaded,
    target: &mut dyn LoadTarget,
) -> Result<u64, LoadError> {
    let at = place_initrd(layout, kernel, initrd.len() as u64)?;
    target.write(at, initrd)?;
    Ok(at)
}

fn parse(file: &[u8]) -> Result<Image<'_>, LoadError> {
    if !file.starts_with(&elf::ELFMAG) {
        return Err(LoadError::NotElf);
    }
    match *file.get(4).ok_or(LoadError::Truncated)? {
        elf::ELFCLASS32 => parse_class::<elf::FileHeader32<Endianness>>(file),
        elf::ELFCLASS64 => parse_class::<elf::FileHeader64<Endianness>>(file),
        _ => Err(LoadError::Malformed("neither 32 nor 64 bit")),
    }
}

fn parse_class<'a, H: FileHeader<Endian = Endianness>>(file: &'a [u8]) -> Result<Image<'a>, LoadError> {
    if file.len() < size_of::<H>() {
        return Err(LoadError::Truncated);
    }
    let header = H::parse(file).map_err(|_| LoadError::Malformed("bad identification"))?;
    let endian = header.endian().map_err(|_| LoadError::Malformed("bad byte order"))?;
    let machine = header.e_machine(endian);
    if machine != elf::EM_PPC && machine != elf::EM_PPC64 {
        return Err(LoadError::WrongMachine(machine_name(machine)));
    }
    let relocatable = match header.e_type(endian) {
        elf::ET_EXEC => false,
        elf::ET_DYN => true,
        elf::ET_REL => return Err(LoadError::NotExecutable("an object file")),
        elf::ET_CORE => return Err(LoadError::NotExecutable("a core dump")),
        _ => return Err(LoadError::NotExecutable("unknown type")),
    };
    let headers = header.program_headers(endian, file).map_err(|_| LoadError::Truncated)?;
    if headers.len() > MAX_SEGMENTS {
        return Err(LoadError::Malformed("too many segments"));
    }
    let mut segments = Vec::new();
    for ph in headers {
        let memsz: u64 = ph.p_memsz(endian).into();
        if ph.p_type(endian) != elf::PT_LOAD || memsz == 0 {
            continue;
        }
        let filesz: u64 = ph.p_filesz(endian).into();
        if filesz > memsz {
            return Err(LoadError::Malformed("segment larger in file than in memory"));
        }
        let data =
            file.read_bytes_at(ph.p_offset(endian).into(), filesz).map_err(|()| LoadError::Truncated)?;
        segments.push(Segment {
            vaddr: ph.p_vaddr(endian).into(),
            paddr: ph.p_paddr(endian).into(),
            dest: 0,
            data,
            memsz,
            executable: ph.p_flags(endian) & elf::PF_X != 0,
        });
    }
    if segments.is_empty() {
        return Err(LoadError::NotExecutable("nothing to load"));
    }
    Ok(Image {
        segments,
        entry: header.e_entry(endian).into(),
        relocatable,
        endian: if endian.is_big_endian() { ByteOrder::Big } else { ByteOrder::Little },
        is_64bit: header.is_type_64(),
    })
}

/// Gives every segment its real address and checks that they fit and do not touch each other.
fn place(image: &mut Image<'_>, layout: &Layout) -> Result<(), LoadError> {
    let lowest = image.segments.iter().map(|s| s.paddr & REAL_MASK).min().unwrap_or(0);
    let in_kernel_quadrant =
        image.is_64bit && image.segments.iter().all(|s| s.vaddr >> 60 == KERNEL_QUADRANT);
    let shift =
        if in_kernel_quadrant || lowest < crate::stub::FIRMWARE_SIZE { layout.kernel_base } else { 0 };
    let available = layout.rma_size.min(layout.ram_size);
    let too_large = |needed| LoadError::TooLarge { what: "kernel", needed, available };
    for s in &mut image.segments {
        s.dest = (s.paddr & REAL_MASK).checked_add(shift).ok_or(too_large(u64::MAX))?;
        let end = s.dest.checked_add(s.memsz).ok_or(too_large(u64::MAX))?;
        if end > available {
            return Err(too_large(end));
        }
        if s.dest < crate::stub::FIRMWARE_SIZE {
            return Err(LoadError::InFirmware(s.dest));
        }
    }
    image.segments.sort_by_key(|s| s.dest);
    for pair in image.segments.windows(2) {
        if pair[0].dest + pair[0].memsz > pair[1].dest {
            return Err(LoadError::Overlap(pair[1].dest));
        }
    }
    Ok(())
}

/// Real address of a link address.
fn real(image: &Image<'_>, addr: u64) -> Option<(u64, usize)> {
    let fits = |base: u64, memsz: u64| addr.checked_sub(base).filter(|&off| off < memsz);
    let by = |key: fn(&Segment<'_>) -> u64| {
        image
            .segments
            .iter()
            .enumerate()
            .find_map(|(i, s)| fits(key(s), s.memsz).map(|off| (s.dest + off, i)))
    };
    by(|s| s.vaddr).or_else(|| by(|s| s.paddr))
}

/// The first instruction's real address. A 64-bit big-endian entry in a segment without instructions is a
/// function descriptor: address, then the value for r2. Linux names its first instruction itself.
fn find_entry(image: &Image<'_>) -> Result<(u64, Option<u64>), LoadError> {
    const OUTSIDE: LoadError = LoadError::Malformed("entry lies outside of the segments");
    let (entry, index) = real(image, image.entry).ok_or(OUTSIDE)?;
    let segment = &image.segments[index];
    if segment.executable || !image.is_64bit || image.endian != ByteOrder::Big {
        return if entry % 4 == 0 {
            Ok((entry, None))
        } else {
            Err(LoadError::Malformed("entry is not aligned"))
        };
    }
    let offset = (entry - segment.dest) as usize;
    let words = segment.data.get(offset..).and_then(|d| d.first_chunk::<16>()).ok_or(OUTSIDE)?;
    let (code, toc) = words.split_at(8);
    let word = |b: &[u8]| b.iter().fold(0u64, |v, &b| v << 8 | u64::from(b));
    let (entry, index) = real(image, word(code)).ok_or(OUTSIDE)?;
    if entry % 4 != 0 || !image.segments[index].executable {
        return Err(LoadError::Malformed("entry descriptor does not name code"));
    }
    // The table of contents pointer usually lies past its section, so the code's shift serves for it.
    let shift = entry.wrapping_sub(word(code));
    Ok((entry, Some(word(toc).wrapping_add(shift))))
}

fn align_up(value: u64, align: u64) -> Option<u64> {
    value.checked_next_multiple_of(align)
}

/// What people call a machine number.
fn machine_name(machine: u16) -> String {
    let name = match machine {
        elf::EM_386 => "x86 (32-bit)",
        elf::EM_X86_64 => "x86-64",
        elf::EM_ARM => "Arm (32-bit)",
        elf::EM_AARCH64 => "AArch64",
        elf::EM_RISCV => "RISC-V",
        elf::EM_S390 => "s390x",
        elf::EM_MIPS => "MIPS",
        elf::EM_SPARC | elf::EM_SPARC32PLUS | elf::EM_SPARCV9 => "SPARC",
        elf::EM_IA_64 => "Itanium",
        elf::EM_LOONGARCH => "LoongArch",
        elf::EM_68K => "m68k",
        elf::EM_PARISC => "PA-RISC",
        elf::EM_ALPHA => "Alpha",
        _ => return format!("machine number {machine}"),
    };
    name.into()
}

#[cfg(test)]
mod tests;
