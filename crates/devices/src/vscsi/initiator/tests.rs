use std::sync::atomic::{AtomicBool, Ordering};

use device::vio::Rc;

use super::*;
use crate::crq::{Cable, Owner, Side};

const SERVER_QUEUE: u64 = 0x1000;
/// Units: a disk, a tape, a CD-ROM.
const KINDS: [(u64, u8, u32); 3] = [(0, DISK, 512), (1, 1, 0), (2, CDROM, 2048)];
const BLOCKS: u32 = 3000;

/// What stands at a byte of every medium.
fn byte(lun: u64, at: u64) -> u8 {
    (at / 512 * 7 + at + lun * 31) as u8
}

/// A server that plays by the rules.
struct Server {
    crq: Arc<Crq>,
    memory: Memory,
    bell: Arc<Bell>,
    next: u64,
    /// Addresses of units that have told what they had to.
    told: Vec<u64>,
}

fn owner(number: u32) -> Owner {
    Owner { number, name: "p".into() }
}

impl Server {
    fn new(cable: &Arc<Cable>) -> Self {
        let bell = Arc::new(Bell::default());
        let ram = Arc::new(GuestRam::new(1 << 20).unwrap());
        let line = IrqLine::new(0, IrqKind::Msi, bell.clone());
        let dma = Arc::new(Memory(ram.clone()));
        let crq = Arc::new(Crq::new(Side::Server, 0x7100_4000, owner(1), cable.clone(), line, dma));
        crq.signal(1).unwrap();
        Server { crq, memory: Memory(ram), bell, next: 0, told: Vec::new() }
    }

    fn reach<R>(&self, mut work: impl FnMut(&dyn DmaSpace) -> Result<R, DmaFault>) -> Option<R> {
        let mut result = None;
        let mut work = |dma: &dyn DmaSpace| -> Result<(), Rc> {
            result = Some(work(dma).map_err(|_| -4)?);
            Ok(())
        };
        self.crq.remote().unwrap().with(&mut work).ok()?;
        result
    }

    /// Serves until told to end.
    fn serve(&mut self, end: &AtomicBool) {
        let opened = self.crq.register_crq(SERVER_QUEUE, QUEUE_LEN);
        if opened.is_ok() {
            let _ = self.crq.send_crq([u64::from_be_bytes([INIT, 1, 0, 0, 0, 0, 0, 0]), 0]);
        }
        while !end.load(Ordering::SeqCst) {
            let at = SERVER_QUEUE + self.next * ENTRY;
            let mut entry = [0; ENTRY as usize];
            self.memory.read(at, &mut entry).unwrap();
            if entry[0] == 0 {
                self.bell.wait();
                continue;
            }
            self.memory.write(at, &[0]).unwrap();
            self.next = (self.next + 1) % 256;
            match (entry[0], entry[1]) {
                (INIT, 1) => {
                    let _ = self.crq.send_crq([u64::from_be_bytes([INIT, 2, 0, 0, 0, 0, 0, 0]), 0]);
                }
                (PAYLOAD, SRP) => self.unit(be64(&entry, 8)),
                _ => {}
            }
        }
    }

    fn unit(&mut self, at: u64) {
        let mut iu = [0; 64];
        if self.reach(|dma| dma.read(at, &mut iu)).is_none() {
            return;
        }
        let mut rsp = [0; 36 + SENSE_LEN];
        rsp[8..16].copy_from_slice(&iu[8..16]);
        if iu[0] == srp::LOGIN_REQ {
            rsp[0] = srp::LOGIN_RSP;
        } else {
            rsp[0] = srp::RSP;
            let lun = be64(&iu, 20);
            if !self.told.contains(&lun) {
                self.told.push(lun);
                (rsp[18], rsp[19], rsp[36], rsp[38]) =
                    (srp::SENSE_VALID, CHECK_CONDITION, 0x70, UNIT_ATTENTION);
            } else if let Some(data) = answer(lun, &iu[32..48]) {
                let (into, room) = (be64(&iu, 48), be32(&iu, 60) as usize);
                self.reach(|dma| dma.write(into, &data[..data.len().min(room)])).unwrap();
            } else {
                (rsp[18], rsp[19], rsp[36], rsp[38]) = (srp::SENSE_VALID, CHECK_CONDITION, 0x70, 5);
            }
        }
        self.reach(|dma| dma.write(at, &rsp));
        let _ = self
            .crq
            .send_crq([u64::from_be_bytes([PAYLOAD, SRP, 0, 0, 0, 0, 0, rsp.len() as u8]), be64(&iu, 8)]);
    }
}

