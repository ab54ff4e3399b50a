//! A virtual Ethernet switch inside of one process (LoPAR 17.4, IEEE 802.1Q).
//!
//! Adapters' addresses are known, so that nothing is learned: a frame goes to the adapter that has its address, and what
//! matches no adapter goes to the active trunk, the one with the lowest priority number that reaches the frame's VLAN.
//! Frames are copied once, from the sender's to the receiver's memory, and what is left to do to them stays left to do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use crate::finish::finish;
use crate::{Gso, Nic, Offload, Port};

/// The tag protocol of 802.1Q.
const TAG: [u8; 2] = [0x81, 0x00];
/// Bytes of a tag.
const TAG_LEN: usize = 4;
/// Where a tag stands.
const TAG_AT: usize = 12;
/// Priority of what is a trunk because it has no address of its own.
const LAST: u8 = u8::MAX;
/// Bytes and frames that wait for an adapter that has no room.
const QUEUE_BYTES: usize = 2 << 20;
const QUEUE_FRAMES: usize = 512;
/// Largest VLAN number.
pub const MAX_VLAN: u16 = 4094;

/// What an adapter may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortConfig {
    /// VLAN of its untagged frames, 1 to [`MAX_VLAN`].
    pub vlan: u16,
    /// VLANs that it sees and sends with tags. None: it knows nothing of VLANs.
    pub tagged: BTreeSet<u16>,
    /// It is a trunk, with this priority; low goes first.
    pub trunk: Option<u8>,
}

impl Default for PortConfig {
    fn default() -> Self {
        PortConfig { vlan: 1, tagged: BTreeSet::new(), trunk: None }
    }
}

impl PortConfig {
    fn sees(&self, vlan: u16) -> bool {
        self.vlan == vlan || self.tagged.contains(&vlan)
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Switches by name, made when first asked for.
#[derive(Default)]
pub struct Switches(Mutex<BTreeMap<String, Arc<Switch>>>);

impl Switches {
    /// The switch of that name.
    pub fn get(&self, name: &str) -> Arc<Switch> {
        lock(&self.0).entry(name.to_owned()).or_default().clone()
    }
}

/// A switch.
#[derive(Default)]
pub struct Switch {
    members: RwLock<Vec<Arc<Member>>>,
    next: AtomicU64,
}

struct Member {
    id: u64,
    config: PortConfig,
    nic: RwLock<Option<Weak<dyn Nic>>>,
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<(Vec<u8>, Offload)>,
    bytes: usize,
}

/// A frame on its way through the switch, in both its forms, the second made when needed.
struct Passing<'a> {
    vlan: u16,
    tagged: bool,
    frame: &'a [u8],
    offload: Offload,
    other: Option<(Vec<u8>, Offload)>,
}

impl<'a> Passing<'a> {
    fn new(config: &PortConfig, frame: &'a [u8], offload: Offload) -> Option<Self> {
        let tag = frame.get(TAG_AT..TAG_AT + TAG_LEN)?;
        let tagged = tag[..2] == TAG;
        let vlan = match u16::from_be_bytes([tag[2], tag[3]]) & 0xfff {
            // A tag without a VLAN tells the priority only.
            0 => config.vlan,
            _ if !tagged => config.vlan,
            v if config.tagged.contains(&v) => v,
            _ => return None,
        };
        Some(Passing { vlan, tagged, frame, offload, other: None })
    }

    /// The frame with a tag or without.
    fn form(&mut self, tagged: bool) -> (&[u8], Offload) {
        if tagged == self.tagged {
            return (self.frame, self.offload);
        }
        let other = self.other.get_or_insert_with(|| {
            let (head, rest) = self.frame.split_at(TAG_AT);
            let shifted = |by: i32| {
                let shift = |v: u16| u16::try_from(i32::from(v) + by).unwrap_or(0);
                let mut o = self.offload;
                o.checksum = o.checksum.map(|(start, at)| (shift(start), at));
                o.header_len = if o.gso == Gso::None { 0 } else { shift(o.header_len) };
                o
            };
            if tagged {
                let tag = [TAG[0], TAG[1], (self.vlan >> 8) as u8, self.vlan as u8];
                ([head, &tag, rest].concat(), shifted(TAG_LEN as i32))
            } else {
                ([head, rest.get(TAG_LEN..).unwrap_or(&[])].concat(), shifted(-(TAG_LEN as i32)))
            }
        });
        (&other.0, other.1)
    }
}

impl Member {
    fn nic(&self) -> Option<Arc<dyn Nic>> {
        self.nic.read().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade)
    }

