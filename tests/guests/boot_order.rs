//! What NVRAM says of booting: Linux writes it, it outlives the partition, firmware does as it says. The boot program
//! is a few instructions that print where they came from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience};
use guests::KernelVersion;

use crate::Suite;

/// Adds the tests of this file. They are about rhyp's own firmware.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "boot_order::nvram_says_where_from", true, from_nvram);
}

/// Where the program is loaded; its strings, call arguments and buffers stand behind its instructions.
const BASE: u32 = 0x20_0000;
const STRINGS: u32 = BASE + 0x400;
const CALLS: u32 = BASE + 0x600;
const HANDLE: u32 = BASE + 0x800;
const TEXT: u32 = BASE + 0x810;
/// What is printed before the boot path.
const MARK: &[u8] = b"\nFROM ";

/// A 32-bit program for an Open Firmware client: it prints `/chosen` `bootpath` and exits.
fn program() -> Vec<u8> {
    let mut body = vec![0; 0x1000];
    let mut put = |at: u32, bytes: &[u8]| {
        let at = (at - BASE) as usize;
        body[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let mut next = STRINGS;
    let [find, chosen, get, stdout, bootpath, write, exit] =
        ["finddevice", "/chosen", "getprop", "stdout", "bootpath", "write", "exit"].map(|text| {
            let at = next;
            put(at, text.as_bytes());
            next += text.len() as u32 + 1;
            at
        });
    put(TEXT, MARK);
    let mark = MARK.len() as u32;
    // Service, numbers of arguments and results, arguments, results: those of them that are 0 are filled in below.
    let calls: [&[u32]; 5] = [
        &[find, 1, 1, chosen, 0],
        &[get, 4, 1, 0, stdout, HANDLE, 4, 0],
        &[get, 4, 1, 0, bootpath, TEXT + mark, 200, 0],
        &[write, 3, 1, 0, TEXT, 0, 0],
        &[exit, 0, 0],
    ];
    let cell = |call: u32, n: u32| CALLS + call * 0x40 + n * 4;
    for (call, cells) in (0..).zip(calls) {
        cells.iter().zip(0..).for_each(|(value, n)| put(cell(call, n), &value.to_be_bytes()));
    }
    let lis = |r: u32, v: u32| 0x3C00_0000 | r << 21 | v >> 16;
    let ori = |r: u32, v: u32| 0x6000_0000 | r << 21 | r << 16 | v & 0xFFFF;
    let load = |at: u32| [lis(4, at), 0x8000_0000 | 5 << 21 | 4 << 16 | at & 0xFFFF];
    let store = |at: u32| [lis(4, at), 0x9000_0000 | 5 << 21 | 4 << 16 | at & 0xFFFF];
    let call = |n: u32| [lis(3, cell(n, 0)), ori(3, cell(n, 0)), 0x7C09_03A6 | 31 << 21, 0x4E80_0421];
    // The client interface's address comes in r5 and is kept in r31.
    let mut code = vec![0x7C00_0378 | 5 << 21 | 31 << 16 | 5 << 11];
    code.extend(call(0));
    code.extend(load(cell(0, 4)));
    code.extend(store(cell(1, 3)));
    code.extend(store(cell(2, 3)));
    code.extend(call(1));
    code.extend(call(2));
    code.extend(load(HANDLE));
    code.extend(store(cell(3, 3)));
    code.extend(load(cell(2, 7)));
    code.push(0x3800_0000 | 5 << 21 | 5 << 16 | mark);
    code.extend(store(cell(3, 5)));
    code.extend(call(3));
    code.extend(call(4));
    code.iter().zip(0..).for_each(|(word, n)| put(BASE + n * 4, &word.to_be_bytes()));
    let mut elf = b"\x7FELF\x01\x02\x01".to_vec();
    elf.resize(16, 0);
    let half = |elf: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| elf.extend(v.to_be_bytes()));
    let word = |elf: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| elf.extend(v.to_be_bytes()));
    half(&mut elf, &[2, 20]);
    word(&mut elf, &[1, BASE, 52, 0, 0]);
    half(&mut elf, &[52, 32, 1, 0, 0, 0]);
    let size = body.len() as u32;
    word(&mut elf, &[1, 0x100, BASE, BASE, size, size, 7, 4]);
    elf.resize(0x100, 0);
    elf.extend(body);
    elf
}

/// A disk whose only partition is one for boot programs, with the program in it.
pub fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    let entry = &mut disk[446..462];
    entry[4] = 0x41;
    entry[8..12].copy_from_slice(&64u32.to_le_bytes());
    entry[12..16].copy_from_slice(&1024u32.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    let program = program();
    disk[64 * 512..][..program.len()].copy_from_slice(&program);
    disk
}

/// Boots from disk; answers where the boot program says it came from.
fn boot(case: &mut Case, disks: &[PathBuf], nvram: &Path) -> Result<String> {
    let mut arguments: Vec<OsString> = vec!["run".into(), "--nvram".into(), nvram.into()];
    for d in disks {
        let mut disk = d.clone().into_os_string();
        disk.push(",bus=vscsi");
        arguments.extend(["--disk".into(), disk]);
    }
    let mut guest = case.start(&arguments)?;
    let from = guest.expect("FROM ([!-~]+)", patience())?[1].clone();
    guest.ends(Outcome::PowerOff)?;
    Ok(from)
}

/// Has Linux set a variable of the firmware.
fn set(case: &mut Case, images: &Images, nvram: &Path, variable: &str) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?;
    let script = format!("nvram --update-config '{variable}' -p common && echo SET; sync; poweroff -f\n");
    let initramfs = images.userland(&script).programs(&images.tools()?, &["usr/sbin/nvram"])?;
    let initrd = images.write(&format!("nvram-{}", variable.len()), &initramfs)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.rhyp_options = vec!["--nvram".into(), nvram.into()];
    let mut guest = case.boot(&spec)?;
    guest.expect(r"SET\r?\n", patience())?;
    guest.ends(Outcome::PowerOff)
}

fn from_nvram(case: &mut Case, images: &Images) -> Result<()> {
    let disks = [case.file("raw", &disk())?, case.file("raw", &disk())?];
    let nvram = case.file("nvram", b"")?;
    let first = boot(case, &disks, &nvram)?;
    ensure!(first.contains("/disk@") && first.ends_with(":1"), "{first}");
    set(case, images, &nvram, "boot-device=disk1")?;
    let second = boot(case, &disks, &nvram)?;
    ensure!(second.contains("/disk@") && second != first, "{second} after {first}");
    // A command with a device of its own counts for more.
    set(case, images, &nvram, &format!("boot-command=boot {first}"))?;
    let third = boot(case, &disks, &nvram)?;
    ensure!(third == first, "{third} instead of {first}");
    // What is not there does not keep the others from being booted.
    set(case, images, &nvram, "boot-command=boot /vdevice/nothing@1")?;
    let last = boot(case, &disks, &nvram)?;
    ensure!(last == first || last == second, "{last}");
    Ok(())
}
