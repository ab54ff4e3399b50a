//! Bad input: each is answered by one line on standard error and exit status 2.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience, rhyp_program};
use guests::KernelVersion;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "cli::missing_kernel", true, |case, _| {
        refuses(case, &args(Path::new("/nonexistent/vmlinux"), &[]), &["/nonexistent/vmlinux"])
    });
    suite.add_for(Peer::Rhyp, "cli::kernel_for_x86", true, |case, _| {
        let file = elf_file(case, &Elf { machine: 62, big_endian: false, memory: 4096 })?;
        refuses(case, &args(&file, &[]), &["kernel", "x86-64"])
    });
    suite.add_for(Peer::Rhyp, "cli::truncated_kernel", true, |case, images| {
        let bytes = std::fs::read(vmlinux(images)?)?;
        // In the middle of the program, of the headers, of the first word.
        for length in [bytes.len() / 2, 100, 20, 3, 0] {
            let file = case.file("elf", &bytes[..length])?;
            refuses(case, &args(&file, &[]), &["kernel"])?;
        }
        Ok(())
    });
    suite.add_for(Peer::Rhyp, "cli::kernel_larger_than_memory", true, |case, _| {
        let file = elf_file(case, &Elf { machine: 21, big_endian: false, memory: 2 << 30 })?;
        refuses(case, &args(&file, &["--memory", "1G"]), &["kernel", "memory"])
    });
    suite.add_for(Peer::Rhyp, "cli::initrd_that_does_not_fit", true, |case, images| {
        let file = case.file("initrd", &[])?;
        std::fs::File::options().write(true).open(&file)?.set_len(1 << 30)?;
        let arguments = args(vmlinux(images)?, &["--memory", "1G", "--initrd", &file.to_string_lossy()]);
        refuses(case, &arguments, &["initrd", "memory"])
    });
    suite.add_for(Peer::Rhyp, "cli::missing_initrd", true, |case, images| {
        refuses(case, &args(vmlinux(images)?, &["--initrd", "/nonexistent/i"]), &["/nonexistent/i"])
    });
    const NUMBERS: &[(&str, &[&str], &[&str])] = &[
        ("memory_too_small", &["--memory", "16M"], &["16M"]),
        ("memory_not_a_size", &["--memory", "1X"], &["1X"]),
        ("no_processors", &["--cpus", "0"], &["0"]),
        ("odd_threads", &["--threads", "3"], &["3"]),
        ("unknown_processor", &["--cpu", "powr9"], &["powr9", "power9"]),
        ("unknown_translation", &["--mmu", "radish"], &["radish"]),
        ("unknown_network", &["--net", "usr"], &["usr", "user"]),
        ("missing_tap", &["--net", "tap=no-such-if"], &["no-such-if", "interface"]),
        ("nobody_at_the_socket", &["--net", "socket=/nonexistent/s"], &["/nonexistent/s", "listen"]),
        ("bad_forwarding", &["--net", "user,hostfwd=tcp:22"], &["hostfwd=tcp:127.0.0.1:2222-:22"]),
        ("unknown_option", &["--kernell", "x"], &["--kernell"]),
        ("missing_disk", &["--disk", "/nonexistent/d.img"], &["/nonexistent/d.img", "no such file"]),
        ("unknown_disk_format", &["--disk", "x,format=vmdk"], &["vmdk", "raw or qcow2"]),
        ("unknown_disk_bus", &["--disk", "x,bus=ide"], &["ide", "virtio, vscsi or virtio-scsi"]),
        ("unknown_disk_word", &["--disk", "x,read-only"], &["read-only"]),
    ];
    for &(name, options, words) in NUMBERS {
        suite.add_for(Peer::Rhyp, &format!("cli::{name}"), true, move |case, images| {
            refuses(case, &args(vmlinux(images)?, options), words)
        });
    }
    suite.add_for(Peer::Rhyp, "cli::same_disk_twice", true, |case, images| {
        let image = case.file("img", &[0; 4096])?;
        let image = image.to_string_lossy();
        let arguments = args(vmlinux(images)?, &["--disk", &image, "--disk", &image]);
        refuses(case, &arguments, &[&image, "given twice"])
    });
    suite.add_for(Peer::Rhyp, "cli::disks_of_other_formats", true, |case, images| {
        for (bytes, words) in [
            (&b"KDMV\x01\0\0\0"[..], &["vmdk", "raw or qcow2"][..]),
            (b"QFI\xfb\0\0\0\x03\0\0\0\0", &["qcow2 image cannot be used"]),
            (b"QFI\xfb\0\0\0\x09", &["qcow2 image cannot be used"]),
            (b"", &["empty"]),
        ] {
            let image = case.file("img", bytes)?;
            let image = image.to_string_lossy();
            let words = [&[&*image], words].concat();
            refuses(case, &args(vmlinux(images)?, &["--disk", &image]), &words)?;
        }
        Ok(())
    });
    suite.add_for(Peer::Rhyp, "cli::disk_with_a_missing_backing_file", true, |case, images| {
        let image = case.file("qcow2", &[])?;
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-u", "-f", "qcow2", "-b", "/nonexistent/base", "-F", "raw"])
            .arg(&image)
            .arg("8M")
            .status();
        if !made.is_ok_and(|s| s.success()) {
            eprintln!("left out: there is no qemu-img");
            return Ok(());
        }
        let image = image.to_string_lossy();
        refuses(case, &args(vmlinux(images)?, &["--disk", &image]), &[&image, "/nonexistent/base"])
    });
    suite.add_for(Peer::Rhyp, "cli::forwarded_port_in_use", true, |case, images| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = taken.local_addr()?.to_string();
        let net = format!("user,hostfwd=tcp:{address}-:22");
        refuses(case, &args(vmlinux(images)?, &["--net", &net]), &[&address, "in use"])
    });
    suite.add_for(Peer::Rhyp, "cli::no_passt", true, |case, images| {
        let mut full: Vec<OsString> = ["PATH=/nonexistent".into(), rhyp_program()?.into()].into();
        full.extend(args(vmlinux(images)?, &["--net", "user"]));
        let mut guest = case.start_program(Path::new("env"), &full)?;
        answers(&mut guest, &["passt", "not installed", "package"])
    });
    suite.add_for(Peer::Rhyp, "cli::nvram_that_cannot_be_written", true, |case, images| {
        let file = case.file("nvram", &[0; 65536])?;
        let mut permissions = std::fs::metadata(&file)?.permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&file, permissions)?;
        let path = file.to_string_lossy().into_owned();
        refuses(case, &args(vmlinux(images)?, &["--nvram", &path]), &[&path])?;
        let path = "/nonexistent/directory/nvram";
        refuses(case, &args(vmlinux(images)?, &["--nvram", path]), &[path])
    });
}

