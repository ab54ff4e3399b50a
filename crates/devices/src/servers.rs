//! Interrupt server numbers and their places in per-processor tables.

/// Most virtual processors a partition may have.
pub const MAX_SERVERS: usize = 4096;
/// First server number that is never used.
pub const MAX_SERVER_NUMBER: u32 = 0x1_0000;

/// The interrupt servers of a partition (`ibm,ppc-interrupt-server#s`): a fixed set of numbers, perhaps
/// with gaps, each with a place `0..len()` in the controllers' tables.
#[derive(Clone, Debug)]
pub struct ServerMap {
    numbers: Vec<u32>,
    places: Vec<u16>,
}

const NONE: u16 = u16::MAX;

impl ServerMap {
    /// A map of these server numbers. Double ones count once; numbers from [`MAX_SERVER_NUMBER`] up and
    /// more than [`MAX_SERVERS`] of them are left out.
    pub fn new(numbers: &[u32]) -> Self {
        let mut numbers: Vec<u32> = numbers.iter().copied().filter(|&n| n < MAX_SERVER_NUMBER).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.truncate(MAX_SERVERS);
        let mut places = vec![NONE; numbers.last().map_or(0, |&n| n as usize + 1)];
        for (place, &number) in numbers.iter().enumerate() {
            places[number as usize] = place as u16;
        }
        ServerMap { numbers, places }
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// One more than the highest server number: what `ibm,interrupt-server-ranges` covers.
    pub fn limit(&self) -> u32 {
        self.places.len() as u32
    }

    /// The place of a server, if it exists.
    pub fn place(&self, number: u64) -> Option<usize> {
        let place = *self.places.get(usize::try_from(number).ok()?)?;
        (place != NONE).then_some(place as usize)
    }

    /// The server numbers in order of their places.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let m = ServerMap::new(&[8, 0, 9, 0, MAX_SERVER_NUMBER]);
        assert_eq!((m.numbers(), m.len(), m.limit()), (&[0, 8, 9][..], 3, 10));
        assert_eq!(m.place(8), Some(1));
        for n in [1, 10, 1 << 16, u64::MAX, (1 << 32) + 8] {
            assert_eq!(m.place(n), None);
        }
        assert!(ServerMap::new(&[]).is_empty());
    }
}