/// What a command reads.
fn answer(lun: u64, cdb: &[u8]) -> Option<Vec<u8>> {
    let number = (lun & !LOGICAL_UNIT) >> 48;
    let &(_, kind, size) = KINDS.iter().find(|k| k.0 == number)?;
    match cdb[0] {
        REPORT_LUNS => {
            let mut list = vec![0, 0, 0, 24, 0, 0, 0, 0];
            KINDS.iter().for_each(|k| list.extend((k.0 << 48).to_be_bytes()));
            Some(list)
        }
        INQUIRY => Some([vec![kind], vec![0; 35]].concat()),
        READ_CAPACITY_10 if size != 0 => Some([(BLOCKS - 1).to_be_bytes(), size.to_be_bytes()].concat()),
        READ_10 if size != 0 => {
            let (first, count) = (be32(cdb, 2), u32::from(u16::from_be_bytes([cdb[7], cdb[8]])));
            let bytes = u64::from(first) * u64::from(size)..u64::from(first + count) * u64::from(size);
            (first + count <= BLOCKS).then(|| bytes.map(|at| byte(number, at)).collect())
        }
        _ => None,
    }
}

fn client(cable: &Arc<Cable>) -> Arc<Crq> {
    let dma = Arc::new(Memory(Arc::new(GuestRam::new(1 << 20).unwrap())));
    let line = IrqLine::unconnected();
    Arc::new(Crq::new(Side::Client, 0x7100_3000, owner(2), cable.clone(), line, dma))
}

/// Runs `work` beside a server.
fn with_server<R>(server: &mut Server, work: impl FnOnce() -> R) -> R {
    let end = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| server.serve(&end));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        end.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|e| std::panic::resume_unwind(e))
    })
}

#[test]
fn disks_are_found_and_read() {
    let cable = Arc::new(Cable::default());
    let adapter = client(&cable);
    let mut server = Server::new(&cable);
    with_server(&mut server, || {
        let mut me = Initiator::connect(&adapter, &|| true).unwrap();
        let units = me.units(&|| true).unwrap();
        let disk = Served { lun: LOGICAL_UNIT, cdrom: false, block_size: 512, blocks: BLOCKS.into() };
        let cdrom = Served { lun: LOGICAL_UNIT | 2 << 48, cdrom: true, block_size: 2048, ..disk };
        assert_eq!(units, [disk, cdrom]);
        for (unit, number) in [(disk, 0), (cdrom, 2)] {
            let mut out = vec![0; 2 * MOST + 4096];
            let first = 100;
            me.read(&unit, first, &mut out, &|| true).unwrap();
            let at = first * u64::from(unit.block_size);
            assert!(out.iter().zip(at..).all(|(&b, at)| b == byte(number, at)));
            let beyond = me.read(&unit, unit.blocks, &mut out[..2048], &|| true);
            assert_eq!(beyond, Err(NoAnswer::Refused));
        }
    });
}

#[test]
fn a_server_that_comes_late_and_one_that_goes() {
    let cable = Arc::new(Cable::default());
    let adapter = client(&cable);
    let left = Mutex::new(3);
    let some = || std::mem::replace(&mut *lock(&left), 0) != 0;
    assert_eq!(Initiator::connect(&adapter, &some).err(), Some(NoAnswer::GivenUp));
    let mut me = std::thread::scope(|s| {
        let waiting = s.spawn(|| Initiator::connect(&adapter, &|| true).unwrap());
        with_server(&mut Server::new(&cable), || waiting.join().unwrap())
    });
    // The server is off: nothing is answered, until one comes and says that all is forgotten.
    let end = AtomicBool::new(false);
    std::thread::scope(|s| {
        let asking = s.spawn(move || me.units(&|| true));
        let (cable, end) = (&cable, &end);
        s.spawn(move || Server::new(cable).serve(end));
        assert_eq!(asking.join().unwrap(), Err(NoAnswer::Gone));
        let mut me = Initiator::connect(&adapter, &|| true).unwrap();
        assert_eq!(me.units(&|| true).unwrap().len(), 2);
        end.store(true, Ordering::SeqCst);
    });
}

#[test]
fn the_guest_has_its_adapter_back() {
    let cable = Arc::new(Cable::default());
    let adapter = client(&cable);
    let mut server = Server::new(&cable);
    with_server(&mut server, || {
        let mut me = Initiator::connect(&adapter, &|| true).unwrap();
        // The guest does not wait for firmware to be done.
        let _ = adapter.register_crq(0, QUEUE_LEN);
        assert_eq!(me.units(&|| true), Err(NoAnswer::Gone));
        adapter.free_crq().unwrap();
        drop(me);
        let me = Initiator::connect(&adapter, &|| true).unwrap();
        drop(me);
        assert_ne!(adapter.register_crq(0, QUEUE_LEN), Err(-16));
    });
}
