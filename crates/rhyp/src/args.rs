//! The command line. Its texts are the help, the man page and the completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// rhyp, the open Power hypervisor: runs unmodified Power operating systems as logical partitions.
#[derive(Parser, Debug)]
#[command(
    name = "rhyp",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to log on standard error: error, warn, info, debug, trace, or module=level lists.
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a partition and give its console to the terminal (Ctrl-A x ends it, Ctrl-A ? lists the keys).
    Run(Box<RunArgs>),
    /// Fetch Debian's Power kernel and a shell through the host's apt, boot them, and hand over the shell.
    Demo(Box<DemoArgs>),
    /// Make a bootable Debian disk image through the host's apt, without root.
    Image(Box<ImageArgs>),
    /// Run a managed system: partitions that share processors, disks and networks, as a profile describes them.
    Up(UpArgs),
    /// List the partitions of the system that is up.
    Ls(ListArgs),
    /// Show a partition: how it does and what it was made of.
    Show(ShowArgs),
    /// Switch a partition on.
    Start(NameArgs),
    /// Ask a partition to power off.
    Stop(StopArgs),
    /// Switch a partition off, and on again.
    Restart(NameArgs),
    /// Give a partition another entitlement or weight.
    Set(SetArgs),
    /// Show what a partition writes on its console, and type into it (Ctrl-A x leaves).
    Console(NameArgs),
    /// Show what partitions use and wait for, again and again.
    Top(TopArgs),
    /// Switch all partitions off and end the system.
    Down(ListArgs),
    /// List the processor models.
    Cpus(CpusArgs),
    /// Print a completion script for a shell.
    Completions {
        /// Shell to complete in.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// `rhyp cpus`.
#[derive(Args, Debug)]
pub struct CpusArgs {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which system is meant.
#[derive(Args, Debug)]
pub struct ControlArgs {
    /// Control socket of the system; in the user's run-time directory unless said otherwise.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// `rhyp up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// The profile: TOML, or JSON if its name ends so.
    #[arg(value_name = "FILE")]
    pub profile: PathBuf,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
    /// End when no partition runs any more, with status 3 if one died.
    #[arg(long)]
    pub once: bool,
    /// Say whether the profile is right, and no more.
    #[arg(long)]
    pub check: bool,
    /// For measurements: a virtual processor that confers its turn to another, by hypercall or in a loop that says it
    /// waits, goes on instead.
    #[arg(long, hide = true)]
    pub ignore_confer: bool,
}

/// `rhyp ls` and `rhyp down`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `rhyp show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Name of the partition.
    pub name: String,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `rhyp start`, `rhyp restart` and `rhyp console`.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// Name of the partition.
    pub name: String,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `rhyp stop`.
#[derive(Args, Debug)]
pub struct StopArgs {
    /// Name of the partition.
    pub name: String,
    /// Without asking the guest.
    #[arg(long)]
    pub now: bool,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `rhyp set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Name of the partition.
    pub name: String,
    /// Processors, for example 0.25.
    #[arg(long, value_name = "PROCESSORS")]
    pub entitlement: Option<f64>,
    /// Weight, 0 to 255.
    #[arg(long, value_name = "WEIGHT")]
    pub weight: Option<u8>,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `rhyp top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Seconds between looks.
    #[arg(long, value_name = "SECONDS", default_value = "2")]
    pub interval: f64,
    /// End after so many looks.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// One line of JSON a look.
    #[arg(long)]
    pub json: bool,
    /// Which system.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// Address translation offered to the guest.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mmu {
    /// Radix trees (POWER9 and later).
    Radix,
    /// Hashed page tables.
    Hash,
}

/// Interrupt controllers offered to the guest.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irqchip {
    /// The controller of POWER8 and before.
    Xics,
    /// XIVE exploitation mode (POWER9 and later).
    Xive,
    /// Both; the guest chooses.
    Dual,
}

/// How guest instructions are carried out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The interpreter.
    Interp,
    /// The translator.
    Jit,
}