fn vmlinux(images: &Images) -> Result<&Path> {
    Ok(&images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?.vmlinux)
}

fn args(kernel: &Path, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["run".into(), "--kernel".into(), kernel.into()];
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

/// Starts rhyp without the right to override file permissions, and checks its answer.
fn refuses(case: &mut Case, arguments: &[OsString], words: &[&str]) -> Result<()> {
    // Tests may run as root, whom a read-only file does not stop; a root without capabilities it does.
    let mut full: Vec<OsString> =
        ["--bounding-set=-all", "--inh-caps=-all", "--"].into_iter().map(OsString::from).collect();
    full.push(rhyp_program()?.into());
    full.extend_from_slice(arguments);
    let mut guest =
        if is_root()? { case.start_program(Path::new("setpriv"), &full)? } else { case.start(arguments)? };
    answers(&mut guest, words)
}

/// Checks that a bad command is answered by status 2 and one line with these words.
fn answers(guest: &mut Guest, words: &[&str]) -> Result<()> {
    let status = guest.wait(patience())?;
    let (out, err) = (guest.console(), guest.stderr());
    ensure!(status.code() == Some(2), "status 2 expected, got {status}; it said: {err}");
    ensure!(out.is_empty(), "standard output should be empty: {out}");
    ensure!(err.lines().count() == 1 && err.ends_with('\n'), "one line expected, got: {err}");
    ensure!(!err.contains("panicked"), "a panic: {err}");
    for word in words {
        ensure!(err.contains(word), "{word:?} is not in: {err}");
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no Uid in /proc/self/status")?;
    Ok(uid.split_whitespace().nth(1) == Some("0"))
}

/// A 64-bit ELF file that consists of one segment of zeros.
struct Elf {
    machine: u16,
    big_endian: bool,
    /// Size of the segment in memory.
    memory: u64,
}

/// Writes it: the file header of 64 bytes, one program header of 56 (ELF-64, version 1).
fn elf_file(case: &mut Case, elf: &Elf) -> Result<PathBuf> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, if elf.big_endian { 2 } else { 1 }, 1];
    bytes.resize(16, 0);
    let mut put = |value: u64, size: usize| {
        if elf.big_endian {
            bytes.extend_from_slice(&value.to_be_bytes()[8 - size..]);
        } else {
            bytes.extend_from_slice(&value.to_le_bytes()[..size]);
        }
    };
    // type executable, machine, version, entry, program headers at 64, no sections, flags, sizes and counts
    for (value, size) in [
        (2, 2),
        (elf.machine.into(), 2),
        (1, 4),
        (0, 8),
        (64, 8),
        (0, 8),
        (2, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
    ] {
        put(value, size);
    }
    // loadable, readable and executable, file offset, addresses, sizes in file and memory, alignment
    for (value, size) in [(1, 4), (5, 4), (0, 8), (0, 8), (0, 8), (120, 8), (elf.memory, 8), (65536, 8)] {
        put(value, size);
    }
    case.file("elf", &bytes)
}
