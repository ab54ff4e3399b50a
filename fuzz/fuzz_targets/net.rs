//! What arrives from a network: a byte stream of frames, and frames with any claim about what is left to do to them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::finish::{finish, layers, prepare_checksum, raise_announced_segment, split_datagrams};
use net::join::Joiner;
use net::stream::{Deframer, Framed};
use net::{Gso, MAX_FRAME, Offload};

fn frame(f: &[u8], claim: [u8; 8]) {
    let half = |at: usize| u16::from_le_bytes([claim[at], claim[at + 1]]);
    let offload = Offload {
        checksum: (claim[0] & 1 != 0).then(|| (half(2), half(4) & 0xff)),
        checked: claim[0] & 2 != 0,
        gso: [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::Tcp4][(claim[0] >> 2 & 3) as usize],
        header_len: half(2),
        segment: half(6),
    };
    let mut bytes = 0;
    finish(f, offload, &mut |part| {
        assert!(part.len() <= f.len());
        bytes += part.len();
    });
    split_datagrams(f, offload.segment, &mut |part| assert!(part.len() <= f.len()));
    if let Some(l) = layers(f) {
        assert!(l.ip < l.payload && l.payload <= l.end && l.end <= f.len());
    }
    let mut copy = f.to_vec();
    if let Some((start, at)) = prepare_checksum(&mut copy) {
        assert!(start as usize + at as usize + 2 <= f.len());
        let left = Offload { checksum: Some((start, at)), ..Offload::default() };
        assert!(finish(&copy, left, &mut |part| assert_eq!(part.len(), f.len())));
    }
    raise_announced_segment(&mut copy, 0xfff0);
}

fuzz_target!(|data: &[u8]| {
    let Some((claim, data)) = data.split_first_chunk::<8>() else { return };
    frame(data, *claim);
    // The stream comes in pieces of one size.
    let piece = 1 + claim[1] as usize * 16;
    let mut frames = Deframer::default();
    let mut joiner = Joiner::default();
    let mut out = |f: &[u8], o: Offload| assert!(finish(f, o, &mut |_| {}));
    let mut rest = data;
    while !rest.is_empty() {
        let room = frames.room();
        let n = rest.len().min(piece).min(room.len());
        assert!(n > 0);
        room[..n].copy_from_slice(&rest[..n]);
        frames.filled(n);
        rest = &rest[n..];
        loop {
            match frames.peek() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(Framed { frame: f, left })) => {
                    assert!(f.len() <= MAX_FRAME);
                    frame(f, *claim);
                    if let Some(left) = left {
                        finish(f, left, &mut |part| assert!(part.len() <= f.len()));
                    }
                    joiner.add(f, &mut out);
                }
            }
            frames.next();
        }
    }
    joiner.flush(&mut out);
});