/// The machine a partition is given.
#[derive(Args, Debug, Clone)]
pub struct MachineArgs {
    /// Processor model, as `rhyp cpus` lists them; compat=NAME offers the architecture level of an older one.
    #[arg(long, value_name = "NAME[,compat=NAME]", default_value = "power9")]
    pub cpu: String,
    /// Number of virtual processors.
    #[arg(long, value_name = "N", default_value = "1")]
    pub cpus: String,
    /// Threads of a core: 1, 2, 4 or 8.
    #[arg(long, value_name = "T", default_value = "1")]
    pub threads: String,
    /// Memory, with K, M, G or T.
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub memory: String,
    /// Execution engine.
    #[arg(long, value_enum, default_value = "jit")]
    pub accel: Accel,
    /// Offer only this address translation.
    #[arg(long, value_enum)]
    pub mmu: Option<Mmu>,
    /// Offer only this interrupt controller.
    #[arg(long, value_enum, default_value = "dual")]
    pub irqchip: Irqchip,
    /// File that keeps the non-volatile memory (made when it is not there).
    #[arg(long, value_name = "FILE")]
    pub nvram: Option<PathBuf>,
    /// A disk: an image file, raw or qcow2, or a block device. snapshot forgets all changes at the end. Commas in the
    /// file's name are doubled.
    #[arg(
        long = "disk",
        value_name = "FILE[,format=raw|qcow2][,bus=virtio|vscsi|virtio-scsi][,readonly][,snapshot][,cdrom][,cache=writeback|none|writethrough|unsafe]"
    )]
    pub disks: Vec<String>,
    /// A network and the adapter on it; repeatable. user reaches what the host reaches, through the program passt, and
    /// hostfwd lets others in; tap is an interface of the host; socket is another hypervisor (QEMU's -netdev stream);
    /// switch is inside of rhyp, with VLANs (vlan of untagged frames, tagged=N+N, trunk=PRIORITY), and uplink=NAME makes
    /// another network its way out.
    #[arg(
        long = "net",
        value_name = "user[,hostfwd=tcp:ADDR:PORT-:PORT]|tap=NAME|socket=PATH[,listen]|switch=NAME[,vlan=N]|none[,model=veth|virtio][,mac=ADDR]"
    )]
    pub nets: Vec<String>,
    /// A directory of the host as a file system of the guest, by the program virtiofsd: mount -t virtiofs TAG DIRECTORY;
    /// repeatable.
    #[arg(long = "share", value_name = "HOSTDIR=TAG")]
    pub shares: Vec<String>,
    /// Another virtio device: random numbers of the host's; a balloon, by which memory that the guest does not use goes
    /// back to the host; a console on a socket that one client at a time connects to; or one that another program
    /// serves (vhost-user), of a kind by number or name (vsock, blk, net, ...). Repeatable.
    #[arg(
        long = "device",
        value_name = "virtio-rng|virtio-balloon|virtio-console,unix=PATH|vhost-user,socket=PATH,kind=KIND[,queues=N]"
    )]
    pub devices: Vec<String>,
    /// Orders for the guest's cloud-init (its NoCloud data source), as a small read-only disk.
    #[arg(long, value_name = "USER-DATA[,meta-data=FILE][,network-config=FILE]")]
    pub cloud_init: Option<String>,
    /// Name of the partition.
    #[arg(long, value_name = "NAME", default_value = "rhyp")]
    pub name: String,
    /// End with status 3 when the guest reboots.
    #[arg(long)]
    pub no_reboot: bool,
    /// Print counters to standard error at the end.
    #[arg(long)]
    pub stats: bool,
    /// Write counters to a file as JSON at the end.
    #[arg(long, value_name = "FILE")]
    pub stats_json: Option<PathBuf>,
    /// Where the console is: the terminal, a new pseudo-terminal, a socket that one client at a time connects to, a file
    /// (output only), or nowhere.
    #[arg(long, value_name = "stdio|pty|unix:PATH|file:PATH|null", default_value = "stdio")]
    pub console: String,
}

/// `rhyp run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Kernel: ELF of either byte order, vmlinux or zImage.pseries, gzip'd or not. Without it, firmware boots from disk.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Firmware to run instead of the built-in one: a raw image for real address 0 (SLOF, a boot ROM of test kernels).
    #[arg(long, value_name = "builtin|FILE")]
    pub firmware: Option<PathBuf>,
    /// Initial RAM disk.
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    #[arg(long, value_name = "STR", default_value = "console=hvc0")]
    pub append: String,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `rhyp demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// More words for the kernel command line.
    #[arg(long, value_name = "STR", default_value = "")]
    pub append: String,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `rhyp image`.
#[derive(Args, Debug)]
pub struct ImageArgs {
    /// The image: NAME.qcow2 or NAME.raw.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// Format, when the name does not say it.
    #[arg(long, value_name = "qcow2|raw")]
    pub format: Option<String>,
    /// Size of the disk; the image takes what is in use of it.
    #[arg(long, value_name = "SIZE", default_value = "8G")]
    pub size: String,
    /// Debian release.
    #[arg(long, value_name = "NAME", default_value = "bookworm")]
    pub suite: String,
    /// More packages, separated by commas.
    #[arg(long, value_name = "LIST")]
    pub packages: Vec<String>,
    /// Name of the machine.
    #[arg(long, value_name = "NAME", default_value = "debian")]
    pub hostname: String,
    /// Password of root; without one, root logs in on the console (and only there) without a password.
    #[arg(long, value_name = "PASSWORD")]
    pub root_password: Option<String>,
    /// Public keys that may log in as root by ssh; the user's own in ~/.ssh unless named.
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Vec<PathBuf>,
    /// Replace an image that exists.
    #[arg(long)]
    pub force: bool,
}
