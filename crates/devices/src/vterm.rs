//! Virtual terminals, client side (LoPAR, "Virtual Terminal (vterm) option"): what a partition uses as its
//! console, `hvterm1`, without a protocol inside the byte stream.

use crate::rc::{HResult, HcallError};
use crate::{BadState, lock};
use device::{DeviceTree, IrqLine, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Unit address of the first terminal, the console.
pub const CONSOLE_UNIT: u32 = 0x7100_0000;
/// Bytes of input that wait for the guest at most.
pub const INPUT_LIMIT: usize = 4096;
/// Bytes that a hypercall carries.
const BATCH: usize = 16;

/// The other end of a terminal. Called by virtual processors: must not block for long.
pub trait CharBackend: Send + Sync {
    /// Takes what the guest wrote, 1 to 16 bytes, as a whole or not at all. `false`: no room now, the
    /// guest shall try again.
    fn write(&self, bytes: &[u8]) -> bool;
    /// The guest has read input after [`Vterm::input`] had to refuse some: there is room again.
    fn input_room(&self);
}

/// One virtual terminal.
pub struct Vterm {
    unit: u32,
    line: IrqLine,
    backend: Arc<dyn CharBackend>,
    input: Mutex<Input>,
}

#[derive(Default)]
struct Input {
    bytes: VecDeque<u8>,
    /// Some input was refused since the guest last read.
    refused: bool,
}

impl Vterm {
    /// A terminal at this unit address. `line` signals input.
    pub fn new(unit: u32, line: IrqLine, backend: Arc<dyn CharBackend>) -> Self {
        Vterm { unit, line, backend, input: Mutex::default() }
    }

    /// The unit address.
    pub fn unit(&self) -> u32 {
        self.unit
    }

    /// Input for the guest, from any thread. Answers how many bytes were taken; the rest has to wait until
    /// [`CharBackend::input_room`].
    pub fn input(&self, bytes: &[u8]) -> usize {
        let mut input = lock(&self.input);
        let taken = bytes.len().min(INPUT_LIMIT - input.bytes.len());
        input.bytes.extend(&bytes[..taken]);
        input.refused |= taken < bytes.len();
        drop(input);
        if taken > 0 {
            self.line.pulse();
        }
        taken
    }

    /// H_PUT_TERM_CHAR: writes the first `len` bytes of two registers, the most significant first. More
    /// than 16: H_PARAMETER. No room: H_BUSY, and nothing is written.
    pub fn put(&self, len: u64, registers: [u64; 2]) -> HResult<()> {
        let len = usize::try_from(len).ok().filter(|&l| l <= BATCH).ok_or(HcallError::Parameter)?;
        let mut bytes = [0; BATCH];
        bytes[..8].copy_from_slice(&registers[0].to_be_bytes());
        bytes[8..].copy_from_slice(&registers[1].to_be_bytes());
        if len == 0 || self.backend.write(&bytes[..len]) { Ok(()) } else { Err(HcallError::Busy) }
    }

    /// H_GET_TERM_CHAR: up to 16 bytes of input: their number, and two registers with the first byte in
    /// the most significant place and zeros behind the last.
    ///
    /// A zero byte is never handed out right behind a carriage return: Linux drops it there because of
    /// terminals that put one in.
    pub fn get(&self) -> (u64, [u64; 2]) {
        let mut bytes = [0; BATCH];
        let len = self.take(&mut bytes);
        let (high, low) = bytes.split_at(8);
        let register = |half: &[u8]| half.iter().fold(0, |value, &b| value << 8 | b as u64);
        (len as u64, [register(high), register(low)])
    }

    /// Takes input, as much as there is room for; what does not fit stays where it is. Answers how much. Zero bytes
    /// are kept from carriage returns as [`Self::get`] does it.
    pub fn take(&self, out: &mut [u8]) -> usize {
        let mut len = 0;
        let mut input = lock(&self.input);
        while len < out.len() {
            match input.bytes.front() {
                Some(0) if len > 0 && out[len - 1] == b'\r' => break,
                Some(&byte) => out[len] = byte,
                None => break,
            }
            input.bytes.pop_front();
            len += 1;
        }
        let room = len > 0 && std::mem::take(&mut input.refused);
        drop(input);
        if room {
            self.backend.input_room();
        }
        len
    }

    /// Forgets input that the guest has not read.
    pub fn reset(&self) {
        let Vterm { unit: _, line: _, backend, input } = self;
        let Input { refused, .. } = std::mem::take(&mut *lock(input));
        if refused {
            backend.input_room();
        }
    }

    /// Adds the node `vty@...` below the virtual I/O bus `vdevice`.
    pub fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let node = tree.ensure_node(vdevice, &format!("vty@{:x}", self.unit));
        tree.set_str(node, "device_type", "serial");
        tree.set_str(node, "compatible", "hvterm1");
        tree.set_u32(node, "reg", self.unit);
        tree.set_u32s(node, "interrupts", &self.line.cells());
        node
    }

    /// The input that waits.
    pub fn save(&self) -> VtermState {
        let Vterm { unit, line: _, backend: _, input } = self;
        let Input { bytes, refused: _ } = &*lock(input);
        VtermState { version: VtermState::VERSION, unit: *unit, input: bytes.iter().copied().collect() }
    }

    /// Takes over a saved state.
    pub fn restore(&self, state: VtermState) -> Result<(), BadState> {
        let VtermState { version, unit, input } = state;
        if version != VtermState::VERSION || unit != self.unit || input.len() > INPUT_LIMIT {
            return Err(BadState::new("terminal", format!("version {version}, unit {unit:#x}")));
        }
        lock(&self.input).bytes = input.into();
        Ok(())
    }
}

