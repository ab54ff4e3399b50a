//! Checksums and segmentation in software, for networks and adapters that want whole frames (RFC 1071, 9293, 8200).

use crate::{Gso, Offload};

/// Least payload of a segment; a sender that asks for less is not obeyed (nobody's TCP goes below).
pub const LEAST_SEGMENT: u16 = 8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Where the headers of a frame are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layers {
    /// Offset of the IP header.
    pub ip: usize,
    /// IPv6, not IPv4.
    pub v6: bool,
    /// What the packet carries.
    pub protocol: u8,
    /// Offset of what follows the IP header.
    pub payload: usize,
    /// End of the packet by its own length field, at most the frame's end.
    pub end: usize,
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*b.get(at..)?.first_chunk()?))
}

fn put16(b: &mut [u8], at: usize, v: u16) {
    if let Some(place) = b.get_mut(at..at + 2) {
        place.copy_from_slice(&v.to_be_bytes());
    }
}

/// The headers of an IP packet that is no fragment, behind up to two VLAN tags. IPv6 extension headers are not followed.
pub fn layers(frame: &[u8]) -> Option<Layers> {
    let mut at = 12;
    let mut kind = be16(frame, at)?;
    for _ in 0..2 {
        if TAGS.contains(&kind) {
            at += 4;
            kind = be16(frame, at)?;
        }
    }
    let ip = at + 2;
    let first = *frame.get(ip)?;
    match kind {
        IPV4 if first >> 4 == 4 => {
            let payload = ip + (first & 15) as usize * 4;
            let whole = be16(frame, ip + 6)? & 0x3fff == 0;
            let end = (ip + be16(frame, ip + 2)? as usize).min(frame.len());
            let protocol = *frame.get(ip + 9)?;
            (whole && payload >= ip + 20 && payload <= end).then_some(Layers {
                ip,
                v6: false,
                protocol,
                payload,
                end,
            })
        }
        IPV6 if first >> 4 == 6 => {
            let payload = ip + 40;
            let end = (payload + be16(frame, ip + 4)? as usize).min(frame.len());
            let protocol = *frame.get(ip + 6)?;
            (payload <= end).then_some(Layers { ip, v6: true, protocol, payload, end })
        }
        _ => None,
    }
}

impl Layers {
    /// Length of the TCP header, if it is one and whole.
    pub fn tcp_header(&self, frame: &[u8]) -> Option<usize> {
        let len = (*frame.get(self.payload + 12)? >> 4) as usize * 4;
        (self.protocol == TCP && len >= 20 && self.payload + len <= self.end).then_some(len)
    }

    /// Where the checksum of the protocol carried stands, from its start, if it is one that can be left to do.
    pub fn checksum_offset(&self) -> Option<usize> {
        match self.protocol {
            TCP => Some(16),
            UDP => Some(6),
            _ => None,
        }
    }

    /// Sum over the pseudo header of a packet that carries `len` bytes.
    pub fn pseudo(&self, frame: &[u8], len: usize) -> u64 {
        let addresses = if self.v6 { self.ip + 8..self.ip + 40 } else { self.ip + 12..self.ip + 20 };
        sum(frame.get(addresses).unwrap_or(&[]))
            + u64::from(self.protocol)
            + (len >> 16) as u64
            + (len & 0xffff) as u64
    }
}

/// Sum of big-endian 16-bit words, an odd last byte being a high half.
pub fn sum(data: &[u8]) -> u64 {
    // Words of the host's order give the swapped sum; 32 bits at a time leave room for 4 GiB of data.
    let mut chunks = data.chunks_exact(4);
    let mut s: u64 = chunks.by_ref().map(|c| u64::from(u32::from_ne_bytes([c[0], c[1], c[2], c[3]]))).sum();
    let mut rest = chunks.remainder();
    if let [a, b, tail @ ..] = rest {
        s += u64::from(u16::from_ne_bytes([*a, *b]));
        rest = tail;
    }
    if let [a] = rest {
        s += u64::from(u16::from_ne_bytes([*a, 0]));
    }
    u64::from(u16::from_be_bytes(fold(s).to_ne_bytes()))
}

/// A sum with the carries added in.
pub fn fold(mut s: u64) -> u16 {
    while s >> 16 != 0 {
        s = (s & 0xffff) + (s >> 16);
    }
    s as u16
}

