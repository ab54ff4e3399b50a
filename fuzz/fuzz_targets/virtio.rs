//! Each virtio device on PCI with an arbitrary driver: configuration space, base address registers, queues, and what
//! they point at.
//!
//! The first byte chooses the device and whether a well-behaved driver brings it up first. Then come steps of a few bytes
//! each; addresses are folded so that most hit something. What remains when the steps end fills memory beforehand.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use block::{Disk, Raw};
use device::IrqLine;
use device::pci::{Intx, PciFunction, SharedLine};
use devices::scsi::{Kind, Target, Unit};
use devices::virtio::balloon::Balloon;
use devices::virtio::blk::Blk;
use devices::virtio::console::Console;
use devices::virtio::net::Net;
use devices::virtio::rng::Rng;
use devices::virtio::vhost::VhostUser;
use devices::virtio::{VirtioDevice, VirtioPci, scsi};
use libfuzzer_sys::fuzz_target;
use mem::GuestRam;
use net::{Nic, Offload, Port};
use rhyp_fuzz::Input;

const MEMORY: u64 = 1 << 20;
/// Where queues stand, 16 KiB each.
const QUEUES: u64 = 0x8_0000;
const SIZE: u64 = 16;
const MAX_STEPS: usize = 64;

#[derive(Default)]
struct Network(std::sync::Mutex<Option<Arc<dyn Nic>>>);

impl Port for Network {
    fn connect(&self, nic: Arc<dyn Nic>) {
        *self.0.lock().unwrap() = Some(nic);
    }
    fn send(&self, _: &[u8], _: Offload) {}
    fn room(&self) {}
    fn takes_offloads(&self) -> bool {
        false
    }
    fn trunk(&self) -> Option<u8> {
        None
    }
}

