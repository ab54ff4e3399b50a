//! The kernel loader on arbitrary bytes: no panic, no write outside of the memory it was told of.
#![no_main]

use firmware::elf::{Layout, LoadTarget, TargetError, load_kernel, place_initrd};
use libfuzzer_sys::fuzz_target;

const RMA: u64 = 16 << 20;

struct Bounded;

impl LoadTarget for Bounded {
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), TargetError> {
        assert!(addr.checked_add(data.len() as u64).is_some_and(|end| end <= RMA));
        Ok(())
    }
    fn zero(&mut self, addr: u64, len: u64) -> Result<(), TargetError> {
        assert!(addr.checked_add(len).is_some_and(|end| end <= RMA));
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let layout = Layout::new(RMA, 2 * RMA);
    if let Ok(loaded) = load_kernel(data, &layout, &mut Bounded) {
        assert!(loaded.low < loaded.high && loaded.high <= RMA && loaded.entry < loaded.high);
        if let Ok(at) = place_initrd(&layout, &loaded, 1 << 20) {
            assert!(at >= loaded.high && at + (1 << 20) <= layout.ram_size);
        }
    }
});