/// Puts the sum over a pseudo header where the checksum of a TCP or UDP packet belongs, as [`Offload::checksum`] has it,
/// and says so. Anything else: nothing.
pub fn prepare_checksum(frame: &mut [u8]) -> Option<(u16, u16)> {
    let l = layers(frame)?;
    let offset = l.checksum_offset()?;
    let partial = fold(l.pseudo(frame, l.end - l.payload));
    if l.payload + offset + 2 > l.end {
        return None;
    }
    put16(frame, l.payload + offset, partial);
    Some((u16::try_from(l.payload).ok()?, offset as u16))
}

/// Does the checksum that was left to do. Places outside of the frame are left alone.
fn checksum(frame: &mut [u8], start: u16, offset: u16) {
    let (start, offset) = (start as usize, offset as usize);
    let Some(data) = frame.get(start..) else { return };
    if offset + 2 > data.len() {
        return;
    }
    let mut value = !fold(sum(data));
    let udp = offset == 6;
    if value == 0 && udp {
        value = 0xffff;
    }
    put16(frame, start + offset, value);
}

/// Does what is left to do to a frame and hands over what comes of it: one frame, or its segments. False: the frame
/// contradicts what is said about it, and nothing was handed over.
pub fn finish(frame: &[u8], offload: Offload, out: &mut dyn FnMut(&[u8])) -> bool {
    match (offload.gso, offload.checksum) {
        (Gso::None, None) => out(frame),
        (Gso::None, Some((start, offset))) => {
            let mut copy = frame.to_vec();
            checksum(&mut copy, start, offset);
            out(&copy);
        }
        _ => return segment(frame, offload.segment, out).is_some(),
    }
    true
}

/// Cuts a TCP packet.
fn segment(frame: &[u8], size: u16, out: &mut dyn FnMut(&[u8])) -> Option<()> {
    let l = layers(frame)?;
    let header = l.payload + l.tcp_header(frame)?;
    if size < LEAST_SEGMENT {
        return None;
    }
    let data = &frame[header..l.end];
    let sequence = u32::from_be_bytes(*frame.get(l.payload + 4..)?.first_chunk()?);
    let flags = frame[l.payload + 13];
    let identity = if l.v6 { 0 } else { be16(frame, l.ip + 4)? };
    let mut copy = Vec::with_capacity(header + size as usize);
    // A packet without data is one segment all the same.
    let count = data.len().div_ceil(size as usize).max(1);
    for n in 0..count {
        let from = n * size as usize;
        let part = &data[from..data.len().min(from + size as usize)];
        copy.clear();
        copy.extend_from_slice(&frame[..header]);
        copy.extend_from_slice(part);
        let carried = copy.len() - l.payload;
        if l.v6 {
            put16(&mut copy, l.ip + 4, carried as u16);
        } else {
            let total = (copy.len() - l.ip) as u16;
            put16(&mut copy, l.ip + 2, total);
            put16(&mut copy, l.ip + 4, identity.wrapping_add(n as u16));
            put16(&mut copy, l.ip + 10, 0);
            let c = !fold(sum(&copy[l.ip..l.payload]));
            put16(&mut copy, l.ip + 10, c);
        }
        copy[l.payload + 4..l.payload + 8].copy_from_slice(&sequence.wrapping_add(from as u32).to_be_bytes());
        let mut f = flags;
        if n + 1 < count {
            f &= !(FIN | PSH);
        }
        if n > 0 {
            f &= !CWR;
        }
        copy[l.payload + 13] = f;
        put16(&mut copy, l.payload + 16, 0);
        let c = !fold(l.pseudo(&copy, carried) + sum(&copy[l.payload..]));
        put16(&mut copy, l.payload + 16, c);
        out(&copy);
    }
    Some(())
}

/// Cuts what several UDP datagrams of one flow were joined to: their payloads, all of `size` bytes but the last. False:
/// it is no such thing.
pub fn split_datagrams(frame: &[u8], size: u16, out: &mut dyn FnMut(&[u8])) -> bool {
    const HEADER: usize = 8;
    let Some(l) = layers(frame).filter(|l| l.protocol == UDP && l.end >= l.payload + HEADER) else {
        return false;
    };
    if size < LEAST_SEGMENT {
        return false;
    }
    let header = l.payload + HEADER;
    for part in frame[header..l.end].chunks(size as usize) {
        let mut copy = [&frame[..header], part].concat();
        let carried = HEADER + part.len();
        if l.v6 {
            put16(&mut copy, l.ip + 4, carried as u16);
        } else {
            let total = (copy.len() - l.ip) as u16;
            put16(&mut copy, l.ip + 2, total);
            put16(&mut copy, l.ip + 10, 0);
            let c = !fold(sum(&copy[l.ip..l.payload]));
            put16(&mut copy, l.ip + 10, c);
        }
        put16(&mut copy, l.payload + 4, carried as u16);
        put16(&mut copy, l.payload + 6, fold(l.pseudo(&frame[..header], carried)));
        checksum(&mut copy, l.payload as u16, 6);
        out(&copy);
    }
    true
}