fn disk() -> Arc<dyn Disk> {
    let path = std::env::temp_dir().join(format!("rhyp-fuzz-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.expect("a temporary file");
    let _ = std::fs::remove_file(path);
    file.set_len(1 << 16).expect("its size");
    Arc::new(Raw::new(file, false).expect("a disk"))
}

/// A back end of vhost-user that answers without having been asked: its features, its configuration space if it has
/// one, and where queues stand when they end.
fn answers(mut socket: &UnixStream, config: Option<&[u8]>) -> std::io::Result<()> {
    const GET_FEATURES: u32 = 1;
    const GET_VRING_BASE: u32 = 11;
    const GET_PROTOCOL_FEATURES: u32 = 15;
    const GET_CONFIG: u32 = 24;
    const FEATURES: u64 = 1 << 32 | 1 << 28;
    const PROTOCOL: u64 = 1 << 30;
    const CONFIG: u64 = 1 << 9;
    let mut all = Vec::new();
    let mut put = |kind: u32, body: &[u8]| {
        all.extend([kind, 1 | 4, body.len() as u32].iter().flat_map(|w| w.to_ne_bytes()));
        all.extend(body);
    };
    if let Some(config) = config {
        put(GET_FEATURES, &(FEATURES | PROTOCOL).to_ne_bytes());
        put(GET_PROTOCOL_FEATURES, &CONFIG.to_ne_bytes());
        put(GET_CONFIG, config);
    } else {
        put(GET_FEATURES, &FEATURES.to_ne_bytes());
    }
    (0..400).for_each(|_| put(GET_VRING_BASE, &[0; 8]));
    socket.write_all(&all)
}

/// What a driver does that keeps the rules.
fn bring_up(f: &VirtioPci, queues: u64) {
    let set = |at: u64, v: u64, size: u8| f.store(4, at, v, size);
    set(20, 3, 1);
    for half in 0..2 {
        set(0, half, 4);
        set(8, half, 4);
        set(12, f.load(4, 4, 4), 4);
    }
    set(20, 11, 1);
    for n in 0..queues {
        set(22, n, 2);
        set(24, SIZE, 2);
        let base = QUEUES + 0x4000 * n;
        for (reg, at) in [(32, base), (40, base + 0x1000), (48, base + 0x2000)] {
            set(reg, at, 8);
        }
        set(28, 1, 2);
    }
    set(20, 15, 1);
}

fn run(data: &[u8]) -> Option<()> {
    let mut input = Input(data);
    let [first] = input.bytes()?;
    let network = Arc::new(Network::default());
    let mut backend = None;
    let mut feed = None;
    let device: Arc<dyn VirtioDevice> = match first % 9 {
        0 => Arc::new(Blk::new(disk(), 2, "fuzz")),
        1 => Arc::new(Net::new(network.clone(), [2; 6], 2)),
        2 => Arc::new(Rng::new()),
        3 => Arc::new(Balloon::new()),
        4 => {
            let console = Console::new(|_| ());
            feed = Some(console.feed());
            Arc::new(console)
        }
        5 => {
            let (ours, theirs) = UnixStream::pair().ok()?;
            answers(&theirs, None).ok()?;
            backend = Some(theirs);
            Arc::new(VhostUser::fs(ours, "fuzz").ok()?)
        }
        // Sockets and networks that another program serves, with the configuration space that it gives.
        n @ (6 | 7) => {
            let (ours, theirs) = UnixStream::pair().ok()?;
            answers(&theirs, Some(&input.0[..input.0.len().min(300)])).ok()?;
            backend = Some(theirs);
            let (kind, class, name, queues) =
                if n == 6 { (19, 0x07_8000, "vsock", 3) } else { (1, 0x02_0000, "ethernet", 2) };
            Arc::new(VhostUser::new(ours, kind, class, name, queues, None).ok()?)
        }
        _ => {
            let mut target = Target::default();
            target.add(scsi::lun(0), Unit::new(disk(), Kind::Disk, "fuzz"));
            Arc::new(scsi::Scsi::new(target, 1))
        }
    };
    let queues = device.queue_sizes().len() as u64;
    let ram = Arc::new(GuestRam::new(MEMORY).ok()?);
    let pin = Intx::new(SharedLine::new(IrqLine::unconnected()), 0);
    let f = VirtioPci::new(device, ram.clone(), pin);
    if first >= 128 {
        bring_up(&f, queues);
    }
    let [steps] = input.bytes()?;
    let steps: Vec<[u8; 14]> = (0..steps as usize % MAX_STEPS).map_while(|_| input.bytes()).collect();
    let fill = input.0;
    ram.write(0, &fill[..fill.len().min(0x8_0000)]).ok()?;
    for step in steps {
        let [kind, a, b, size, _, _, v @ ..] = step;
        let (value, at) = (u64::from_le_bytes(v), u16::from_le_bytes([a, b]));
        let size = 1u8 << (size % 4);
        let queue = a as u64 % queues;
        let base = QUEUES + 0x4000 * queue;
        match kind % 8 {
            0 => f.store(4, at as u64 % 0x3000, value, size),
            1 => drop(f.load(4, at as u64 % 0x4000, size)),
            2 => f.store(1, at as u64 % 0x1000, value, size),
            3 => f.write_config(at as usize % 320, value as u32, size),
            4 => drop(f.read_config(at as usize % 320, size)),
            // A descriptor, offered.
            5 => {
                let n = b as u64 % SIZE;
                ram.store_le(base + 16 * n, value & 0xf_ffff, 8).ok()?;
                let (len, flags, next) = (step[4] as u64 * 8, step[5] as u64 & 7, step[3] as u64 % SIZE);
                ram.store_le(base + 16 * n + 8, len | flags << 32 | next << 48, 8).ok()?;
            }
            6 => {
                let index = ram.load_le(base + 0x1002, 2).ok()?;
                ram.store_le(base + 0x1004 + 2 * (index % SIZE), b as u64 % SIZE, 2).ok()?;
                ram.store_le(base + 0x1002, index + 1, 2).ok()?;
                f.store(4, 0x3000 + 4 * queue, queue, 2);
            }
            _ => {
                if let Some(feed) = &feed {
                    feed.input(&fill[..fill.len().min(100)], Duration::ZERO);
                }
                let nic = network.0.lock().unwrap().clone();
                if let Some(nic) = nic {
                    nic.deliver(&fill[..fill.len().min(value as usize & 0xffff)], Offload::default());
                    nic.done();
                }
            }
        }
    }
    let saved = f.save();
    f.reset();
    let restored = f.restore(saved, &|_| IrqLine::unconnected());
    // The state of a device behind vhost-user is elsewhere.
    assert_eq!(restored.is_ok(), backend.is_none());
    f.reset();
    // After all that a driver still finds a device.
    bring_up(&f, queues);
    assert_eq!(f.load(4, 20, 1), 15);
    f.reset();
    *network.0.lock().unwrap() = None;
    Some(())
}

fuzz_target!(|data: &[u8]| {
    run(data);
});
