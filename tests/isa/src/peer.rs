//! The peer: a user-mode emulator that runs single instructions through a small program (`peer.S`).

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::engines::TRAP;
use crate::state::{End, MEM, Output, State};
use crate::vector::{Vector, is_branch};

const HEAD: usize = 0x590;
/// Address of `dump` in the program.
const DUMP: u32 = 0x100_0100;
const COMPILER: &str = "powerpc64le-linux-gnu-gcc";

/// Built programs for both byte orders.
pub struct Peer {
    folder: PathBuf,
}

impl Peer {
    /// Builds the programs.
    pub fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("isa-corpus-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer.S");
        for order in ["little", "big"] {
            let status = Command::new(COMPILER)
                .arg(format!("-m{order}"))
                .args([
                    "-mabi=elfv2",
                    "-nostdlib",
                    "-static",
                    "-Wl,-Ttext=0x1000000",
                    "-Wl,--build-id=none",
                    "-o",
                ])
                .arg(folder.join(order))
                .arg(&source)
                .status()
                .with_context(|| format!("{COMPILER} (Debian package gcc-powerpc64le-linux-gnu)"))?;
            ensure!(status.success(), "{COMPILER} failed");
        }
        Ok(Peer { folder })
    }

    /// What the emulator says of itself.
    pub fn version() -> Result<String> {
        let out = Command::new("qemu-ppc64le")
            .arg("--version")
            .output()
            .context("qemu-ppc64le (package qemu-user)")?;
        Ok(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned())
    }

    /// Runs vectors of one model and byte order.
    pub fn run(&self, model: &str, le: bool, vectors: &[&Vector]) -> Result<Vec<Output>> {
        let mut results = Vec::new();
        while results.len() < vectors.len() {
            let rest = &vectors[results.len()..];
            let (some, said) = self.start(model, le, rest)?;
            results.extend(some);
            let Some(v) = vectors.get(results.len()) else { break };
            // The emulator has no signal for an alignment interrupt: it names the exception and gives up.
            if !said.contains("Unknown exception 0x5.") {
                bail!("{model}: the peer ended at {} #{} {:08x?}: {said}", v.row.mnemonic, v.n, v.code);
            }
            results.push(Output { end: End::Alignment, state: v.input.clone(), whole: 0 });
        }
        Ok(results)
    }

    /// Runs vectors until the emulator gives up; its results and what it said then.
    fn start(&self, model: &str, le: bool, vectors: &[&Vector]) -> Result<(Vec<Output>, String)> {
        let mut child = Command::new(if le { "qemu-ppc64le" } else { "qemu-ppc64" })
            .args(["-cpu", model])
            .arg(self.folder.join(if le { "little" } else { "big" }))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("qemu-ppc64(le), of the package qemu-user")?;
        let mut to = child.stdin.take().context("no standard input")?;
        let mut from = child.stdout.take().context("no standard output")?;
        let mut results = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for v in vectors {
                    if to.write_all(&record(v, le)).is_err() {
                        break;
                    }
                }
            });
            let mut b = vec![0; HEAD + MEM];
            for v in vectors {
                if from.read_exact(&mut b).is_err() {
                    break;
                }
                results.push(output(v, &b, le));
            }
            drop(from);
        });
        let end = child.wait_with_output()?;
        Ok((results, String::from_utf8_lossy(&end.stderr).into_owned()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn record(v: &Vector, le: bool) -> Vec<u8> {
    let mut b = vec![0u8; HEAD];
    let mut put = |at: usize, x: u64| {
        b[at..at + 8].copy_from_slice(&if le { x.to_le_bytes() } else { x.to_be_bytes() });
    };
    let s = &v.input;
    for (n, &g) in s.gpr.iter().enumerate() {
        put(8 * n, g);
    }
    for (n, &w) in s.vsr.iter().enumerate() {
        put(0x100 + 16 * n, (w >> 64) as u64);
        put(0x108 + 16 * n, w as u64);
    }
    for (k, x) in [s.cr, s.xer, s.lr, s.ctr, s.tar, s.fpscr, 0, s.vscr].into_iter().enumerate() {
        put(0x500 + 8 * k, x);
    }
    put(0x548, v.start);
    let mut words = v.code.clone();
    if !is_branch(v.row.op) {
        words.push(18 << 26 | DUMP | 2);
    }
    words.resize(8, TRAP);
    let mut put = |at: usize, x: u32| {
        b[at..at + 4].copy_from_slice(&if le { x.to_le_bytes() } else { x.to_be_bytes() });
    };
    put(0x540, 18 << 26 | v.start as u32 | 2);
    for (k, w) in words.into_iter().enumerate() {
        put(0x558 + 4 * k, w);
    }
    b.extend(s.mem);
    b
}

fn output(v: &Vector, b: &[u8], le: bool) -> Output {
    let get = |at: usize| {
        let x: [u8; 8] = b[at..at + 8].try_into().expect("eight bytes");
        if le { u64::from_le_bytes(x) } else { u64::from_be_bytes(x) }
    };
    let mut state = State {
        gpr: std::array::from_fn(|n| get(8 * n)),
        vsr: std::array::from_fn(|n| u128::from(get(0x100 + 16 * n)) << 64 | u128::from(get(0x108 + 16 * n))),
        cr: get(0x500),
        xer: get(0x508),
        lr: get(0x510),
        ctr: get(0x518),
        tar: get(0x520),
        fpscr: get(0x528),
        vscr: get(0x538),
        mem: b[HEAD..].try_into().expect("the window"),
    };
    if get(0x578) != 0 {
        // The emulator's signal frame holds the lower half of the FPSCR only.
        state.fpscr |= v.input.fpscr & !0xffff_ffff;
    }
    let end = match (get(0x578), get(0x580), get(0x588)) {
        (0, ..) => End::Next(v.at + v.insn.len()),
        (_, _, nip) if nip != v.at => End::Next(nip),
        (4, 5 | 6, _) => End::Privileged,
        (4, ..) => End::Illegal,
        (5, ..) => End::Trap,
        (7, ..) => End::Alignment,
        (8, ..) => End::FpEnabled,
        (11, ..) => End::Storage,
        (signal, ..) => End::Other(signal),
    };
    Output { end, state, whole: 0 }
}
