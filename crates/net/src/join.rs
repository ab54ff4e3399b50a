//! Joins the segments of a TCP connection that arrive one after the other into one frame left to cut, as network cards
//! do it: a guest then handles one packet in place of many.

use crate::finish::{LEAST_SEGMENT, Layers, fold, layers, prepare_checksum, sum};
use crate::{Gso, Offload};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// Longest IP packet, and so what can be joined.
const LONGEST: usize = 65535;

/// Where frames go when they are complete.
pub type Out<'a> = &'a mut dyn FnMut(&[u8], Offload);

/// The frames that are being joined: none, or a run of one connection.
#[derive(Default)]
pub struct Joiner {
    frame: Vec<u8>,
    run: Option<Run>,
}

struct Run {
    l: Layers,
    /// Offset of the data.
    header: usize,
    /// Sequence number that comes next.
    next: u32,
    segment: usize,
    count: u32,
}

/// A segment that may be joined: plain data, nothing in the headers that would be lost, its checksum right.
fn candidate(frame: &[u8]) -> Option<(Layers, usize, u32)> {
    let l = layers(frame)?;
    let header = l.payload + l.tcp_header(frame)?;
    let plain = l.v6 || l.payload == l.ip + 20;
    let flags = frame[l.payload + 13];
    if !plain || header >= l.end || flags & !PSH != ACK {
        return None;
    }
    let right = fold(l.pseudo(frame, l.end - l.payload) + sum(&frame[l.payload..l.end])) == 0xffff;
    let sequence = u32::from_be_bytes(*frame.get(l.payload + 4..)?.first_chunk()?);
    right.then_some((l, header, sequence))
}

impl Joiner {
    /// Takes a frame; hands over what is complete by that. What it keeps comes out of [`Joiner::flush`] at the latest.
    pub fn add(&mut self, frame: &[u8], out: Out) {
        let Some((l, header, sequence)) = candidate(frame) else {
            self.flush(out);
            out(frame, Offload::default());
            return;
        };
        let data = &frame[header..l.end];
        if !self.goes_on(frame, &l, header, sequence) {
            self.flush(out);
            self.frame.clear();
            self.frame.extend_from_slice(&frame[..l.end]);
            let next = sequence.wrapping_add(data.len() as u32);
            self.run = Some(Run { l, header, next, segment: data.len(), count: 1 });
        } else if let Some(run) = &mut self.run {
            self.frame.extend_from_slice(data);
            self.frame[l.payload + 13] |= frame[l.payload + 13];
            run.next = run.next.wrapping_add(data.len() as u32);
            run.count += 1;
        }
        // A short segment ends the run, and so does one that the sender wants seen.
        let short = self.run.as_ref().is_some_and(|r| data.len() < r.segment);
        if short || frame[l.payload + 13] & PSH != 0 {
            self.flush(out);
        }
    }

