//! `vty-server`, the far end of other partitions' terminals (LoPAR 16.6.3, "Server vterm"): a partition connects to one
//! terminal at a time, sees what is written there and types into it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use device::vio::{H_PARAMETER, Rc};
use device::{DeviceTree, IrqLine, NodeId, VioDevice, VtyPartner, VtyServer};
use serde::{Deserialize, Serialize};

use crate::lock;

const H_BUSY: Rc = 1;
const H_CLOSED: Rc = 2;
const H_RESOURCE: Rc = -16;

/// Unit address of a partition's first server.
pub const UNIT: u32 = 0x7100_0100;
/// Bytes that wait for the guest at most; what comes then is lost, as on any line that nobody reads.
const MOST_WAITING: usize = 16 << 10;
/// Bytes that a hypercall carries.
const BATCH: usize = 16;

/// Terminals that a server may connect to.
pub trait Exchange: Send + Sync {
    /// All of them, in order.
    fn partners(&self) -> Vec<VtyPartner>;
    /// Connects to one of [`Self::partners`]: what is written there goes to `sink` until the line is dropped. None:
    /// another server has it.
    fn connect(&self, to: &VtyPartner, sink: Arc<dyn Sink>) -> Option<Box<dyn Line>>;
}

/// Where a terminal's output goes. Must not block.
pub trait Sink: Send + Sync {
    /// Bytes that were written.
    fn output(&self, bytes: &[u8]);
}

/// A connection to a terminal.
pub trait Line: Send + Sync {
    /// Types; how many bytes were taken.
    fn input(&self, bytes: &[u8]) -> usize;
}

struct Connection {
    to: VtyPartner,
    line: Box<dyn Line>,
}

#[derive(Default)]
struct Waiting {
    /// What the terminal wrote.
    output: VecDeque<u8>,
    signal: bool,
}

struct Inbox {
    irq: IrqLine,
    waiting: Mutex<Waiting>,
}

impl Sink for Inbox {
    fn output(&self, bytes: &[u8]) {
        let mut w = lock(&self.waiting);
        let room = MOST_WAITING - w.output.len();
        w.output.extend(&bytes[..bytes.len().min(room)]);
        if w.signal && !w.output.is_empty() {
            self.irq.pulse();
        }
    }
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// What was accepted from the guest and the terminal had no room for.
    typed: VecDeque<u8>,
}

/// The adapter.
pub struct VtyServerAdapter {
    unit: u32,
    exchange: Arc<dyn Exchange>,
    inbox: Arc<Inbox>,
    state: Mutex<State>,
}

impl VtyServerAdapter {
    /// An adapter at a unit address.
    pub fn new(unit: u32, irq: IrqLine, exchange: Arc<dyn Exchange>) -> Self {
        let inbox = Arc::new(Inbox { irq, waiting: Mutex::default() });
        VtyServerAdapter { unit, exchange, inbox, state: Mutex::default() }
    }

    fn find(&self, partition: u64, unit: u64) -> Option<VtyPartner> {
        let is = |p: &VtyPartner| (u64::from(p.partition), u64::from(p.unit)) == (partition, unit);
        self.exchange.partners().into_iter().find(is)
    }

    /// Types what waits to be; whether nothing waits any more.
    fn flush(s: &mut State) -> bool {
        let State { connection, typed } = s;
        let Some(c) = connection else { return true };
        if !typed.is_empty() {
            let taken = c.line.input(typed.make_contiguous());
            typed.drain(..taken.min(typed.len()));
        }
        typed.is_empty()
    }
}

impl VtyServer for VtyServerAdapter {
    fn partners(&self) -> Vec<VtyPartner> {
        self.exchange.partners()
    }

    fn register(&self, partition: u64, unit: u64) -> Result<(), Rc> {
        let mut s = lock(&self.state);
        if s.connection.is_some() {
            return Err(H_RESOURCE);
        }
        let to = self.find(partition, unit).ok_or(H_PARAMETER)?;
        let line = self.exchange.connect(&to, self.inbox.clone()).ok_or(H_RESOURCE)?;
        s.connection = Some(Connection { to, line });
        Ok(())
    }

