//! The virtual Ethernet adapter: any hypercalls with any arguments and any frames, in any order, then an ordinary use.
#![no_main]

use std::sync::{Arc, OnceLock};

use device::{DmaAccess, DmaFault, DmaSpace, IrqLine, LogicalLan, VioDevice, VioWindow};
use devices::veth::Veth;
use libfuzzer_sys::fuzz_target;
use mem::{GuestRam, Pieces};
use net::{Gso, Nic, Offload, Port};
use rhyp_fuzz::Input;

const SIZE: u64 = 1 << 20;

struct Flat(Arc<GuestRam>);

impl DmaSpace for Flat {
    fn map(&self, ioba: u64, len: u64, _: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut p = Pieces::new(self.0.clone());
        p.push(ioba, len).map_err(|_| DmaFault(ioba))?;
        Ok(p)
    }
}

struct Nowhere;

impl Port for Nowhere {
    fn connect(&self, _: Arc<dyn Nic>) {}
    fn send(&self, frame: &[u8], offload: Offload) {
        net::finish::finish(frame, offload, &mut |_| {});
    }
    fn room(&self) {}
    fn takes_offloads(&self) -> bool {
        false
    }
    fn trunk(&self) -> Option<u8> {
        None
    }
}

/// A descriptor that is more often good than bad.
fn desc(input: &mut Input) -> Option<u64> {
    let w = input.word()?;
    Some(if w >> 60 == 0 { w } else { w & !(0xf0 << 32 | 0xfff0_0003) | 1 << 63 })
}

fn run(veth: &Veth, input: &mut Input) -> Option<()> {
    loop {
        let op = input.word()?;
        let arg = op >> 8;
        let _ = match op % 12 {
            0 => veth.register(0x2000, desc(input)? & !(0xf << 32 | 0xf), 0x3000, 0),
            1 => veth.register(input.word()?, input.word()?, input.word()?, input.word()?),
            2 => veth.free(),
            3 | 4 => veth.add_buffers(&[desc(input)?, desc(input)?]),
            5 => veth.free_buffer(arg & 0xffff),
            6 | 7 => {
                let list = [desc(input)?, desc(input)?, desc(input)?, 0, 0, 0];
                veth.send(list, arg & 0xffff)
            }
            8 => veth.multicast(arg & 0xf_ffff, input.word()?),
            9 => veth.attributes(arg & 0x10006, arg >> 32 & 0x10006).map(drop),
            10 => veth.signal(arg & 3),
            _ => {
                let offload = Offload {
                    checksum: (arg & 1 != 0).then_some((arg as u16 >> 1, (arg >> 16) as u16)),
                    checked: arg & 2 != 0,
                    gso: [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::None][(arg >> 32 & 3) as usize],
                    header_len: 0,
                    segment: (arg >> 40) as u16,
                };
                let (frame, rest) = input.0.split_at(input.0.len().min((arg >> 34 & 0x7ff) as usize));
                input.0 = rest;
                veth.deliver(frame, offload);
                veth.done();
                Ok(())
            }
        };
        let saved = veth.save();
        veth.restore(saved).expect("what was saved can be restored");
    }
}

fuzz_target!(|data: &[u8]| {
    static RAM: OnceLock<Arc<GuestRam>> = OnceLock::new();
    let ram = RAM.get_or_init(|| Arc::new(GuestRam::new(SIZE).expect("memory")));
    let window = VioWindow { liobn: 1, size: SIZE };
    let space = Arc::new(Flat(ram.clone()));
    let veth = Veth::new(1, IrqLine::unconnected(), window, space, Arc::new(Nowhere), [2, 0, 0, 0, 0, 1]);
    let _ = ram.write(0x1_0000, &data[..data.len().min(0x8000)]);
    let _ = run(&veth, &mut Input(data));
    veth.reset();
    ram.fill(0x1000, 0x3000, 0).expect("inside of memory");
    assert_eq!(veth.register(0x2000, 1 << 63 | 256 << 32 | 0x1000, 0x3000, 0), Ok(()));
    assert_eq!(veth.add_buffers(&[1 << 63 | 2048 << 32 | 0x8_0000]), Ok(()));
    assert!(veth.deliver(&[0xff; 60], Offload::default()));
    assert_eq!(ram.read_u32_be(0x1000).expect("inside of memory"), 0xc000_0008);
});