    /// Whether a segment continues the run.
    fn goes_on(&self, frame: &[u8], l: &Layers, header: usize, sequence: u32) -> bool {
        let Some(run) = &self.run else { return false };
        let old = &self.frame;
        if (run.l.ip, run.l.v6, run.l.payload, run.header) != (l.ip, l.v6, l.payload, header) {
            return false;
        }
        let data = l.end - header;
        let same = |range: std::ops::Range<usize>| old[range.clone()] == frame[range];
        let (ip, tcp) = (l.ip, l.payload);
        // All but lengths, the packet's number, and IPv4's checksum.
        let ip_same = if l.v6 {
            same(ip..ip + 4) && same(ip + 6..tcp)
        } else {
            same(ip..ip + 2) && same(ip + 6..ip + 10) && same(ip + 12..tcp)
        };
        // All but sequence number, flags and checksum.
        let tcp_same = same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..header);
        run.segment >= usize::from(LEAST_SEGMENT)
            && same(0..ip)
            && ip_same
            && tcp_same
            && sequence == run.next
            && data <= run.segment
            && old.len() - ip + data <= LONGEST
    }

    /// Hands over what is kept.
    pub fn flush(&mut self, out: Out) {
        let Some(run) = self.run.take() else { return };
        let frame = &mut self.frame;
        if run.count == 1 {
            out(frame, Offload { checked: true, ..Offload::default() });
            return;
        }
        let Layers { ip, v6, payload, .. } = run.l;
        if v6 {
            let len = (frame.len() - payload) as u16;
            frame[ip + 4..ip + 6].copy_from_slice(&len.to_be_bytes());
        } else {
            let len = (frame.len() - ip) as u16;
            frame[ip + 2..ip + 4].copy_from_slice(&len.to_be_bytes());
            frame[ip + 10..ip + 12].fill(0);
            let c = !fold(sum(&frame[ip..payload]));
            frame[ip + 10..ip + 12].copy_from_slice(&c.to_be_bytes());
        }
        let offload = Offload {
            checksum: prepare_checksum(frame),
            checked: false,
            gso: if v6 { Gso::Tcp6 } else { Gso::Tcp4 },
            header_len: run.header as u16,
            segment: run.segment as u16,
        };
        out(frame, offload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::finish;
    use crate::finish::tests::tcp;

    fn joined(frames: &[Vec<u8>]) -> Vec<(Vec<u8>, Offload)> {
        let (mut all, mut j) = (Vec::new(), Joiner::default());
        for f in frames {
            j.add(f, &mut |f, o| all.push((f.to_vec(), o)));
        }
        j.flush(&mut |f, o| all.push((f.to_vec(), o)));
        all
    }

    fn cut(whole: &[u8], segment: u16) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let o = Offload { gso: Gso::Tcp4, segment, ..Offload::default() };
        assert!(finish(whole, o, &mut |f| parts.push(f.to_vec())));
        parts
    }

    #[test]
    fn what_was_cut_is_joined() {
        for v6 in [false, true] {
            let whole = tcp(v6, 30000, 0x10, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
            let parts = cut(&whole, 1448);
            let all = joined(&parts);
            assert_eq!(all.len(), 1);
            let (frame, o) = &all[0];
            assert_eq!((o.segment, frame.len()), (1448, whole.len()));
            assert_eq!(o.gso, if v6 { Gso::Tcp6 } else { Gso::Tcp4 });
            // Cut again, it is what came.
            let mut again = Vec::new();
            assert!(finish(frame, *o, &mut |f| again.push(f.to_vec())));
            assert_eq!(again, parts);
        }
    }

    #[test]
    fn what_does_not_belong_together_stays_apart() {
        let parts = cut(&tcp(false, 6000, 0x10, &[]), 1000);
        const IP: usize = 14;
        let edits: [fn(&mut Vec<u8>); 6] = [
            |f| f[IP + 8] = 63,
            |f| f[IP + 15] = 9,
            |f| f[IP + 20] = 1,
            |f| f[IP + 20 + 7] ^= 1,
            |f| f[IP + 20 + 11] ^= 1,
            |f| f[IP + 20 + 13] |= 0x20,
        ];
        for edit in edits {
            let mut odd = parts.clone();
            edit(&mut odd[2]);
            let l = layers(&odd[2]).unwrap();
            odd[2][50..52].fill(0);
            let c = !fold(l.pseudo(&odd[2], l.end - l.payload) + sum(&odd[2][l.payload..l.end]));
            odd[2][50..52].copy_from_slice(&c.to_be_bytes());
            let all = joined(&odd);
            assert_eq!(all.iter().map(|f| f.0.len() - 54).collect::<Vec<_>>(), [2000, 1000, 3000]);
        }
        // A damaged frame comes as it is, and nobody says that it was looked at.
        let mut odd = parts.clone();
        odd[2][100] ^= 1;
        let all = joined(&odd);
        assert_eq!(all[1], (odd[2].clone(), Offload::default()));
        // A push or a short segment ends a run.
        let all = joined(&[cut(&tcp(false, 2500, 0x18, &[]), 1000), parts].concat());
        assert_eq!(all.iter().map(|f| f.0.len() - 54).collect::<Vec<_>>(), [2500, 6000]);
        assert_eq!(all[0].0[47], 0x18);
    }

    #[test]
    fn segments_that_nobody_would_cut_again_are_not_joined() {
        let parts: Vec<_> = (0..20u32)
            .map(|n| {
                let mut f = tcp(false, 1, 0x10, &[]);
                f[38..42].copy_from_slice(&n.to_be_bytes());
                f[50..52].fill(0);
                let l = layers(&f).unwrap();
                let c = !fold(l.pseudo(&f, 21) + sum(&f[34..]));
                f[50..52].copy_from_slice(&c.to_be_bytes());
                f
            })
            .collect();
        let all = joined(&parts);
        assert!(all.iter().map(|f| &f.0).eq(&parts) && all.iter().all(|f| f.1.gso == Gso::None));
    }

    #[test]
    fn packets_stay_below_the_limit() {
        let mut parts = Vec::new();
        for n in 0..100u32 {
            let mut f = tcp(false, 1000, 0x10, &[]);
            f[38..42].copy_from_slice(&(n * 1000).to_be_bytes());
            f[50..52].fill(0);
            let l = layers(&f).unwrap();
            let c = !fold(l.pseudo(&f, 1020) + sum(&f[34..]));
            f[50..52].copy_from_slice(&c.to_be_bytes());
            parts.push(f);
        }
        let all = joined(&parts);
        assert_eq!(all.iter().map(|f| f.0.len() - 54).collect::<Vec<_>>(), [65000, 35000]);
    }
}