    /// Its priority as a trunk, if it is one.
    fn trunk(&self, nic: &dyn Nic) -> Option<u8> {
        self.config.trunk.or_else(|| nic.mac().is_none().then_some(LAST))
    }

    fn give(&self, nic: &dyn Nic, passing: &mut Passing) {
        let (frame, offload) = passing.form(passing.vlan != self.config.vlan);
        let work = offload.gso != Gso::None || offload.checksum.is_some();
        let mut waiting = lock(&self.waiting);
        if work && !nic.takes_offloads() {
            finish(frame, offload, &mut |f| self.deliver(&mut waiting, nic, f, Offload::default()));
        } else {
            self.deliver(&mut waiting, nic, frame, offload);
        }
        drop(waiting);
        nic.done();
    }

    fn deliver(&self, waiting: &mut Waiting, nic: &dyn Nic, frame: &[u8], offload: Offload) {
        // The adapter may have room by now without having been asked.
        self.drain(waiting, nic);
        if waiting.frames.is_empty() && nic.deliver(frame, offload) {
            return;
        }
        if waiting.frames.len() >= QUEUE_FRAMES || waiting.bytes + frame.len() > QUEUE_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back((frame.to_vec(), offload));
    }

    fn drain(&self, waiting: &mut Waiting, nic: &dyn Nic) {
        while let Some((frame, offload)) = waiting.frames.front() {
            if !nic.deliver(frame, *offload) {
                break;
            }
            waiting.bytes -= frame.len();
            waiting.frames.pop_front();
        }
    }
}

impl Switch {
    /// A new port.
    pub fn port(self: &Arc<Self>, config: PortConfig) -> SwitchPort {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (nic, waiting, dropped) = (RwLock::new(None), Mutex::default(), AtomicU64::new(0));
        let member = Arc::new(Member { id, config, nic, waiting, dropped });
        self.members.write().unwrap_or_else(PoisonError::into_inner).push(member.clone());
        SwitchPort { switch: self.clone(), member }
    }

    /// Connects the switch to another network, which then is a trunk.
    pub fn attach(self: &Arc<Self>, outside: Arc<dyn Port>, config: PortConfig) -> Uplink {
        let port = Arc::new(self.port(config));
        let outward = Arc::new(Outward { outside: outside.clone() });
        let inward = Arc::new(Inward { port: port.clone() });
        port.connect(outward.clone());
        outside.connect(inward.clone());
        Uplink { _port: port, _outside: outside, _outward: outward, _inward: inward }
    }

    fn pass(&self, from: &Member, frame: &[u8], offload: Offload) {
        let Some(to) = frame.first_chunk::<6>() else { return };
        // What bridges keep to themselves.
        if matches!(to, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f]) {
            return;
        }
        let Some(mut p) = Passing::new(&from.config, frame, offload) else { return };
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        let reach =
            || members.iter().filter(|m| m.config.sees(p.vlan)).filter_map(|m| Some((m.clone(), m.nic()?)));
        let active = reach().filter_map(|(m, n)| Some((m.trunk(&*n)?, m.id))).min().map(|(_, id)| id);
        let others: Vec<_> = if to[0] & 1 != 0 {
            // Of the trunks only the active one, or a frame would come round.
            let all = reach().filter(|(m, n)| m.trunk(&**n).is_none() || Some(m.id) == active);
            all.filter(|(m, _)| m.id != from.id).collect()
        } else {
            let mine = |n: &Arc<dyn Nic>| n.mac().as_ref() == Some(to);
            let exact: Vec<_> = reach().filter(|(m, n)| m.id != from.id && mine(n)).collect();
            if exact.is_empty() {
                reach().filter(|(m, _)| Some(m.id) == active && m.id != from.id).collect()
            } else {
                exact
            }
        };
        // What comes in through a trunk that is not active has come in through another one, too.
        let spare = from.nic().is_some_and(|n| from.trunk(&*n).is_some()) && active != Some(from.id);
        if spare {
            return;
        }
        drop(members);
        for (m, nic) in others {
            m.give(&*nic, &mut p);
        }
    }
}

/// A port of a switch.
pub struct SwitchPort {
    switch: Arc<Switch>,
    member: Arc<Member>,
}

