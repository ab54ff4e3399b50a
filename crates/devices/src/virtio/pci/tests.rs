//! Transport and queues, with a device that answers each chain with the number of bytes it could read and write.

use super::super::testing::{BUFFERS, Driver, SIZE};
use super::*;

struct Echo;

impl VirtioDevice for Echo {
    fn kind(&self) -> u16 {
        42
    }
    fn class(&self) -> u32 {
        0xff_0000
    }
    fn node_name(&self) -> &'static str {
        "echo"
    }
    fn features(&self) -> u64 {
        1
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![64, 16]
    }
    fn read_config(&self, offset: usize, out: &mut [u8]) {
        super::super::copy_config(&[1, 2, 3, 4, 5], offset, out);
    }
    fn start(&self, _: &Arc<Link>) {}
    fn notify(&self, link: &Arc<Link>, queue: usize) {
        while let Some(c) = link.pop(queue) {
            let n = (c.readable.len() << 8 | c.writable.len()) as u32;
            c.complete(n);
        }
        link.want_notify(queue);
    }
    fn stop(&self) {}
    fn save(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn restore(&self, _: serde_json::Value) -> Result<(), String> {
        Ok(())
    }
}

fn up(features: u64) -> Driver {
    Driver::up(Arc::new(Echo), features)
}

const B: u64 = BUFFERS;

#[test]
fn chains_are_walked_and_given_back() {
    let mut d = up(1);
    assert_eq!(d.exchange(0, &[(B, 3, false), (B + 16, 4, false), (B + 32, 5, true)]), 7 << 8 | 5);
    assert_eq!(d.exchange(1, &[(B, 9, true)]), 9);
    assert_eq!((d.config(0, 4), d.config(4, 4), d.config(8, 8)), (0x0403_0201, 5, 0));
    assert_eq!((d.get(18, 2), d.get(20, 1)), (2, 15));
}

#[test]
fn indirect_tables_are_followed_once() {
    let mut d = up(feature::INDIRECT_DESC);
    let table = |d: &Driver, n: u64, len: u64, flags: u64, next: u64| {
        d.ram.store_le(B + 16 * n, B + 0x1000, 8).unwrap();
        d.ram.store_le(B + 16 * n + 8, len | flags << 32 | next << 48, 8).unwrap();
    };
    table(&d, 0, 2, 1, 2);
    table(&d, 2, 6, 2, 0);
    d.descriptor(0, 0, B, 48, 4, 0);
    d.make_available(0, 0);
    d.notify(0);
    assert_eq!(d.wait(0), (0, 2 << 8 | 6));
    let broken = |d: &mut Driver| {
        d.make_available(0, 0);
        d.notify(0);
        assert_eq!(d.used(0), None);
        assert_ne!(d.status() & status::NEEDS_RESET, 0);
        d.start(feature::INDIRECT_DESC);
    };
    for (len, flags, next) in [(48, 4 | 1, 1), (48, 4 | 2, 0), (0, 4, 0), (47, 4, 0), (16 * 1025, 4, 0)] {
        d.descriptor(0, 0, B, len, flags, next);
        broken(&mut d);
    }
    // A table in a table, a loop in one, a way out of one.
    for (flags, next) in [(4, 0), (1, 0), (1, 3)] {
        table(&d, 0, 16, flags, next);
        d.descriptor(0, 0, B, 48, 4, 0);
        broken(&mut d);
    }
}

#[test]
fn broken_queues_stop_the_device_until_it_is_reset() {
    let mut d = up(0);
    let broken = |d: &mut Driver, why: &str| {
        d.notify(0);
        assert_eq!(d.used(0), None, "{why}");
        assert_ne!(d.status() & status::NEEDS_RESET, 0, "{why}");
        d.start(0);
        assert_eq!(d.exchange(0, &[(B, 1, true)]), 1);
        d.start(0);
    };
    d.offer(0, 0, &[(B, 1, true), (B, 1, false)]);
    broken(&mut d, "readable behind writable");
    d.offer(0, 0, &[(super::super::testing::MEMORY - 3, 4, true)]);
    broken(&mut d, "outside of memory");
    d.offer(0, 0, &[(u64::MAX, 4, false)]);
    broken(&mut d, "far outside of memory");
    d.descriptor(0, 0, B, 1, 1, 0);
    d.make_available(0, 0);
    broken(&mut d, "a loop");
    d.descriptor(0, 0, B, 1, 1, SIZE);
    d.make_available(0, 0);
    broken(&mut d, "beyond the table");
    d.make_available(0, SIZE);
    broken(&mut d, "a head beyond the table");
    d.ram.store_le(0x10_4002, SIZE as u64 + 1, 2).unwrap();
    broken(&mut d, "too many");
    d.descriptor(0, 0, B, 48, 4, 0);
    d.make_available(0, 0);
    broken(&mut d, "an indirect table nobody agreed upon");
    // Rings outside of memory.
    for reg in [32, 40, 48] {
        d.f.reset();
        for s in [1, 3] {
            d.set(20, s, 1);
        }
        d.set(8, 1, 4);
        d.set(12, 1, 4);
        d.set(20, 11, 1);
        for at in [32, 40, 48] {
            d.set(at, if at == reg { u64::MAX - 16 } else { 0x10_0000 + at * 0x400 }, 8);
        }
        d.set(28, 1, 2);
        d.set(20, 15, 1);
        d.ram.store_le(0x10_0000 + 40 * 0x400 + 2, 1, 2).unwrap();
        d.notify(0);
        assert_ne!(d.status() & status::NEEDS_RESET, 0, "{reg}");
    }
}

