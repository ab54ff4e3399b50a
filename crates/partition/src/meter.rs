//! Counts what goes through a partition's disks and network adapters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use block::{Disk, Done, IoError, Op};
use net::{Nic, Offload, Port};

use crate::io::IoSlots;

/// Bytes that a partition has moved. Disks: what was asked for. Networks: frames that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read from disks.
    pub read: u64,
    /// Written to disks.
    pub written: u64,
    /// Received from networks.
    pub received: u64,
    /// Sent to networks.
    pub sent: u64,
}

/// The counters.
#[derive(Default)]
pub struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Meter {
    /// The same devices, counted.
    pub fn attach(self: &Arc<Self>, slots: &mut IoSlots) {
        for d in &mut slots.disks {
            d.disk = Arc::new(CountedDisk { disk: d.disk.clone(), meter: self.clone() });
        }
        for n in &mut slots.nics {
            let (port, meter) = (n.port.clone(), self.clone());
            n.port = Arc::new(CountedPort { port, meter, nic: Mutex::new(None) });
        }
    }

    /// What they say.
    pub fn traffic(&self) -> Traffic {
        let Meter { read, written, received, sent } = self;
        let [read, written, received, sent] = [read, written, received, sent].map(|c| c.load(Relaxed));
        Traffic { read, written, received, sent }
    }
}

struct CountedDisk {
    disk: Arc<dyn Disk>,
    meter: Arc<Meter>,
}

impl Disk for CountedDisk {
    fn size(&self) -> u64 {
        self.disk.size()
    }
    fn read_only(&self) -> bool {
        self.disk.read_only()
    }
    fn submit(&self, op: Op, done: Done) {
        match &op {
            Op::Read { into, .. } => drop(self.meter.read.fetch_add(into.len(), Relaxed)),
            Op::Write { from, .. } => drop(self.meter.written.fetch_add(from.len(), Relaxed)),
            Op::Flush | Op::Discard { .. } | Op::WriteZeroes { .. } => {}
        }
        self.disk.submit(op, done);
    }
    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        self.meter.read.fetch_add(out.len() as u64, Relaxed);
        self.disk.read_now(offset, out)
    }
    fn drain(&self) {
        self.disk.drain();
    }
}

struct CountedPort {
    port: Arc<dyn Port>,
    meter: Arc<Meter>,
    /// What the network knows, which does not keep it alive.
    nic: Mutex<Option<Arc<CountedNic>>>,
}

impl Port for CountedPort {
    fn connect(&self, nic: Arc<dyn Nic>) {
        let counted = Arc::new(CountedNic { nic: Arc::downgrade(&nic), meter: self.meter.clone() });
        *self.nic.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted.clone());
        self.port.connect(counted);
    }
    fn send(&self, frame: &[u8], offload: Offload) {
        self.meter.sent.fetch_add(frame.len() as u64, Relaxed);
        self.port.send(frame, offload);
    }
    fn room(&self) {
        self.port.room();
    }
    fn takes_offloads(&self) -> bool {
        self.port.takes_offloads()
    }
    fn trunk(&self) -> Option<u8> {
        self.port.trunk()
    }
}

struct CountedNic {
    nic: Weak<dyn Nic>,
    meter: Arc<Meter>,
}

