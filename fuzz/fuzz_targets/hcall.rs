//! The hypercall dispatcher with arbitrary registers against a partition with arbitrary memory.
//!
//! The first byte chooses the machine. Then come calls: a byte for the processor, one for the row of the table (so that
//! numbers need not be guessed), one with a bit per argument that is a place in memory rather than any number, and the
//! arguments. What remains is memory.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use papr::hcall::TABLE;
use papr::testing::{MEMORY, TestPlatform, config};
use papr::{IrqChoice, MmuChoice, Platform, cas};
use rhyp_fuzz::Input;

const MAX_CALLS: usize = 32;
const BASE: u64 = 0x1_0000;

fn machines() -> &'static [TestPlatform] {
    static MACHINES: OnceLock<Vec<TestPlatform>> = OnceLock::new();
    MACHINES.get_or_init(|| {
        let machine = |model, mmu, irqchip| {
            let mut c = config(model);
            (c.mmu, c.irqchip) = (mmu, irqchip);
            let p = TestPlatform::new(c);
            p.papr().dma_windows().create(0x7100_0000, 0, 12, 1024).expect("the first window");
            p
        };
        vec![
            machine("power8", MmuChoice::Any, IrqChoice::Dual),
            machine("power9", MmuChoice::Any, IrqChoice::Dual),
            machine("power9", MmuChoice::Radix, IrqChoice::Xive),
            machine("power10", MmuChoice::Hash, IrqChoice::Xive),
        ]
    })
}

fn run(input: &mut Input) -> Option<()> {
    let all = machines();
    let p = &all[input.byte()? as usize % all.len()];
    p.papr().reset(p.config());
    cas::power_on(p).ok()?;
    let mut cpus: Vec<_> = (0..p.papr().vcpu_count()).map(|n| p.cpu(n)).collect();
    let calls = input.byte()? as usize % MAX_CALLS;
    let mut list = Vec::new();
    for _ in 0..calls {
        let [cpu, row, places] = input.bytes::<3>()?;
        let row = &TABLE[row as usize % TABLE.len()];
        let mut args = [0; 9];
        for (n, arg) in args.iter_mut().take(row.args as usize).enumerate() {
            *arg = if places >> (n % 8) & 1 != 0 {
                u64::from(u32::from_le_bytes(input.bytes::<4>()?)) % (MEMORY + 16)
            } else {
                u64::from_le_bytes(input.bytes::<8>()?)
            };
        }
        list.push((cpu as usize % cpus.len(), row.number, args));
    }
    let _ = p.shared().ram.write(BASE, &input.0[..input.0.len().min(1 << 16)]);
    for (n, number, args) in list {
        p.hcall_flow(&mut cpus[n], number, &args);
        p.papr().vpa_preempt(p.shared(), n, papr::hcall::vpa::Preempted::Preempted);
        p.papr().vpa_dispatch(p.shared(), n, 0, 0);
    }
    p.ended.lock().expect("no panic before").clear();
    p.console.0.lock().expect("no panic before").clear();
    let saved = p.papr().save();
    p.papr().restore(saved.clone()).expect("what was saved can be restored");
    assert_eq!(p.papr().save(), saved);
    Some(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Input(data));
});