#[test]
fn features_are_what_was_offered() {
    let d = Driver::new(Arc::new(Echo));
    let try_features = |low: u64, high: u64| {
        d.set(20, 0, 1);
        d.set(20, 3, 1);
        for (half, value) in [(0, low), (1, high)] {
            d.set(8, half, 4);
            d.set(12, value, 4);
        }
        d.set(20, 11, 1);
        d.status() == 11
    };
    assert!(try_features(1, 1));
    // Too late to change one's mind.
    d.set(12, 0, 4);
    assert_eq!(d.get(12, 4), 1);
    assert!(!try_features(1, 0), "without VERSION_1");
    assert!(!try_features(2, 1));
    assert!(!try_features(0, 3));
    // Without an agreement nothing runs.
    d.set(20, 7, 1);
    assert!(!d.f.link.running());
}

#[test]
fn interrupts_come_when_they_are_wanted() {
    use std::sync::atomic::Ordering::SeqCst;
    let mut d = up(0);
    let heard = |d: &Driver| d.ear.0.swap(0, SeqCst);
    d.exchange(0, &[(B, 1, true)]);
    assert_eq!(heard(&d), 1);
    // Nobody has looked yet: the line is still up.
    d.exchange(0, &[(B, 1, true)]);
    assert_eq!(heard(&d), 0);
    assert_eq!((d.get(ISR, 1), d.get(ISR, 1)), (1, 0));
    d.ram.store_le(0x10_4000, 1, 2).unwrap();
    d.exchange(0, &[(B, 1, true)]);
    assert_eq!((heard(&d), d.get(ISR, 1)), (0, 0));
    // By event: only when the third from now is back.
    let mut d = up(feature::EVENT_IDX);
    d.ram.store_le(0x10_4004 + 2 * SIZE as u64, 2, 2).unwrap();
    for n in 0..4 {
        d.exchange(0, &[(B, 1, true)]);
        assert_eq!(heard(&d), u32::from(n == 2), "{n}");
    }
    // By message, of a masked vector: it waits.
    let msix = d.f.msix_control - 2;
    d.f.write_config(msix, 0x8000_0000, 4);
    d.set(22, 0, 2);
    d.set(26, 1, 2);
    assert_eq!(d.get(26, 2), 1);
    d.set(16, 99, 2);
    assert_eq!(d.get(16, 2), NO_VECTOR as u64);
    d.get(ISR, 1);
    d.ram.store_le(0x10_4004 + 2 * SIZE as u64, 4, 2).unwrap();
    d.exchange(0, &[(B, 1, true)]);
    assert_eq!((heard(&d), d.f.load(MSIX_BAR, 0x800, 8)), (0, 2));
}

#[test]
fn the_window_in_configuration_space_reaches_the_registers() {
    let d = Driver::new(Arc::new(Echo));
    let w = d.f.window;
    let point = |offset: u64, len: u32| {
        d.f.write_config(w + WINDOW_BAR, MAIN_BAR as u32, 1);
        d.f.write_config(w + WINDOW_OFFSET, offset as u32, 4);
        d.f.write_config(w + WINDOW_LEN, len, 4);
    };
    point(CONFIG, 4);
    assert_eq!(d.f.read_config(w + WINDOW_DATA, 4), 0x0403_0201);
    point(20, 1);
    d.f.write_config(w + WINDOW_DATA, 3, 1);
    assert_eq!(d.status(), 3);
    for (offset, len) in [(MAIN_SIZE - 2, 4), (CONFIG, 3), (u32::MAX as u64, 1), (1, 4)] {
        point(offset, len);
        d.f.read_config(w + WINDOW_DATA, 4);
        d.f.write_config(w + WINDOW_DATA, 0, 4);
    }
    assert_eq!(d.status(), 3);
}
