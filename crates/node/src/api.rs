//! What is said over the control socket: one line of JSON each way. After [`Request::Console`] was granted, the stream is
//! the console's: bytes both ways.

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// The node and its partitions.
    List,
    /// The profile of a partition.
    Show {
        /// Its name.
        name: String,
    },
    /// Switches a partition on.
    Start {
        /// Its name.
        name: String,
    },
    /// Switches a partition off.
    Stop {
        /// Its name.
        name: String,
        /// Without asking the guest.
        now: bool,
    },
    /// Switches a partition off without asking, and on again.
    Restart {
        /// Its name.
        name: String,
    },
    /// The console of a partition.
    Console {
        /// Its name.
        name: String,
    },
    /// Another entitlement or weight.
    Set {
        /// Name of the partition.
        name: String,
        /// Hundredths of a processor.
        entitled: Option<u32>,
        /// Weight, 0 to 255.
        weight: Option<u8>,
    },
    /// Switches everything off and ends.
    Down,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done, or begun.
    Done,
    /// What there is.
    List(NodeStatus),
    /// A partition.
    Show(Box<Shown>),
    /// Why not.
    Refused(String),
}

/// A partition and what it was made of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// How it does.
    pub status: PartitionStatus,
    /// As its profile says.
    pub profile: serde_json::Value,
    /// How often it made each hypercall, the most frequent first.
    #[serde(default)]
    pub calls: Vec<(String, u64)>,
}

/// The node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Nanoseconds since it came up.
    pub uptime_ns: u64,
    /// Processors.
    pub processors: u32,
    /// Processors that are shared.
    pub pool_processors: u32,
    /// Hundredths of a processor that nobody is entitled to.
    pub free: u32,
    /// Nanoseconds of shared processors that nobody had.
    pub pool_idle_ns: u64,
    /// Pages of 4 KiB that are kept for several places in the partitions' memories.
    #[serde(default)]
    pub pages_kept: u64,
    /// Those places.
    #[serde(default)]
    pub pages_shared: u64,
    /// The partitions.
    pub partitions: Vec<PartitionStatus>,
}

/// What a partition does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Switched off.
    Off,
    /// Runs.
    Running,
    /// Was told to end.
    Stopping,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Off => "off",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
        }
    }
}

/// How a partition does. Times are nanoseconds since it was switched on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Number.
    pub number: u32,
    /// Name.
    pub name: String,
    /// What it does.
    pub phase: Phase,
    /// Why it is off; empty if it never ran.
    pub why: String,
    /// "dedicated", "capped" or "uncapped".
    pub mode: String,
    /// Virtual cores.
    pub cores: u32,
    /// Threads of each.
    pub threads: u32,
    /// Hundredths of a processor.
    pub entitled: u32,
    /// Weight, if it is uncapped.
    pub weight: Option<u8>,
    /// Bytes.
    pub memory: u64,
    /// Time since it was switched on.
    pub uptime_ns: u64,
    /// Time on processors.
    pub consumed_ns: u64,
    /// Of that beyond its entitlement.
    pub surplus_ns: u64,
    /// Time in which it had something to do and no processor.
    pub waited_ns: u64,
    /// Time of dedicated processors that it lent.
    pub donated_ns: u64,
    /// How often one of its cores was put on a processor.
    pub dispatches: u64,
    /// Hypercalls.
    pub hypercalls: u64,
    /// Bytes read from its disks.
    #[serde(default)]
    pub disk_read: u64,
    /// Bytes written to its disks.
    #[serde(default)]
    pub disk_written: u64,
    /// Bytes of frames that its network adapters received.
    #[serde(default)]
    pub net_received: u64,
    /// Bytes of frames that its network adapters sent.
    #[serde(default)]
    pub net_sent: u64,
}
