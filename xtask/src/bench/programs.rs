//! What the measured machines run: the programs of `guests/bench`, compiled, and the images they are booted from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use guests::{CacheDir, Guests, INIT_MOUNTS, Initramfs, KernelVersion, Progress};

use super::machine::UP;
use super::{Machine, Options, Set};

/// Programs and files the benchmarks need, and the packages they come in.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("/usr/include/stdio.h", "libc6-dev"),
    (CROSS_GCC, "gcc-powerpc64le-linux-gnu"),
    ("/usr/powerpc64le-linux-gnu/lib/libc.a", "libc6-dev-ppc64el-cross"),
    ("busybox", "busybox"),
];
const CROSS_GCC: &str = "powerpc64le-linux-gnu-gcc";

/// Both compilers get these: the same optimisation, and no fused operation that the source does not spell out.
const FLAGS: &[&str] =
    &["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno"];

/// `/init` of the guest: `BENCH_SET` and `BENCH_NAMES` come from the kernel's command line.
const INIT_PROGRAMS: &str = "IFS=,\n/programs.sh /bench /usr/lib/gcc/powerpc64le-linux-gnu/12/cc1 /python.py $BENCH_NAMES\npoweroff -f\n";
const INIT: &str = "IFS=,\n/bench $BENCH_SET $BENCH_NAMES\npoweroff -f\n";

/// Where Debian's compiler proper stands, which is also the file that is compressed.
const CC1: &str = "usr/lib/gcc/powerpc64le-linux-gnu/12/cc1";
/// Programs of the guest that runs real ones; their libraries follow.
const PROGRAMS: &[&str] = &[
    "usr/bin/python3.11",
    "usr/bin/powerpc64le-linux-gnu-gcc-12",
    CC1,
    "usr/bin/powerpc64le-linux-gnu-as",
    "usr/bin/openssl",
    "usr/bin/xz",
    "usr/bin/sqlite3",
];

/// Folders that go with them; the compiler wants one for headers, whatever it compiles.
const TREES: &[&str] = &["usr/lib/python3.11", "usr/lib/gcc/powerpc64le-linux-gnu/12/include"];

/// What the set of real programs needs.
pub struct Programs {
    /// The initramfs.
    pub initrd: PathBuf,
    /// What runs them one after the other.
    pub script: PathBuf,
    /// What python runs.
    pub python: PathBuf,
    /// The file that is compressed.
    pub data: PathBuf,
}

/// Everything compiled and packed.
pub struct Images {
    /// The benchmarks for this machine.
    pub native: PathBuf,
    /// Linux 6.12.
    pub kernel: PathBuf,
    /// An initramfs that says [`UP`] and powers off.
    pub boot: PathBuf,
    /// An initramfs with the benchmarks.
    pub bench: PathBuf,
    /// Real programs, if they are asked for.
    pub programs: Option<Programs>,
    built: PathBuf,
}

impl Images {
    /// Compiles and packs what `options` need, installing compilers that are missing.
    pub fn prepare(root: &Path, options: &Options) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let out = target.join("bench");
        std::fs::create_dir_all(&out)?;
        crate::test::install_missing(root, TOOLS)?;
        if options.peer {
            crate::peer::install(root)?;
        }
        let native = out.join("bench-native");
        let guest = out.join("bench-ppc64le");
        // The sources' fused operations are one instruction where the host has it and a library call elsewhere.
        let has_fma = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" fma "));
        compile(root, "gcc", if has_fma { &["-mfma"] } else { &[] }, &native)?;
        compile(root, CROSS_GCC, &["-mcpu=power8", "-static"], &guest)?;

        let guests = Guests::open(CacheDir::user()?, Progress::auto());
        let kernel = guests.kernel(KernelVersion::V6_12)?.vmlinux;
        let busybox = guests.busybox()?;
        let (boot, bench) = (out.join("boot.gz"), out.join("bench.gz"));
        let script = format!("{INIT_MOUNTS}echo {UP}\npoweroff -f\n");
        Initramfs::new().busybox(&busybox).init(&script).write(&boot)?;
        let script = format!("{INIT_MOUNTS}{INIT}");
        Initramfs::new().busybox(&busybox).init(&script).host_file("bench", &guest)?.write(&bench)?;
        let programs = if options.wants(Set::Programs) {
            Some(Programs::prepare(root, &out, &guests, &guest)?)
        } else {
            None
        };
        Ok(Self { native, kernel, boot, bench, programs, built: target.join("release/rhyp") })
    }

    /// The initramfs of a set.
    pub fn initrd(&self, set: Set) -> &Path {
        match (set, &self.programs) {
            (Set::Boot, _) => &self.boot,
            (Set::Programs, Some(programs)) => &programs.initrd,
            _ => &self.bench,
        }
    }

    /// The measured rhyp.
    pub fn rhyp(&self, options: &Options) -> Machine {
        let program = options.rhyp.clone().unwrap_or_else(|| self.built.clone());
        Machine::Rhyp(program, options.arguments.clone())
    }

    /// What stands beside it.
    pub fn peer(&self, options: &Options) -> Option<Machine> {
        if options.peer {
            return Some(Machine::Qemu);
        }
        if options.versus.is_none() && options.versus_rhyp.is_none() {
            return None;
        }
        let program = options
            .versus_rhyp
            .clone()
            .or_else(|| options.rhyp.clone())
            .unwrap_or_else(|| self.built.clone());
        Some(Machine::Rhyp(program, options.versus.clone().unwrap_or_default()))
    }
}

impl Programs {
    fn prepare(root: &Path, out: &Path, guests: &Guests, bench: &Path) -> Result<Self> {
        let tree = guests.programs()?;
        let [script, python] = ["programs.sh", "python.py"].map(|name| root.join("guests/bench").join(name));
        // Some 150 MB that seldom change, and the little that does; the kernel unpacks one archive after the other.
        let base = out.join("programs-base.gz");
        let list = out.join("programs-base.list");
        let what = format!("{}\n{}\n{}", tree.display(), PROGRAMS.join("\n"), TREES.join("\n"));
        if !base.is_file() || std::fs::read_to_string(&list).ok().as_deref() != Some(&what) {
            let mut initramfs = Initramfs::new().busybox(&guests.busybox()?).programs(&tree, PROGRAMS)?;
            for folder in TREES {
                initramfs = initramfs.tree(folder, &tree.join(folder))?;
            }
            initramfs
                .link("usr/bin/python3", "python3.11")
                .link("usr/bin/gcc", "powerpc64le-linux-gnu-gcc-12")
                .link("usr/bin/as", "powerpc64le-linux-gnu-as")
                .write(&base)?;
            std::fs::write(&list, what)?;
        }
        let top = Initramfs::new()
            .init(&format!("{INIT_MOUNTS}{INIT_PROGRAMS}"))
            .host_file("bench", bench)?
            .host_file("programs.sh", &script)?
            .host_file("python.py", &python)?;
        let mut all = std::fs::read(&base)?;
        top.write_to(&mut all)?;
        let initrd = out.join("programs.gz");
        std::fs::write(&initrd, all)?;
        Ok(Self { initrd, script, python, data: tree.join(CC1) })
    }
}

fn compile(root: &Path, compiler: &str, flags: &[&str], out: &Path) -> Result<()> {
    let folder = root.join("guests/bench");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    let mut command = Command::new(compiler);
    command.args(FLAGS).args(flags).arg("-o").arg(out).args(sources).arg("-lm");
    let status = command.status().with_context(|| compiler.to_owned())?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed") }
}
