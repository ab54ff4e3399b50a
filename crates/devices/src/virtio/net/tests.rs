use std::sync::Weak;

use super::super::testing::{BUFFERS, Driver, SIZE, battery};
use super::feature::*;
use super::*;

const MAC: Mac = [0x52, 0x54, 0, 1, 2, 3];
const OTHER: Mac = [0x52, 0x54, 0, 9, 9, 9];

/// A network that sends everything back to where it came from.
#[derive(Default)]
struct Mirror {
    nic: Mutex<Option<Arc<dyn Nic>>>,
    heard: Mutex<Vec<(Vec<u8>, Offload)>>,
    rooms: AtomicU64,
}

impl Port for Mirror {
    fn connect(&self, nic: Arc<dyn Nic>) {
        *lock(&self.nic) = Some(nic);
    }
    fn send(&self, frame: &[u8], offload: Offload) {
        lock(&self.heard).push((frame.to_vec(), offload));
    }
    fn room(&self) {
        self.rooms.fetch_add(1, Ordering::SeqCst);
    }
    fn takes_offloads(&self) -> bool {
        false
    }
    fn trunk(&self) -> Option<u8> {
        None
    }
}

fn adapter(pairs: u16) -> (Arc<Mirror>, Arc<dyn VirtioDevice>) {
    let port = Arc::new(Mirror::default());
    let net: Arc<dyn VirtioDevice> = Arc::new(Net::new(port.clone(), MAC, pairs));
    (port, net)
}

fn nic(port: &Mirror) -> Arc<dyn Nic> {
    lock(&port.nic).clone().unwrap()
}

fn frame(to: Mac, len: usize) -> Vec<u8> {
    let mut f = to.to_vec();
    f.extend((6..len).map(|n| n as u8));
    f
}

