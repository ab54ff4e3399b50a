//! The virtual SCSI adapter: arbitrary messages, information units, descriptors and command blocks.
//!
//! The input is a list of steps: a byte that says what to do, then what it takes. The window maps memory one to one,
//! except for its end.
#![no_main]

use std::sync::Arc;

use block::{Disk, Done, IoError, Op, refuse};
use device::{DmaAccess, DmaFault, DmaSpace, IrqLine, VioDevice};
use devices::scsi::{Kind, Target, Unit};
use devices::vscsi::{UNIT, Vscsi, lun};
use libfuzzer_sys::fuzz_target;
use mem::{GuestRam, Pieces};

const MEMORY: u64 = 1 << 20;
const MAPPED: u64 = MEMORY - 0x1_0000;

struct Flat(Arc<GuestRam>);

impl DmaSpace for Flat {
    fn map(&self, ioba: u64, len: u64, _: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut p = Pieces::new(self.0.clone());
        if ioba.checked_add(len).is_none_or(|end| end > MAPPED) {
            return Err(DmaFault(ioba));
        }
        p.push(ioba, len).map_err(|_| DmaFault(ioba))?;
        Ok(p)
    }
}

/// A disk of zeros.
struct Zeros(u64);

impl Disk for Zeros {
    fn size(&self) -> u64 {
        self.0
    }
    fn read_only(&self) -> bool {
        false
    }
    fn submit(&self, op: Op, done: Done) {
        let r = refuse(&op, self.0, false);
        if let (Ok(()), Op::Read { into, .. }) = (r, &op) {
            into.fill(0);
        }
        done(r);
    }
    fn read_now(&self, _: u64, out: &mut [u8]) -> Result<(), IoError> {
        out.fill(0);
        Ok(())
    }
    fn drain(&self) {}
}

fuzz_target!(|data: &[u8]| {
    let ram = Arc::new(GuestRam::new(MEMORY).expect("memory"));
    let mut target = Target::default();
    target.add(lun(0), Unit::new(Arc::new(Zeros(1 << 30)), Kind::Disk, "a"));
    target.add(lun(1), Unit::new(Arc::new(Zeros(1 << 20)), Kind::Cdrom, "b"));
    let v = Vscsi::new(UNIT, IrqLine::unconnected(), Arc::new(Flat(ram.clone())), ram.clone(), target);
    let mut rest = data;
    let mut take = |n: usize| -> Vec<u8> {
        let (head, tail) = rest.split_at(n.min(rest.len()));
        rest = tail;
        let mut head = head.to_vec();
        head.resize(n, 0);
        head
    };
    let word = |b: &[u8]| b.iter().fold(0u64, |v, &x| v << 8 | u64::from(x));
    let _ = v.register_crq(0x1000, 4096);
    for _ in 0..40 {
        match take(1)[0] {
            0..=199 => {
                let (len, iu) = (take(1)[0], take(128));
                let _ = ram.write(0x8000, &iu);
                let format = if iu[0] > 0x80 { 2 } else { 1 };
                let _ = v.send_crq([0x80 << 56 | format << 48 | u64::from(len), 0x8000]);
            }
            200..=209 => {
                let m = take(16);
                let _ = v.send_crq([word(&m[..8]), word(&m[8..])]);
            }
            210..=219 => {
                let m = take(16);
                let _ = v.register_crq(word(&m[..8]), word(&m[8..]));
            }
            220..=229 => drop(v.free_crq()),
            230..=239 => drop(v.signal(take(1)[0].into())),
            240..=249 => {
                let m = take(2);
                let _ = ram.write(word(&m) * 16, &take(16));
            }
            250..=252 => {
                let saved = v.save();
                v.restore(saved).expect("its own state");
            }
            _ => v.reset(),
        }
    }
});