impl Nic for CountedNic {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        // An adapter that is gone wants no frame.
        let taken = self.nic.upgrade().is_none_or(|n| n.deliver(frame, offload));
        if taken {
            self.meter.received.fetch_add(frame.len() as u64, Relaxed);
        }
        taken
    }
    fn takes_offloads(&self) -> bool {
        self.nic.upgrade().is_some_and(|n| n.takes_offloads())
    }
    fn takes_large_segments(&self) -> bool {
        self.nic.upgrade().is_some_and(|n| n.takes_large_segments())
    }
    fn done(&self) {
        if let Some(n) = self.nic.upgrade() {
            n.done();
        }
    }
    fn mac(&self) -> Option<[u8; 6]> {
        self.nic.upgrade().and_then(|n| n.mac())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{DiskBus, DiskSlot, NicModel, NicSlot};

    struct Nothing;
    impl Disk for Nothing {
        fn size(&self) -> u64 {
            1 << 20
        }
        fn read_only(&self) -> bool {
            true
        }
        fn submit(&self, _: Op, done: Done) {
            done(Ok(()));
        }
        fn read_now(&self, _: u64, _: &mut [u8]) -> Result<(), IoError> {
            Ok(())
        }
        fn drain(&self) {}
    }

    #[derive(Default)]
    struct Wire {
        nic: Mutex<Option<Arc<dyn Nic>>>,
        rooms: AtomicU64,
        last: Mutex<Offload>,
    }
    impl Port for Wire {
        fn connect(&self, nic: Arc<dyn Nic>) {
            *self.nic.lock().unwrap() = Some(nic);
        }
        fn send(&self, frame: &[u8], offload: Offload) {
            *self.last.lock().unwrap() = offload;
            // What is sent comes back.
            self.nic.lock().unwrap().as_ref().unwrap().deliver(frame, offload);
        }
        fn trunk(&self) -> Option<u8> {
            Some(3)
        }
        fn room(&self) {
            self.rooms.fetch_add(1, Relaxed);
        }
        fn takes_offloads(&self) -> bool {
            true
        }
    }

    #[derive(Default)]
    struct Full {
        full: bool,
        batches: AtomicU64,
        last: Mutex<Offload>,
    }
    impl Nic for Full {
        fn deliver(&self, _: &[u8], offload: Offload) -> bool {
            *self.last.lock().unwrap() = offload;
            !self.full
        }
        fn takes_offloads(&self) -> bool {
            true
        }
        fn takes_large_segments(&self) -> bool {
            true
        }
        fn mac(&self) -> Option<[u8; 6]> {
            Some([2; 6])
        }
        fn done(&self) {
            self.batches.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn what_goes_through_is_counted_and_the_rest_is_as_it_was() {
        let wire = Arc::new(Wire::default());
        let mut slots = IoSlots {
            disks: vec![DiskSlot { disk: Arc::new(Nothing), bus: DiskBus::Vscsi, cdrom: false }],
            nics: vec![NicSlot { port: wire.clone(), model: NicModel::Veth, mac: [2; 6] }],
            ..IoSlots::default()
        };
        let meter = Arc::new(Meter::default());
        meter.attach(&mut slots);
        let ram = Arc::new(mem::GuestRam::new(1 << 16).unwrap());
        let pieces = |len| {
            let mut p = mem::Pieces::new(ram.clone());
            p.push(0, len).unwrap();
            p
        };
        let disk = &slots.disks[0].disk;
        disk.submit(Op::Read { offset: 0, into: pieces(512) }, Box::new(|r| r.unwrap()));
        disk.submit(Op::Write { offset: 0, from: pieces(1024) }, Box::new(|r| r.unwrap()));
        assert_eq!((disk.size(), disk.read_only()), (1 << 20, true));
        let port = &slots.nics[0].port;
        let full = Arc::new(Full { full: true, ..Full::default() });
        port.connect(full.clone());
        let offload = Offload { checksum: Some((34, 16)), ..Offload::default() };
        port.send(&[0; 60], offload);
        port.room();
        let seen = wire.nic.lock().unwrap().clone().unwrap();
        seen.done();
        assert_eq!((seen.mac(), seen.takes_offloads()), (Some([2; 6]), true));
        assert_eq!((port.trunk(), port.takes_offloads()), (Some(3), true));
        assert_eq!((wire.rooms.load(Relaxed), full.batches.load(Relaxed)), (1, 1));
        assert_eq!((*wire.last.lock().unwrap(), *full.last.lock().unwrap()), (offload, offload));
        assert_eq!(meter.traffic(), Traffic { read: 512, written: 1024, received: 0, sent: 60 });
        drop(full);
        assert_eq!(seen.mac(), None, "the port does not keep the adapter alive");
        let other: Arc<dyn Nic> = Arc::new(Full::default());
        port.connect(other.clone());
        port.send(&[0; 100], Offload::default());
        assert_eq!(meter.traffic(), Traffic { read: 512, written: 1024, received: 100, sent: 160 });
    }
}