impl SwitchPort {
    /// Frames that were lost because the adapter had no room.
    pub fn dropped(&self) -> u64 {
        self.member.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for SwitchPort {
    fn drop(&mut self) {
        let mut all = self.switch.members.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|m| m.id != self.member.id);
    }
}

impl Port for SwitchPort {
    fn connect(&self, nic: Arc<dyn Nic>) {
        *self.member.nic.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&nic));
    }

    fn send(&self, frame: &[u8], offload: Offload) {
        self.switch.pass(&self.member, frame, offload);
    }

    fn room(&self) {
        let Some(nic) = self.member.nic() else { return };
        self.member.drain(&mut lock(&self.member.waiting), &*nic);
        nic.done();
    }

    fn takes_offloads(&self) -> bool {
        true
    }

    fn trunk(&self) -> Option<u8> {
        self.member.config.trunk
    }
}

/// A switch's way out; it ends when this goes.
pub struct Uplink {
    _port: Arc<SwitchPort>,
    _outside: Arc<dyn Port>,
    _outward: Arc<Outward>,
    _inward: Arc<Inward>,
}

/// The outside, as the switch sees it.
struct Outward {
    outside: Arc<dyn Port>,
}

impl Nic for Outward {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        self.outside.send(frame, offload);
        true
    }
    fn takes_offloads(&self) -> bool {
        true
    }
    fn takes_large_segments(&self) -> bool {
        true
    }
    fn done(&self) {}
    fn mac(&self) -> Option<[u8; 6]> {
        None
    }
}

/// The switch, as the outside sees it.
struct Inward {
    port: Arc<SwitchPort>,
}