    fn free(&self) -> Result<(), Rc> {
        let State { connection, typed: _ } = std::mem::take(&mut *lock(&self.state));
        // The line goes first: nothing is written behind it.
        drop(connection);
        lock(&self.inbox.waiting).output.clear();
        Ok(())
    }

    fn get(&self) -> Result<(u64, [u64; 2]), Rc> {
        if lock(&self.state).connection.is_none() {
            return Err(H_CLOSED);
        }
        let mut w = lock(&self.inbox.waiting);
        let mut bytes = [0; BATCH];
        let mut len = 0;
        for (to, from) in bytes.iter_mut().zip(&w.output) {
            *to = *from;
            len += 1;
        }
        w.output.drain(..len);
        let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|n| bytes[at + n]));
        Ok((len as u64, [word(0), word(8)]))
    }

    fn put(&self, len: u64, registers: [u64; 2]) -> Result<(), Rc> {
        let len = usize::try_from(len).ok().filter(|&l| l <= BATCH).ok_or(H_PARAMETER)?;
        let bytes = [registers[0].to_be_bytes(), registers[1].to_be_bytes()].concat();
        let mut s = lock(&self.state);
        if s.connection.is_none() {
            return Err(H_CLOSED);
        }
        if !Self::flush(&mut s) {
            return Err(H_BUSY);
        }
        s.typed.extend(&bytes[..len]);
        Self::flush(&mut s);
        Ok(())
    }
}

/// Saved state of a [`VtyServerAdapter`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VtyServerState {
    /// Partition and unit address of the terminal it is connected to.
    partner: Option<(u32, u32)>,
    typed: Vec<u8>,
    output: Vec<u8>,
    signal: bool,
}

impl VioDevice for VtyServerAdapter {
    fn unit(&self) -> u32 {
        self.unit
    }

    fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let node = tree.ensure_node(vdevice, &format!("vty-server@{:x}", self.unit));
        tree.set_str(node, "device_type", "serial-server");
        tree.set_str(node, "compatible", "hvterm2");
        tree.set_u32(node, "reg", self.unit);
        tree.set_u32s(node, "interrupts", &self.inbox.irq.cells());
        tree.set_u32(node, "ibm,my-drc-index", self.unit);
        tree.set_str(node, "ibm,loc-code", &format!("V1-C{}", self.unit & 0xffff));
        node
    }

    fn reset(&self) {
        let VtyServerAdapter { unit: _, exchange: _, inbox, state } = self;
        drop(std::mem::take(&mut *lock(state)));
        *lock(&inbox.waiting) = Waiting::default();
    }

    fn save(&self) -> serde_json::Value {
        let State { connection, typed } = &*lock(&self.state);
        let Waiting { output, signal } = &*lock(&self.inbox.waiting);
        let state = VtyServerState {
            partner: connection.as_ref().map(|c| (c.to.partition, c.to.unit)),
            typed: typed.iter().copied().collect(),
            output: output.iter().copied().collect(),
            signal: *signal,
        };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let state: VtyServerState = serde_json::from_value(state).map_err(|e| e.to_string())?;
        let VtyServerState { partner, typed, output, signal } = state;
        if output.len() > MOST_WAITING || typed.len() > BATCH {
            return Err("too many bytes wait".into());
        }
        self.reset();
        if let Some((partition, unit)) = partner {
            self.register(partition.into(), unit.into())
                .map_err(|_| format!("the terminal {unit:#x} of partition {partition} is not to be had"))?;
        }
        lock(&self.state).typed = typed.into();
        let mut w = lock(&self.inbox.waiting);
        let newer = std::mem::replace(&mut w.output, output.into());
        let room = MOST_WAITING - w.output.len();
        w.output.extend(newer.into_iter().take(room));
        w.signal = signal;
        Ok(())
    }

    fn signal(&self, mode: u64) -> Result<(), Rc> {
        let mut w = lock(&self.inbox.waiting);
        match mode {
            0 => w.signal = false,
            1 => {
                w.signal = true;
                if !w.output.is_empty() {
                    self.inbox.irq.pulse();
                }
            }
            _ => return Err(H_PARAMETER),
        }
        Ok(())
    }

    fn vty_server(&self) -> Option<&dyn VtyServer> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Pulses;

    #[derive(Default)]
    struct Far {
        sink: Mutex<Option<Arc<dyn Sink>>>,
        typed: Arc<Mutex<Vec<u8>>>,
    }

    struct Typing(Arc<Mutex<Vec<u8>>>);

    impl Line for Typing {
        fn input(&self, bytes: &[u8]) -> usize {
            let mut all = self.0.lock().unwrap();
            let n = bytes.len().min(20usize.saturating_sub(all.len()));
            all.extend(&bytes[..n]);
            n
        }
    }

    impl Exchange for Far {
        fn partners(&self) -> Vec<VtyPartner> {
            vec![VtyPartner { partition: 3, unit: 0x7100_0000, location: "V3-C0".into() }]
        }
        fn connect(&self, _: &VtyPartner, sink: Arc<dyn Sink>) -> Option<Box<dyn Line>> {
            *self.sink.lock().unwrap() = Some(sink);
            Some(Box::new(Typing(self.typed.clone())))
        }
    }

    fn server() -> (Arc<Far>, Arc<Pulses>, VtyServerAdapter) {
        let (far, pulses) = (Arc::new(Far::default()), Arc::new(Pulses::default()));
        let adapter = VtyServerAdapter::new(UNIT, pulses.line(0x1105), far.clone());
        (far, pulses, adapter)
    }

    #[test]
    fn bytes_go_both_ways_once_connected() {
        let (far, pulses, v) = server();
        assert_eq!((v.get(), v.put(1, [0, 0])), (Err(H_CLOSED), Err(H_CLOSED)));
        assert_eq!((v.register(3, 1), v.register(4, 0x7100_0000)), (Err(H_PARAMETER), Err(H_PARAMETER)));
        assert_eq!(v.register(3, 0x7100_0000), Ok(()));
        assert_eq!(v.register(3, 0x7100_0000), Err(H_RESOURCE));
        let sink = far.sink.lock().unwrap().clone().unwrap();
        sink.output(b"login: ");
        assert_eq!(pulses.count(), 0);
        v.signal(1).unwrap();
        assert_eq!(pulses.count(), 1);
        let words = [u64::from_be_bytes(*b"login: \0"), 0];
        assert_eq!((v.get(), v.get()), (Ok((7, words)), Ok((0, [0, 0]))));
        sink.output(&vec![b'x'; 3 * MOST_WAITING]);
        assert_eq!(pulses.count(), 2);
        let mut n = 0;
        while v.get().unwrap().0 != 0 {
            n += 1;
        }
        assert_eq!(n, MOST_WAITING / BATCH);
        // What the terminal does not take waits, and then the guest waits.
        let word = u64::from_be_bytes(*b"12345678");
        assert_eq!((v.put(17, [0, 0]), v.put(16, [word, word])), (Err(H_PARAMETER), Ok(())));
        assert_eq!((v.put(8, [word, 0]), v.put(1, [word, 0])), (Ok(()), Err(H_BUSY)));
        far.typed.lock().unwrap().clear();
        assert_eq!(v.put(1, [u64::from(b'9') << 56, 0]), Ok(()));
        assert_eq!(*far.typed.lock().unwrap(), b"56789");
        assert_eq!((v.free(), v.get()), (Ok(()), Err(H_CLOSED)));
    }

    #[test]
    fn saved_and_restored() {
        let (far, _, v) = server();
        v.register(3, 0x7100_0000).unwrap();
        far.sink.lock().unwrap().as_ref().unwrap().output(b"half a word");
        v.signal(1).unwrap();
        let (_, _, w) = server();
        w.restore(v.save()).unwrap();
        assert_eq!((w.save(), w.get().unwrap().0), (v.save(), 11));
        let mut wrong = v.save();
        wrong["partner"] = serde_json::json!([9, 9]);
        assert!(w.restore(wrong).is_err());
        w.reset();
        assert_eq!((w.get(), w.save()["signal"].as_bool()), (Err(H_CLOSED), Some(false)));
    }
}
