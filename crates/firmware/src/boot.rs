//! Finds what to boot on a disk: a PReP boot partition, or a program that `\ppc\bootinfo.txt` or a well-known path
//! names (PowerPC binding section 11.1, CHRP binding section 11), and reads the boot variables of NVRAM.

use crate::files;
use crate::partition_table::{Disk, Extent};

/// Most bytes of a boot partition that are read; programs for it are below 8 MiB.
const MAX_PREP: u64 = 16 << 20;
/// Most partitions that are looked into.
const MAX_PARTITIONS: u32 = 16;
/// Where boot loaders for this platform are found on media without a boot script.
const WELL_KNOWN: &[&str] = &["\\boot\\grub\\powerpc.elf", "\\boot\\grub\\core.elf", "\\boot\\grub\\grub"];

/// A boot program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootProgram {
    /// The ELF file.
    pub image: Vec<u8>,
    /// Arguments of the device path it came from: partition, or partition and file.
    pub place: String,
    /// Arguments that a boot script has for it.
    pub args: String,
}

/// What of a disk is to be booted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootPlace {
    /// Only this partition.
    pub partition: Option<u32>,
    /// Only this file.
    pub file: Option<String>,
}

impl BootPlace {
    /// From a device path's arguments: `2`, `2,\path`, `\path` or nothing. What is something else names nothing.
    pub fn parse(args: &str) -> BootPlace {
        let (number, file) = match args.split_once(',') {
            Some((number, file)) => (number, file),
            None if args.starts_with('\\') => ("", args),
            None => (args, ""),
        };
        let file = (!file.is_empty()).then(|| file.to_owned());
        BootPlace { partition: number.parse().ok(), file }
    }
}

/// Finds the boot program of a disk.
pub fn find(disk: &mut Disk<'_>, place: &BootPlace) -> Option<BootProgram> {
    let numbers: Vec<u32> = match place.partition {
        Some(n) => vec![n],
        None => (0..=MAX_PARTITIONS).collect(),
    };
    let parts: Vec<(u32, Extent)> =
        numbers.into_iter().filter_map(|n| disk.partition(n).map(|extent| (n, extent))).collect();
    if let Some(file) = &place.file {
        return parts.iter().find_map(|&(n, extent)| program_in_file(disk, n, extent, file, ""));
    }
    let prep = parts.iter().filter(|&&(n, _)| n != 0).find_map(|&(n, extent)| {
        if !disk.is_prep(n) {
            return None;
        }
        let image = disk.bytes(extent.start, extent.size.min(MAX_PREP) as usize)?;
        is_elf(&image).then(|| BootProgram { image, place: n.to_string(), args: String::new() })
    });
    prep.or_else(|| parts.iter().find_map(|&(n, extent)| by_script(disk, n, extent)))
}

/// The program that a boot script names, or that stands where boot loaders are usually put.
fn by_script(disk: &mut Disk<'_>, number: u32, extent: Extent) -> Option<BootProgram> {
    let script = files::read(disk, extent, "\\ppc\\bootinfo.txt")
        .and_then(|text| Script::parse(&String::from_utf8_lossy(&text)));
    if let Some(s) = script {
        // The script may name another partition than its own.
        let target = s.place.partition.unwrap_or(number);
        let found = disk.partition(target).and_then(|extent| {
            s.place.file.as_deref().and_then(|f| program_in_file(disk, target, extent, f, &s.args))
        });
        if found.is_some() {
            return found;
        }
    }
    WELL_KNOWN.iter().find_map(|path| program_in_file(disk, number, extent, path, ""))
}

fn program_in_file(
    disk: &mut Disk<'_>,
    number: u32,
    extent: Extent,
    path: &str,
    args: &str,
) -> Option<BootProgram> {
    let image = files::read(disk, extent, path)?;
    let place = if number == 0 { path.to_owned() } else { format!("{number},{path}") };
    is_elf(&image).then(|| BootProgram { image, place, args: args.to_owned() })
}

fn is_elf(image: &[u8]) -> bool {
    image.starts_with(b"\x7FELF")
}

/// The command in a `bootinfo.txt`, as far as it boots something: `boot &device;:PLACE ARGUMENTS`.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    place: BootPlace,
    args: String,
}

impl Script {
    fn parse(text: &str) -> Option<Script> {
        let lower = text.to_ascii_lowercase();
        let start = lower.find("<boot-script")?;
        let start = start + lower.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find("</boot-script")?;
        let command = text.get(start..end)?.trim();
        let (verb, rest) = command.split_once(char::is_whitespace)?;
        if verb != "boot" {
            return None;
        }
        let rest = rest.trim_start();
        let (device, args) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        // The medium's own partition needs no number.
        let device = device.replace("&partition;", "");
        let (_, place) = device.split_once(':')?;
        Some(Script { place: BootPlace::parse(place), args: args.trim().to_owned() })
    }
}

/// The variable `name` of the `common` partition in an NVRAM image: texts `name=value` with a zero after each.
/// `None` if there is none, or it has no value.
pub fn nvram_variable(nvram: &[u8], name: &str) -> Option<String> {
    const HEADER: usize = 16;
    let mut rest = nvram;
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let size = usize::from(u16::from_be_bytes([header[2], header[3]])) * HEADER;
        if size < HEADER {
            return None;
        }
        let area = rest.get(HEADER..size)?;
        if header[0] == 0x70 && header[4..].starts_with(b"common\0") {
            let texts = area.split(|&b| b == 0).take_while(|t| !t.is_empty());
            let pairs = texts.filter_map(|t| std::str::from_utf8(t).ok()?.split_once('='));
            let found = pairs.into_iter().find(|(key, _)| *key == name);
            return found.map(|(_, value)| value.trim().to_owned()).filter(|v| !v.is_empty());
        }
        rest = rest.get(size..)?;
    }
    None
}

/// What firmware is to boot by its variables: devices to try in order, and a client's arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootOrder {
    /// Device paths or aliases; empty: whatever there is.
    pub devices: Vec<String>,
    /// Arguments.
    pub file: String,
}

impl BootOrder {
    /// From `boot-command`, `boot-device` and `boot-file`. A command other than `boot [DEVICE [ARGUMENTS]]` (`bootr` and
    /// `netboot` of other firmware, Forth) counts as `boot`.
    pub fn from_nvram(nvram: &[u8]) -> BootOrder {
        let variable = |name| nvram_variable(nvram, name).unwrap_or_default();
        let command = variable("boot-command");
        let mut words = command.split_whitespace();
        let named = words.next().filter(|&verb| verb == "boot").and_then(|_| words.next());
        if let Some(device) = named {
            return BootOrder { devices: vec![device.to_owned()], file: words.collect::<Vec<_>>().join(" ") };
        }
        let devices = variable("boot-device").split_whitespace().map(str::to_owned).collect();
        BootOrder { devices, file: variable("boot-file") }
    }
}

#[cfg(test)]
mod tests;