impl Nic for Inward {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        self.port.send(frame, offload);
        true
    }
    fn takes_offloads(&self) -> bool {
        true
    }
    fn takes_large_segments(&self) -> bool {
        true
    }
    fn done(&self) {}
    fn mac(&self) -> Option<[u8; 6]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::tests::tcp;
    use crate::testing::TestNic;
    use std::sync::atomic::Ordering::SeqCst;

    type Plugged = (SwitchPort, Arc<TestNic>);

    fn plug(s: &Arc<Switch>, mac: u8, config: PortConfig) -> Plugged {
        let nic = Arc::new(TestNic { mac: Some([2, 0, 0, 0, 0, mac]), ..TestNic::default() });
        let port = s.port(config);
        port.connect(nic.clone());
        (port, nic)
    }

    fn vlan(vlan: u16, tagged: &[u16]) -> PortConfig {
        PortConfig { vlan, tagged: tagged.iter().copied().collect(), trunk: None }
    }

    fn frame(to: u8, from: u8, tag: Option<u16>) -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from];
        if to == 0xff {
            f[..6].fill(0xff);
        }
        if let Some(v) = tag {
            f.extend([0x81, 0]);
            f.extend(v.to_be_bytes());
        }
        f.extend([0x88, 0xb5, 1, 2, 3]);
        f.resize(60, 9);
        f
    }

    fn got(p: &Plugged) -> Vec<Vec<u8>> {
        std::mem::take(&mut *p.1.got.lock().unwrap()).into_iter().map(|g| g.0).collect()
    }

    #[test]
    fn frames_go_where_their_address_is() {
        let s = Arc::new(Switch::default());
        let [a, b, c] = [1, 2, 3].map(|m| plug(&s, m, PortConfig::default()));
        a.0.send(&frame(2, 1, None), Offload::default());
        assert_eq!((got(&a).len(), got(&b).len(), got(&c).len()), (0, 1, 0));
        b.0.send(&frame(0xff, 2, None), Offload::default());
        assert_eq!((got(&a).len(), got(&b).len(), got(&c).len()), (1, 0, 1));
        a.0.send(&frame(77, 1, None), Offload::default());
        a.0.send(&[1, 0x80, 0xc2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x88, 0xcc, 0, 0], Offload::default());
        a.0.send(&[0xff; 13], Offload::default());
        assert_eq!((got(&a).len(), got(&b).len(), got(&c).len()), (0, 0, 0));
        drop(c.0);
        b.0.send(&frame(0xff, 2, None), Offload::default());
        assert_eq!((got(&a).len(), c.1.got.lock().unwrap().len()), (1, 0));
    }

    #[test]
    fn vlans_do_not_see_each_other() {
        let s = Arc::new(Switch::default());
        let red = [1, 2].map(|m| plug(&s, m, vlan(10, &[])));
        let blue = [3, 4].map(|m| plug(&s, m, vlan(20, &[])));
        let both = plug(&s, 5, vlan(1, &[10, 20]));
        red[0].0.send(&frame(0xff, 1, None), Offload::default());
        assert_eq!((got(&red[1]), got(&blue[0]).len()), (vec![frame(0xff, 1, None)], 0));
        // Who knows VLANs sees the tag.
        let seen = got(&both);
        assert_eq!(seen, [[&frame(0xff, 1, Some(10))[..60], &[9, 9, 9, 9]].concat()]);
        // Unicast into the other VLAN goes nowhere, nor does a tag from who may not send it.
        red[0].0.send(&frame(3, 1, None), Offload::default());
        red[0].0.send(&frame(3, 1, Some(20)), Offload::default());
        both.0.send(&frame(3, 5, Some(30)), Offload::default());
        assert!(blue.iter().all(|p| got(p).is_empty()));
        both.0.send(&frame(3, 5, Some(20)), Offload::default());
        assert_eq!(got(&blue[0]), [frame(3, 5, None)[..56].to_vec()]);
        assert!(got(&blue[1]).is_empty() && red.iter().all(|p| got(p).is_empty()));
    }

    #[test]
    fn the_active_trunk_gets_the_rest() {
        let s = Arc::new(Switch::default());
        let a = plug(&s, 1, PortConfig::default());
        let trunk =
            |mac, priority| plug(&s, mac, PortConfig { trunk: Some(priority), ..PortConfig::default() });
        let (second, first) = (trunk(8, 2), trunk(9, 1));
        a.0.send(&frame(77, 1, None), Offload::default());
        a.0.send(&frame(0xff, 1, None), Offload::default());
        assert_eq!((got(&first).len(), got(&second).len()), (2, 0));
        // A frame from outside comes in once.
        first.0.send(&frame(0xff, 77, None), Offload::default());
        second.0.send(&frame(0xff, 77, None), Offload::default());
        assert_eq!((got(&a).len(), got(&first).len(), got(&second).len()), (1, 0, 0));
        drop(first);
        a.0.send(&frame(77, 1, None), Offload::default());
        assert_eq!(got(&second).len(), 1);
    }

    #[test]
    fn work_left_to_do_stays_left_where_it_can() {
        let s = Arc::new(Switch::default());
        let a = plug(&s, 1, vlan(1, &[]));
        let b = plug(&s, 2, vlan(1, &[]));
        let whole = tcp(false, 3000, 0x10, &[]);
        let mut to_b = whole.clone();
        to_b[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        let left = Offload {
            gso: Gso::Tcp4,
            segment: 1000,
            header_len: 54,
            checksum: Some((34, 16)),
            checked: false,
        };
        a.0.send(&to_b, left);
        assert_eq!(got(&b).len(), 3);
        b.1.offloads.store(true, SeqCst);
        a.0.send(&to_b, left);
        assert_eq!(*b.1.got.lock().unwrap(), [(to_b.clone(), left)]);
        let tagged = plug(&s, 2, vlan(7, &[1]));
        tagged.1.offloads.store(true, SeqCst);
        a.0.send(&to_b, left);
        let seen = tagged.1.got.lock().unwrap()[0].clone();
        assert_eq!((seen.1.checksum, seen.1.header_len, seen.0.len()), (Some((38, 16)), 58, to_b.len() + 4));
    }

    #[test]
    fn a_full_adapter_gets_its_frames_later_in_order() {
        let s = Arc::new(Switch::default());
        let (a, b) = (plug(&s, 1, PortConfig::default()), plug(&s, 2, PortConfig::default()));
        b.1.room.store(1, SeqCst);
        for n in 0..600u32 {
            let mut f = frame(2, 1, None);
            f[20..24].copy_from_slice(&n.to_be_bytes());
            a.0.send(&f, Offload::default());
        }
        assert_eq!(b.1.got.lock().unwrap().len(), 1);
        b.1.room.store(usize::MAX, SeqCst);
        b.0.room();
        let all = got(&b);
        assert_eq!(all.len() as u64 + b.0.dropped(), 600);
        assert!(all.windows(2).all(|w| w[0][20..24] < w[1][20..24]));
        assert!(all.len() > QUEUE_FRAMES);
    }

    #[test]
    fn an_uplink_joins_two_switches() {
        let (s, t) = (Arc::new(Switch::default()), Arc::new(Switch::default()));
        let (a, b) = (plug(&s, 1, PortConfig::default()), plug(&t, 2, PortConfig::default()));
        let far = Arc::new(t.port(PortConfig::default()));
        let uplink = s.attach(far, PortConfig::default());
        a.0.send(&frame(2, 1, None), Offload::default());
        b.0.send(&frame(1, 2, None), Offload::default());
        b.0.send(&frame(0xff, 2, None), Offload::default());
        assert_eq!((got(&a).len(), got(&b).len()), (2, 1));
        drop(uplink);
        a.0.send(&frame(2, 1, None), Offload::default());
        assert_eq!(got(&b).len(), 0);
    }
}
