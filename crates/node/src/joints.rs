//! What joins partitions: cables between virtual SCSI adapters, and consoles that others' servers connect to.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use partition::io::{Cable, CableSlot, Exchange, Line, Side, Sink, VtyPartner};
use partition::{CONSOLE_UNIT, Partition};

use crate::console::Console;
use crate::profile::{ALL, Profile};

/// The console of a partition, as servers in other partitions reach it.
pub(crate) struct Terminal {
    name: String,
    number: u32,
    pub console: Arc<Console>,
    /// Who reads what is typed.
    reader: Mutex<Weak<Partition>>,
}

impl Terminal {
    pub fn new(name: &str, number: u32) -> Arc<Self> {
        let (console, reader) = Default::default();
        Arc::new(Terminal { name: name.into(), number, console, reader })
    }

    /// The partition was switched on, or off.
    pub fn set_reader(&self, reader: Weak<Partition>) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader;
    }
}

/// The consoles that one server may connect to.
struct Reach(Vec<Arc<Terminal>>);

impl Exchange for Reach {
    fn partners(&self) -> Vec<VtyPartner> {
        let partner = |t: &Arc<Terminal>| VtyPartner {
            partition: t.number,
            unit: CONSOLE_UNIT,
            location: format!("{}-V{}-C0", t.name, t.number),
        };
        self.0.iter().map(partner).collect()
    }

    fn connect(&self, to: &VtyPartner, sink: Arc<dyn Sink>) -> Option<Box<dyn Line>> {
        let terminal = self.0.iter().find(|t| t.number == to.partition)?.clone();
        let id = terminal.console.connect(sink)?;
        Some(Box::new(Connected { terminal, id }))
    }
}

struct Connected {
    terminal: Arc<Terminal>,
    id: u64,
}

impl Line for Connected {
    fn input(&self, bytes: &[u8]) -> usize {
        let reader = self.terminal.reader.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        // What is typed into nothing is gone.
        reader.map_or(bytes.len(), |p| p.console_input(bytes))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.terminal.console.disconnect(self.id);
    }
}

/// All joints of a node.
pub(crate) struct Joints {
    /// Client's and server's partition, and the cable between them.
    cables: Vec<(usize, usize, Arc<Cable>)>,
    /// The consoles that each partition's servers may connect to.
    servers: Vec<Vec<Arc<dyn Exchange>>>,
}

impl Joints {
    pub fn new(profile: &Profile, terminals: &[Arc<Terminal>]) -> Self {
        let cables = profile.cables().into_iter().map(|(c, s)| (c, s, Arc::default())).collect();
        let reach = |n: usize, name: &String| -> Arc<dyn Exchange> {
            let others = terminals.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, t)| t);
            Arc::new(Reach(others.filter(|t| name == ALL || t.name == *name).cloned().collect()))
        };
        let parts = profile.partitions.iter().enumerate();
        let servers = parts.map(|(n, p)| p.vty_server.iter().map(|name| reach(n, name)).collect()).collect();
        Joints { cables, servers }
    }

    /// The ends of cables in a partition: a client's in the order of its profile, a server's in the order of its own.
    pub fn cables(&self, n: usize, profile: &Profile) -> Vec<CableSlot> {
        let slot = |cable: &Arc<Cable>, side| CableSlot { cable: cable.clone(), side };
        let mine = self.cables.iter().filter(|(c, _, _)| *c == n);
        let mut all: Vec<_> = mine.map(|(_, _, cable)| slot(cable, Side::Client)).collect();
        let mut rest: Vec<_> = self.cables.iter().filter(|(_, s, _)| *s == n).collect();
        for name in &profile.partitions[n].vscsi_server {
            if let Some(at) = rest.iter().position(|(c, _, _)| profile.partitions[*c].name == *name) {
                all.push(slot(&rest.remove(at).2, Side::Server));
            }
        }
        all
    }

    /// The servers of terminals in a partition.
    pub fn vty_servers(&self, n: usize) -> Vec<Arc<dyn Exchange>> {
        self.servers.get(n).cloned().unwrap_or_default()
    }
}
