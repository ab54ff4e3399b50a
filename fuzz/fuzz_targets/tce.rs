//! DMA windows: the four hypercalls that change translation control entries with any arguments, and devices that go
//! through what comes of it.
#![no_main]

use std::sync::OnceLock;

use device::{DmaAccess, DmaSpace};
use libfuzzer_sys::fuzz_target;
use papr::Platform;
use papr::hcall::vio::TceSpace;
use papr::testing::{MEMORY, TestPlatform, config};
use rhyp_fuzz::Input;

/// Windows: number, start, log2 of a page, pages.
const WINDOWS: [(u32, u64, u32, usize); 3] =
    [(0x7100_0000, 0, 12, 256), (0x8000_0001, 1 << 59, 16, 64), (9, 0, 34, 4)];
const CALLS: [u64; 4] = [0x1c, 0x20, 0x138, 0x13c];
const LIST: u64 = 0x1_0000;

fn run(p: &TestPlatform, input: &mut Input) -> Option<()> {
    let mut cpu = p.cpu(0);
    let ram = &p.shared().ram;
    loop {
        let [what, which] = input.bytes()?;
        let (liobn, start, shift, pages) = WINDOWS[usize::from(which) % 3];
        let ioba = start.wrapping_add(input.number(1 << (shift - 8))?);
        match what % 8 {
            n @ 0..5 => {
                let liobn = if which >= 250 { u64::from_le_bytes(input.bytes()?) } else { liobn.into() };
                let tce = if n == 3 { LIST } else { input.number(0x1000)? | 3 };
                let count = input.number(1)?;
                p.hcall(&mut cpu, CALLS[usize::from(n) % 4], &[liobn, ioba, tce, count]);
            }
            5 => {
                let list = input.bytes::<32>()?;
                ram.write(LIST + ioba % 4096, &list).ok()?;
            }
            _ => {
                let table = p.papr().dma_windows().get(liobn.into())?;
                let space = TceSpace { table, ram: ram.clone() };
                let len = input.number(8)? % (1 << 24);
                let access = if what & 8 != 0 { DmaAccess::Read } else { DmaAccess::Write };
                let allowed = space.allows(ioba, len, access);
                match space.map(ioba, len, access) {
                    Ok(pieces) => {
                        assert!(allowed && pieces.len() == len && len <= (pages as u64) << shift);
                        assert!(pieces.list().iter().all(|&(at, n)| at + n <= MEMORY));
                    }
                    Err(_) => assert!(!allowed || len == 0),
                }
                let mut bytes = [7; 600];
                let bytes = &mut bytes[..len.min(600) as usize];
                let _ = space.read(ioba, bytes);
                let _ = space.write(ioba, bytes);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    static MACHINE: OnceLock<TestPlatform> = OnceLock::new();
    let p = MACHINE.get_or_init(|| {
        let p = TestPlatform::new(config("power9"));
        for (liobn, start, shift, pages) in WINDOWS {
            p.papr().dma_windows().create(liobn, start, shift, pages).expect("a window");
        }
        p
    });
    p.papr().reset(p.config());
    let _ = run(p, &mut Input(data));
    let saved = p.papr().save();
    p.papr().restore(saved.clone()).expect("what was saved can be restored");
    assert_eq!(p.papr().save(), saved);
});