/// Waits until the network has heard so many frames.
fn heard(port: &Mirror, n: usize) -> Vec<(Vec<u8>, Offload)> {
    let begin = std::time::Instant::now();
    while lock(&port.heard).len() < n {
        assert!(begin.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
    std::mem::take(&mut *lock(&port.heard))
}

fn send(d: &mut Driver, head: &[u8; HEAD], frame: &[u8]) {
    d.ram.write(BUFFERS, head).unwrap();
    d.ram.write(BUFFERS + 0x100, frame).unwrap();
    d.exchange(1, &[(BUFFERS, HEAD as u32, false), (BUFFERS + 0x100, frame.len() as u32, false)]);
}

fn command(d: &mut Driver, queue: usize, bytes: &[u8]) -> u8 {
    d.ram.write(BUFFERS, bytes).unwrap();
    d.ram.write(BUFFERS + 0x800, &[0xee]).unwrap();
    d.exchange(queue, &[(BUFFERS, bytes.len() as u32, false), (BUFFERS + 0x800, 1, true)]);
    d.bytes(BUFFERS + 0x800, 1)[0]
}

#[test]
fn frames_go_out_with_what_is_left_to_do() {
    let (port, net) = adapter(1);
    let mut d = Driver::up(net, CSUM | HOST_TSO4 | MRG_RXBUF);
    assert_eq!(d.config(0, 4) as u32, u32::from_le_bytes([0x52, 0x54, 0, 1]));
    assert_eq!(d.config(6, 2), 1);
    let short = frame(OTHER, 60);
    send(&mut d, &[0; HEAD], &short);
    assert_eq!(heard(&port, 1), [(short.clone(), Offload::default())]);
    let long = frame(OTHER, 60_000);
    let mut head = [0; HEAD];
    head[..10].copy_from_slice(&[NEEDS_CSUM, GSO_TCP4 | GSO_ECN, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
    send(&mut d, &head, &long);
    let want =
        Offload { checksum: Some((34, 16)), gso: Gso::Tcp4, header_len: 54, segment: 1460, checked: false };
    assert_eq!(heard(&port, 1), [(long, want)]);
    // Heads that make no sense, frames too long or empty: dropped, and the chain comes back.
    for bad in [
        [NEEDS_CSUM, 0, 0, 0, 0, 0, 50, 0, 9, 0, 0, 0],
        [0, GSO_TCP4, 54, 0, 0xb4, 5, 0, 0, 0, 0, 0, 0],
        [NEEDS_CSUM, GSO_TCP4, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0],
        [0, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ] {
        send(&mut d, &bad, &short);
    }
    send(&mut d, &[0; HEAD], &vec![0; MAX_FRAME + 1]);
    d.exchange(1, &[(BUFFERS, HEAD as u32, false)]);
    d.exchange(1, &[(BUFFERS, 5, true)]);
    assert!(lock(&port.heard).is_empty());
}

#[test]
fn frames_come_in_over_as_many_buffers_as_they_need() {
    let (port, net) = adapter(1);
    let mut d = Driver::up(net, MRG_RXBUF | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6);
    let nic = nic(&port);
    assert!(nic.takes_offloads());
    let f = frame(MAC, 3000);
    assert!(!nic.deliver(&f, Offload::default()), "no buffers yet");
    for n in 0..3u16 {
        d.offer(0, n, &[(BUFFERS + 0x1000 * n as u64, 1536, true)]);
    }
    d.notify(0);
    assert_eq!(port.rooms.load(Ordering::SeqCst), 1);
    let o = Offload { checked: true, ..Offload::default() };
    assert!(nic.deliver(&f, o));
    nic.done();
    assert_ne!(d.ear.0.load(Ordering::SeqCst), 0);
    assert_eq!((d.wait(0), d.wait(0), d.used(0)), ((0, 1536), (1, 3012 - 1536), None));
    let mut want = [0; HEAD];
    (want[0], want[10]) = (DATA_VALID, 2);
    assert_eq!(d.bytes(BUFFERS, HEAD), want);
    let mut got = d.bytes(BUFFERS + HEAD as u64, 1536 - HEAD);
    got.extend(d.bytes(BUFFERS + 0x1000, 3012 - 1536));
    assert_eq!(got, f);
    // One buffer is left, and not enough for this.
    assert!(!nic.deliver(&f, o));
    assert_eq!(d.used(0), None);
    assert!(nic.deliver(&frame(MAC, 1000), o));
    assert_eq!(d.wait(0), (2, 1012));
}

#[test]
fn without_merging_a_frame_has_one_buffer() {
    let (port, net) = adapter(1);
    let mut d = Driver::up(net, 0);
    let nic = nic(&port);
    d.offer(0, 0, &[(BUFFERS, 12, true), (BUFFERS + 0x1000, 1500, true)]);
    assert!(nic.deliver(&frame(MAC, 1501), Offload::default()), "dropped");
    assert_eq!(d.used(0), None);
    assert!(!nic.takes_offloads());
    let o = Offload { gso: Gso::Tcp4, segment: 1000, checksum: Some((34, 16)), ..Offload::default() };
    assert!(nic.deliver(&frame(MAC, 100), o));
    assert_eq!(d.used(0), None);
    assert!(nic.deliver(&frame(MAC, 1500), Offload::default()));
    assert_eq!(d.wait(0), (0, 1512));
    assert_eq!(d.bytes(BUFFERS + 0x1000, 1500), frame(MAC, 1500));
}

#[test]
fn the_filter_and_the_rest_obey_the_control_queue() {
    let (port, net) = adapter(3);
    let all = MRG_RXBUF | CTRL_VQ | CTRL_RX | CTRL_MAC_ADDR | MQ | GUEST | CTRL_GUEST_OFFLOADS;
    let mut d = Driver::up(net, all);
    let nic = nic(&port);
    for n in 0..SIZE {
        d.offer(0, n, &[(BUFFERS + 0x1000 * (n as u64 + 1), 1536, true)]);
    }
    let comes = |d: &mut Driver, to: Mac| {
        assert!(nic.deliver(&frame(to, 60), Offload::default()));
        d.used(0).is_some()
    };
    const GROUP: Mac = [1, 0, 0x5e, 0, 0, 1];
    assert!(comes(&mut d, MAC) && comes(&mut d, [0xff; 6]) && comes(&mut d, GROUP));
    assert!(!comes(&mut d, OTHER));
    assert_eq!(command(&mut d, 6, &[0, 1, 0]), ctrl::OK);
    assert!(!comes(&mut d, GROUP));
    let mut tables = vec![1, 0, 1, 0, 0, 0];
    tables.extend(OTHER);
    tables.extend([1, 0, 0, 0]);
    tables.extend(GROUP);
    assert_eq!(command(&mut d, 6, &tables), ctrl::OK);
    assert!(comes(&mut d, GROUP) && comes(&mut d, OTHER));
    tables.truncate(8);
    assert_eq!(command(&mut d, 6, &tables), ctrl::ERR);
    assert_eq!(command(&mut d, 6, &[1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), ctrl::ERR);
    assert_eq!(nic.mac(), Some(MAC));
    assert_eq!(command(&mut d, 6, &[0, 0, 1]), ctrl::OK);
    assert_eq!(nic.mac(), None);
    assert!(comes(&mut d, [2; 6]));
    assert_eq!(command(&mut d, 6, &[1, 1, 2, 4, 6, 8, 10, 12]), ctrl::OK);
    assert_eq!(d.config(0, 4), 0x0806_0402);
    // Offloads off, and pairs: only as many as there are.
    assert!(nic.takes_offloads());
    assert_eq!(command(&mut d, 6, &[5, 0, 2, 0, 0, 0, 0, 0, 0, 0]), ctrl::OK);
    assert!(!nic.takes_offloads());
    assert_eq!(command(&mut d, 6, &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0]), ctrl::ERR);
    for (pairs, answer) in [(0, ctrl::ERR), (4, ctrl::ERR), (3, ctrl::OK)] {
        assert_eq!(command(&mut d, 6, &[4, 0, pairs, 0]), answer);
    }
    assert_eq!(command(&mut d, 6, &[9, 9, 9]), ctrl::ERR);
    assert_eq!(command(&mut d, 6, &[]), ctrl::ERR);
    // Without several pairs the control queue is the third.
    d.start(CTRL_VQ | CTRL_RX);
    assert_eq!(command(&mut d, 2, &[0, 0, 1]), ctrl::OK);
    assert_eq!(command(&mut d, 2, &[4, 0, 1, 0]), ctrl::ERR);
}

#[test]
fn it_stands_the_battery() {
    let ports: Mutex<Vec<Weak<Mirror>>> = Mutex::default();
    let make = || {
        let (port, net) = adapter(2);
        lock(&ports).push(Arc::downgrade(&port));
        net
    };
    let works = |d: &mut Driver| {
        let port = lock(&ports)[0].upgrade().unwrap();
        lock(&port.heard).clear();
        d.offer(0, 0, &[(BUFFERS + 0x1000, 2000, true)]);
        d.notify(0);
        send(d, &[0; HEAD], &frame(OTHER, 80));
        assert_eq!(heard(&port, 1)[0].0, frame(OTHER, 80));
        assert!(nic(&port).deliver(&frame(MAC, 90), Offload::default()));
        assert_eq!(d.wait(0), (0, 102));
        assert_eq!(d.bytes(BUFFERS + 0x1000 + HEAD as u64, 90), frame(MAC, 90));
    };
    battery(&make, &works);
}