/// Sets ACK in a TCP segment that has neither that nor SYN or RST, and corrects its checksum (RFC 1624). `None`: it has
/// one of them, or is no such segment.
pub fn acknowledging(frame: &[u8]) -> Option<Vec<u8>> {
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;
    let l = layers(frame)?;
    l.tcp_header(frame)?;
    let at = l.payload + 12;
    if frame[at + 1] & (SYN | RST | ACK) != 0 {
        return None;
    }
    let mut new = frame.to_vec();
    new[at + 1] |= ACK;
    let (was, is) = (be16(frame, at)?, be16(&new, at)?);
    let c = be16(frame, l.payload + 16)?;
    put16(&mut new, l.payload + 16, !fold(u64::from(!c) + u64::from(!was) + u64::from(is)));
    Some(new)
}

/// Raises the segment size that a TCP connection's first packet announces, and corrects its checksum (RFC 1624). Answers
/// what was announced before.
pub fn raise_announced_segment(frame: &mut [u8], to: u16) -> Option<u16> {
    const SYN: u8 = 0x02;
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SEGMENT: u8 = 2;
    let l = layers(frame)?;
    let header = l.tcp_header(frame)?;
    if frame[l.payload + 13] & SYN == 0 {
        return None;
    }
    let (mut at, end) = (l.payload + 20, l.payload + header);
    while at < end {
        match frame[at] {
            END => return None,
            NOTHING => at += 1,
            kind => {
                let len = *frame.get(at + 1)? as usize;
                if len < 2 || at + len > end {
                    return None;
                }
                if kind == SEGMENT && len == 4 {
                    let old = be16(frame, at + 2)?;
                    if old >= to {
                        return Some(old);
                    }
                    put16(frame, at + 2, to);
                    let c = be16(frame, l.payload + 16)?;
                    // An option may stand at an odd place: its bytes then count in the other halves.
                    let swap = |v: u16| if (at + 2 - l.payload) % 2 == 0 { v } else { v.swap_bytes() };
                    let new = !fold(u64::from(!c) + u64::from(!swap(old)) + u64::from(swap(to)));
                    put16(frame, l.payload + 16, new);
                    return Some(old);
                }
                at += len;
            }
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A TCP packet of that much data, its checksum complete.
    pub(crate) fn tcp(v6: bool, data: usize, flags: u8, options: &[u8]) -> Vec<u8> {
        let mut f = vec![0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1];
        let header = 20 + options.len();
        if v6 {
            f.extend(IPV6.to_be_bytes());
            f.extend([0x60, 0, 0, 0]);
            f.extend(((header + data) as u16).to_be_bytes());
            f.extend([TCP, 64]);
            f.extend([0xfd; 16]);
            f.extend([0xfe; 16]);
        } else {
            f.extend(IPV4.to_be_bytes());
            f.extend([0x45, 0]);
            f.extend(((20 + header + data) as u16).to_be_bytes());
            f.extend([0x12, 0x34, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let c = !fold(sum(&f[14..34]));
            put16(&mut f, 24, c);
        }
        let l4 = f.len();
        f.extend([
            0,
            80,
            0x30,
            0x39,
            0xff,
            0xff,
            0xff,
            0,
            0,
            0,
            0,
            1,
            (header as u8 / 4) << 4,
            flags,
            0x10,
            0,
            0,
            0,
            0,
            0,
        ]);
        f.extend(options);
        f.extend((0..data).map(|n| (n * 7) as u8));
        let l = layers(&f).unwrap();
        let c = !fold(l.pseudo(&f, f.len() - l4) + sum(&f[l4..]));
        put16(&mut f, l4 + 16, c);
        f
    }

    fn right(f: &[u8]) {
        let l = layers(f).unwrap();
        assert_eq!(l.end, f.len());
        assert_eq!(fold(l.pseudo(f, f.len() - l.payload) + sum(&f[l.payload..])), 0xffff);
        assert!(l.v6 || fold(sum(&f[l.ip..l.payload])) == 0xffff);
    }

    #[test]
    fn sums() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
        assert_eq!(sum(&[0xff; 8]), 0xffff);
        // The example of RFC 1071.
        assert_eq!(sum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn a_checksum_left_to_do_is_done() {
        for v6 in [false, true] {
            for data in [0, 1, 100, 1447] {
                let whole = tcp(v6, data, 0x18, &[]);
                let mut left = whole.clone();
                let checksum = prepare_checksum(&mut left);
                assert!(checksum.is_some() && left != whole);
                let mut done = Vec::new();
                let o = Offload { checksum, ..Offload::default() };
                assert!(finish(&left, o, &mut |f| done.push(f.to_vec())));
                assert_eq!(done, [whole]);
            }
        }
    }

    #[test]
    fn segments_carry_the_same_data() {
        for v6 in [false, true] {
            let whole = tcp(v6, 4000, 0x80 | 0x18 | 1, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
            let l = layers(&whole).unwrap();
            let header = l.payload + 32;
            let gso = if v6 { Gso::Tcp6 } else { Gso::Tcp4 };
            let o = Offload { gso, segment: 1448, header_len: header as u16, ..Offload::default() };
            let mut parts = Vec::new();
            assert!(finish(&whole, o, &mut |f| parts.push(f.to_vec())));
            assert_eq!(parts.len(), 3);
            let mut data: Vec<u8> = Vec::new();
            for (n, p) in parts.iter().enumerate() {
                right(p);
                let s = u32::from_be_bytes(p[l.payload + 4..l.payload + 8].try_into().unwrap());
                assert_eq!(s, 0xffff_ff00u32.wrapping_add(data.len() as u32));
                assert_eq!(p[l.payload + 13], [0x90, 0x10, 0x19][n]);
                data.extend(&p[header..]);
            }
            assert_eq!(data, whole[header..]);
        }
    }

    #[test]
    fn joined_datagrams_are_cut() {
        let mut f = tcp(false, 2500, 0, &[])[..34].to_vec();
        f[23] = UDP;
        f.extend([0, 53, 0, 99, 0, 0, 0, 0]);
        f.extend((0..2500).map(|n| (n * 3) as u8));
        put16(&mut f, 16, 20 + 8 + 2500);
        let mut data = Vec::new();
        assert!(split_datagrams(&f, 1000, &mut |p| {
            right(p);
            data.extend_from_slice(&p[42..]);
        }));
        assert_eq!(data, f[42..]);
        assert!(!split_datagrams(&f, 0, &mut |_| {}));
        assert!(!split_datagrams(&tcp(true, 5, 0, &[]), 1000, &mut |_| {}));
    }

    #[test]
    fn lies_about_frames_are_harmless() {
        let f = tcp(false, 100, 0x10, &[]);
        let o = |checksum, gso, segment| Offload { checksum, gso, segment, ..Offload::default() };
        let none = &mut |_: &[u8]| panic!("nothing can be cut here");
        assert!(!finish(&f, o(None, Gso::Tcp4, 0), none));
        assert!(!finish(&f[..40], o(None, Gso::Tcp4, 1000), none));
        assert!(!finish(&[], o(None, Gso::Tcp6, 1000), none));
        for place in [(0, 0xffff), (0xffff, 0), (f.len() as u16 - 1, 0)] {
            assert!(finish(&f, o(Some(place), Gso::None, 0), &mut |got| assert_eq!(got, f)));
        }
    }

    #[test]
    fn the_announced_segment_is_raised() {
        for options in [&[2, 4, 5, 0xb4][..], &[1, 2, 4, 5, 0xb4, 1, 1, 0], &[4, 2, 2, 4, 5, 0xb4, 1, 0]] {
            let mut f = tcp(false, 0, 2, options);
            assert_eq!(raise_announced_segment(&mut f, 0xfff0), Some(1460));
            right(&f);
            assert_eq!(raise_announced_segment(&mut f, 0xfff0), Some(0xfff0));
        }
        for options in [&[2, 3, 5, 0xb4][..], &[0, 2, 4, 5], &[8, 0, 0, 0], &[8, 9, 0, 0]] {
            let mut f = tcp(true, 0, 2, options);
            assert_eq!(raise_announced_segment(&mut f, 0xfff0), None);
            right(&f);
        }
        assert_eq!(raise_announced_segment(&mut tcp(true, 0, 0x10, &[2, 4, 5, 0xb4]), 0xfff0), None);
    }
}