/// The terminals of a partition by unit address.
#[derive(Default)]
pub struct Vterms(BTreeMap<u32, Arc<Vterm>>);

impl Vterms {
    /// Adds a terminal; one with the same unit address goes.
    pub fn add(&mut self, terminal: Arc<Vterm>) {
        self.0.insert(terminal.unit, terminal);
    }

    /// All terminals by rising unit address.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Vterm>> {
        self.0.values()
    }

    /// The terminal that a hypercall names by its first parameter. 0 is the first one, which early boot
    /// code relies on. None: H_PARAMETER.
    pub fn find(&self, unit: u64) -> HResult<&Arc<Vterm>> {
        match unit {
            0 => self.0.values().next(),
            _ => u32::try_from(unit).ok().and_then(|u| self.0.get(&u)),
        }
        .ok_or(HcallError::Parameter)
    }
}

/// Saved state of a [`Vterm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VtermState {
    /// Format, [`VtermState::VERSION`].
    pub version: u32,
    /// Unit address.
    pub unit: u32,
    /// Input that waits for the guest.
    pub input: Vec<u8>,
}

impl VtermState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Pulses, Rng};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Sink {
        written: Mutex<Vec<u8>>,
        limit: AtomicUsize,
        rooms: AtomicUsize,
    }

    impl CharBackend for Sink {
        fn write(&self, bytes: &[u8]) -> bool {
            assert!((1..=16).contains(&bytes.len()));
            let mut written = self.written.lock().unwrap();
            let fits = written.len() + bytes.len() <= self.limit.load(Ordering::Relaxed);
            if fits {
                written.extend(bytes);
            }
            fits
        }
        fn input_room(&self) {
            self.rooms.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn terminal(unit: u32) -> (Arc<Sink>, Arc<Pulses>, Vterm) {
        let sink = Arc::new(Sink { limit: AtomicUsize::new(20), ..Sink::default() });
        let pulses = Arc::new(Pulses::default());
        (sink.clone(), pulses.clone(), Vterm::new(unit, pulses.line(0x1100), sink))
    }

    #[test]
    fn small_bites_keep_the_order() {
        let (_, _, t) = terminal(CONSOLE_UNIT);
        assert_eq!(t.input(b"one two"), 7);
        let (mut one, mut text) = ([0], Vec::new());
        while t.take(&mut one) == 1 {
            text.push(one[0]);
        }
        assert_eq!(text, b"one two");
        t.input(b"x\r\0");
        let mut bytes = [0; 8];
        assert_eq!((t.take(&mut bytes), &bytes[..2]), (2, &b"x\r"[..]));
    }

    #[test]
    fn output() {
        let (sink, _, t) = terminal(CONSOLE_UNIT);
        let text = [0x6162_6364_6566_6768, 0x696a_6b6c_6d6e_6f70];
        assert_eq!(t.put(16, text), Ok(()));
        assert_eq!(t.put(3, text), Ok(()));
        assert_eq!(t.put(0, text), Ok(()));
        assert_eq!(t.put(2, text), Err(HcallError::Busy));
        for len in [17, 1 << 32, u64::MAX] {
            assert_eq!(t.put(len, text), Err(HcallError::Parameter));
        }
        assert_eq!(*sink.written.lock().unwrap(), b"abcdefghijklmnopabc");
    }

    #[test]
    fn input_comes_in_batches() {
        let (_, pulses, t) = terminal(CONSOLE_UNIT);
        assert_eq!(t.get(), (0, [0, 0]));
        assert_eq!(t.input(b""), 0);
        assert_eq!(pulses.count(), 0);
        assert_eq!(t.input(b"abcdefghijklmnopqr"), 18);
        assert_eq!(pulses.count(), 1);
        assert_eq!(t.get(), (16, [0x6162_6364_6566_6768, 0x696a_6b6c_6d6e_6f70]));
        assert_eq!(t.get(), (2, [0x7172 << 48, 0]));
        assert_eq!(t.get(), (0, [0, 0]));
        t.input(b"\r\0\0");
        assert_eq!(t.get(), (1, [0x0d << 56, 0]));
        assert_eq!(t.get(), (2, [0, 0]));
    }

    #[test]
    fn input_is_bounded_and_says_when_there_is_room() {
        let (sink, pulses, t) = terminal(CONSOLE_UNIT);
        assert_eq!(t.input(&[b'x'; INPUT_LIMIT + 5]), INPUT_LIMIT);
        assert_eq!((t.input(b"y"), pulses.count()), (0, 1));
        assert_eq!(sink.rooms.load(Ordering::Relaxed), 0);
        t.get();
        t.get();
        assert_eq!(sink.rooms.load(Ordering::Relaxed), 1);
        assert_eq!(t.input(&[b'z'; 40]), 32);
        t.reset();
        assert_eq!((t.get().0, sink.rooms.load(Ordering::Relaxed)), (0, 2));
    }

    #[test]
    fn several_by_unit_address() {
        let mut all = Vterms::default();
        assert_eq!(all.find(0).err(), Some(HcallError::Parameter));
        all.add(Arc::new(terminal(CONSOLE_UNIT + 1).2));
        all.add(Arc::new(terminal(CONSOLE_UNIT).2));
        assert_eq!(all.find(0).unwrap().unit(), CONSOLE_UNIT);
        assert_eq!(all.find(CONSOLE_UNIT as u64 + 1).unwrap().unit(), CONSOLE_UNIT + 1);
        assert_eq!(all.find(1 << 32 | CONSOLE_UNIT as u64).err(), Some(HcallError::Parameter));
        let mut tree = DeviceTree::new();
        let vdevice = tree.add_node(DeviceTree::ROOT, "vdevice");
        for t in all.iter() {
            t.describe(&mut tree, vdevice);
        }
        let node = tree.find("/vdevice/vty@71000000").unwrap();
        assert_eq!(tree.prop_str(node, "compatible"), Some("hvterm1"));
        assert_eq!(tree.prop(node, "interrupts"), Some(&[0, 0, 0x11, 0, 0, 0, 0, 0][..]));
        assert_eq!(tree.prop_u32(node, "reg"), Some(CONSOLE_UNIT));
        assert!(tree.find("/vdevice/vty@71000001").is_some());
    }

    #[test]
    fn saved_and_restored() {
        let (_, _, t) = terminal(CONSOLE_UNIT);
        t.input(b"typed ahead");
        let json = serde_json::to_string(&t.save()).unwrap();
        let (_, _, u) = terminal(CONSOLE_UNIT);
        u.restore(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!((u.save(), u.get().0), (t.save(), 11));
        let other = terminal(CONSOLE_UNIT + 1).2;
        assert!(other.restore(t.save()).is_err());
        let long = VtermState { input: vec![0; INPUT_LIMIT + 1], ..t.save() };
        assert!(u.restore(long).is_err());
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (_, _, t) = terminal(CONSOLE_UNIT);
        let (mut sent, mut got): (Vec<u8>, Vec<u8>) = Default::default();
        let mut r = Rng::new(5);
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..r.below(60)).map(|_| r.pick(b"\0\0\r\rab")).collect();
            sent.extend(&bytes[..t.input(&bytes)]);
            for _ in 0..r.below(5) {
                let (len, [high, low]) = t.get();
                got.extend(&[high.to_be_bytes(), low.to_be_bytes()].concat()[..len as usize]);
            }
        }
        assert!(got.len() > 10_000 && sent.starts_with(&got));
    }
}
