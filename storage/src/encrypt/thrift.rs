//! As much of Thrift's compact protocol as it takes to find a part of a Parquet footer by its field numbers.
//!
//! Reads what this process wrote and what a file claims; bytes that are no Thrift give `None`, never more than they hold.

use std::ops::Range;

/// Structs and lists within each other at the most; a footer has fewer than ten.
const DEPTH_MAX: u32 = 32;

/// Type of a field or element, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    const STOP: Kind = Kind(0);
    const TRUE: Kind = Kind(1);
    const FALSE: Kind = Kind(2);
    const BYTE: Kind = Kind(3);
    const I16: Kind = Kind(4);
    const I64: Kind = Kind(6);
    const DOUBLE: Kind = Kind(7);
    pub(super) const BINARY: Kind = Kind(8);
    pub(super) const LIST: Kind = Kind(9);
    const SET: Kind = Kind(10);
    const MAP: Kind = Kind(11);
    pub(super) const STRUCT: Kind = Kind(12);
}

/// Walks over bytes, a field at a time.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Walk<'a> {
        Walk { bytes, at: 0 }
    }

    /// Bytes walked over.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes to the field with this number in the struct that is just entered; `None` where it has none of that type.
    pub(super) fn enter(&mut self, wanted: i16, kind: Kind) -> Option<()> {
        let mut id = 0;
        loop {
            let found = self.field(&mut id)?;
            match (id == wanted, found) {
                (_, Kind::STOP) => return None,
                (true, found) => return (found == kind).then_some(()),
                (false, found) => self.skip(found, DEPTH_MAX)?,
            }
        }
    }

    /// Leaves a struct whose field `last` was just walked over.
    pub(super) fn leave(&mut self, last: i16) -> Option<()> {
        let mut id = last;
        loop {
            match self.field(&mut id)? {
                Kind::STOP => return Some(()),
                found => self.skip(found, DEPTH_MAX)?,
            }
        }
    }

    /// Enters a list of structs: their number.
    pub(super) fn structs(&mut self) -> Option<usize> {
        let (count, kind) = self.list()?;
        (kind == Kind::STRUCT).then_some(count)
    }

    /// Walks over a struct: where it stands.
    pub(super) fn whole_struct(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.skip(Kind::STRUCT, DEPTH_MAX)?;
        Some(start..self.at)
    }

    /// Walks over a string: its bytes.
    pub(super) fn binary(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The type of the next field; `id` goes from the number of the field before to its own.
    fn field(&mut self, id: &mut i16) -> Option<Kind> {
        let header = self.byte()?;
        let kind = Kind(header & 0x0f);
        if kind == Kind::STOP {
            return Some(kind);
        }
        *id = match i16::from(header >> 4) {
            0 => {
                let zigzag = self.varint()?;
                i16::try_from((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()).ok()?
            }
            delta => id.checked_add(delta)?,
        };
        Some(kind)
    }

    fn list(&mut self) -> Option<(usize, Kind)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            count => usize::from(count),
        };
        Some((count, Kind(header & 0x0f)))
    }

    fn skip(&mut self, kind: Kind, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Kind::TRUE | Kind::FALSE => {}
            Kind::BYTE => drop(self.byte()?),
            Kind(number) if (Kind::I16.0..=Kind::I64.0).contains(&number) => drop(self.varint()?),
            Kind::DOUBLE => drop(self.take(8)?),
            Kind::BINARY => drop(self.binary()?),
            Kind::LIST | Kind::SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.skip_element(kind, depth)?;
                }
            }
            Kind::MAP => self.skip_map(depth)?,
            Kind::STRUCT => {
                let mut id = 0;
                loop {
                    match self.field(&mut id)? {
                        Kind::STOP => break,
                        kind => self.skip(kind, depth)?,
                    }
                }
            }
            Kind(_) => return None,
        }
        Some(())
    }

    /// In a list or map a truth value has a byte of its own.
    fn skip_element(&mut self, kind: Kind, depth: u32) -> Option<()> {
        match kind {
            Kind::TRUE | Kind::FALSE => self.byte().map(drop),
            kind => self.skip(kind, depth),
        }
    }

    fn skip_map(&mut self, depth: u32) -> Option<()> {
        let count = self.varint()?;
        if count == 0 {
            return Some(());
        }
        let kinds = self.byte()?;
        for _ in 0..count {
            self.skip_element(Kind(kinds >> 4), depth)?;
            self.skip_element(Kind(kinds & 0x0f), depth)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_is_found_behind_every_other_kind() {
        // 1: true, 2: byte, 3: i32 300, 4: double, 5: list of two bools, 6: map of one i32 to a string, 7: struct, 40: "x"
        let bytes = [
            0x11, 0x13, 7, 0x15, 0xd8, 0x04, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x19, 0x21, 1, 2, 0x1b, 1, 0x58,
            2, 1, b'k', 0x1c, 0x18, 1, b'i', 0, 0x08, 80, 1, b'x', 0,
        ];
        let mut walk = Walk::new(&bytes);
        walk.enter(40, Kind::BINARY).expect("the field is there");
        assert_eq!(walk.binary(), Some(&b"x"[..]));
        walk.leave(40).expect("the end is there");
        assert_eq!(walk.at(), bytes.len());
        let mut walk = Walk::new(&bytes);
        walk.enter(7, Kind::STRUCT).expect("the field is there");
        assert_eq!(walk.whole_struct(), Some(26..30));
        assert_eq!(Walk::new(&bytes).enter(7, Kind::LIST), None, "of another type");
        assert_eq!(Walk::new(&bytes).enter(8, Kind::LIST), None, "not there");
        for cut in 0..bytes.len() {
            assert_eq!(Walk::new(&bytes[..cut]).whole_struct(), None, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut walk = Walk::new(&bytes);
            if let Some(range) = walk.whole_struct() {
                prop_assert!(range.end <= bytes.len());
            }
        }
    }
}
