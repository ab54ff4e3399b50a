//! The PCI host bridge with an arbitrary guest: configuration space, interrupts, DMA windows and error handling through
//! RTAS, and loads and stores where its functions stand.
//!
//! The input is a list of steps: what to call, a byte with a bit per argument that names something that is there, and the
//! arguments.
#![no_main]

use std::sync::Arc;

use device::irq::IrqController;
use devices::phb::{BUID, Phb};
use devices::scsi::Target;
use devices::virtio::balloon::Balloon;
use devices::virtio::rng::Rng;
use devices::virtio::{VirtioPci, scsi};
use libfuzzer_sys::fuzz_target;
use papr::testing::{TestPlatform, config};
use papr::{Platform, rtas};
use rhyp_fuzz::Input;

const MAX_STEPS: usize = 64;
const CALLS: [(&str, usize, usize); 16] = [
    ("read-pci-config", 2, 2),
    ("write-pci-config", 3, 1),
    ("ibm,read-pci-config", 4, 2),
    ("ibm,write-pci-config", 5, 1),
    ("ibm,change-msi", 6, 4),
    ("ibm,query-interrupt-source-number", 4, 3),
    ("ibm,query-pe-dma-window", 3, 6),
    ("ibm,create-pe-dma-window", 5, 4),
    ("ibm,remove-pe-dma-window", 1, 1),
    ("ibm,reset-pe-dma-window", 3, 1),
    ("ibm,set-eeh-option", 4, 1),
    ("ibm,get-config-addr-info2", 4, 2),
    ("ibm,read-slot-reset-state2", 3, 4),
    ("ibm,set-slot-reset", 4, 1),
    ("ibm,configure-pe", 3, 1),
    ("ibm,slot-error-detail", 8, 1),
];

fn machine() -> TestPlatform {
    let mut p = TestPlatform::new(config("power9"));
    let mut phb = Phb::new(Arc::new(p.intc.clone())).expect("a bridge");
    for n in 0..3 {
        let (_, pin) = phb.next_slot().expect("a slot");
        let ram = p.shared.ram.clone();
        phb.plug(match n {
            0 => Arc::new(VirtioPci::new(Arc::new(Rng::new()), ram, pin)),
            1 => Arc::new(VirtioPci::new(Arc::new(Balloon::new()), ram, pin)),
            _ => Arc::new(VirtioPci::new(Arc::new(scsi::Scsi::new(Target::default(), 4)), ram, pin)),
        });
    }
    p.phb = Some(phb);
    rtas::pci::reset_windows(p.papr());
    p
}

fn run(p: &TestPlatform, input: &mut Input) -> Option<()> {
    let phb = p.phb()?;
    let mut cpu = p.cpu(0);
    for _ in 0..MAX_STEPS {
        let [what, there] = input.bytes()?;
        if what >= 192 {
            // Where the registers are, or were before somebody moved them.
            let [slot, low, high, size] = input.bytes()?;
            let at = u64::from(u16::from_le_bytes([low, high]));
            let f = phb.functions().get(usize::from(slot) % 3)?;
            let base = f.header().bar_base(usize::from(there & 1));
            let ra = if there & 2 != 0 { base } else { 0x2000_0000_0000 + (base & 0xffff_ffff) };
            let (ra, size) = (ra.wrapping_add(at), 1 << (size % 4));
            if what & 1 == 0 {
                phb.load(ra, size);
            } else {
                phb.store(ra, u64::from_le_bytes(input.bytes()?), size);
            }
            continue;
        }
        let (name, nargs, nrets) = CALLS[usize::from(what) % CALLS.len()];
        let mut args = [0; 8];
        for (n, arg) in args.iter_mut().take(nargs).enumerate() {
            *arg = match (n, there >> n & 1) {
                (0, 1) => {
                    let [slot, register] = input.bytes()?;
                    u32::from(slot % 4) << 11 | u32::from(register)
                }
                (1, 1) => (BUID >> 32) as u32,
                (2, 1) => BUID as u32,
                (_, 1) => u32::from(input.bytes::<1>()?[0] % 40),
                _ => u32::from_le_bytes(input.bytes()?),
            };
        }
        p.rtas(&mut cpu, name, &args[..nargs], nrets);
    }
    Some(())
}

fuzz_target!(|data: &[u8]| {
    let p = machine();
    let _ = run(&p, &mut Input(data));
    // The windows and the interrupts are not used up, and what was saved can be restored.
    let phb = p.phb().expect("a bridge");
    let saved = phb.save();
    phb.restore(saved).expect("what was saved can be restored");
    phb.reset();
    rtas::pci::reset_windows(p.papr());
    for f in phb.functions() {
        assert_eq!(phb.set_messages(&**f, 2), Ok(2));
    }
    drop(p.intc.claim_msis(8, 1).expect("free interrupts"));
});
