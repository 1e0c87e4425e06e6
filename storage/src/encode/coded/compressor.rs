//! Pages through zstd, with a context that outlives them.
//!
//! Most bytes of a page are hexadecimal digits and tokens that never come again: a search for earlier copies mostly finds nothing, while
//! fewer bits a letter (Huffman coding) are always found. So the lowest level takes longer steps than the library's.
//! Invariant: a level above that is exactly the library's.

use std::io;

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, ParamSwitch},
};

/// The level whose parameters are ours.
const LOWEST_LEVEL: i32 = 1;

/// Bytes an earlier copy has at the least, where the library takes 5 to 7 by the page's size.
const MATCH_BYTES_MIN: u32 = 6;

/// `ZSTD_c_targetLength`: with the strategy of this level one less than what lies between two looks for a copy (`zstd_fast.c`). The
/// library's is zero, which stands for one.
const STEP_LESS_ONE: u32 = 3;

/// Compresses pages one after the other.
#[derive(Default)]
pub(super) struct PageCompressor(Compressor<'static>);

impl PageCompressor {
    /// What comes next is compressed at `level`, 1 to 22; an error of the library where it is none.
    pub(super) fn set_level(&mut self, level: i32) -> io::Result<()> {
        // Zero stands for the library's own choice. Longer steps turn the coding of letters off, if nothing is said of it.
        let (match_bytes, step_less_one, letters) = if level == LOWEST_LEVEL {
            (MATCH_BYTES_MIN, STEP_LESS_ONE, ParamSwitch::Enable)
        } else {
            (0, 0, ParamSwitch::Auto)
        };
        self.0.set_compression_level(level)?;
        self.0.set_parameter(CParameter::MinMatch(match_bytes))?;
        self.0.set_parameter(CParameter::TargetLength(step_less_one))?;
        self.0.set_parameter(CParameter::LiteralCompressionMode(letters))
    }

    /// The page, compressed.
    pub(super) fn compress(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits that look drawn at random (xorshift64), with a word in between that comes again.
    fn page() -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut token = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x} /api/v1/items/")
        };
        (0..4096).map(|_| token()).collect::<String>().into_bytes()
    }

    #[test]
    fn the_lowest_level_finds_copies_and_codes_letters() {
        let (page, mut compressor) = (page(), PageCompressor::default());
        compressor.set_level(1).unwrap();
        let compressed = compressor.compress(&page).unwrap();
        // Half of the page is digits of four bits each, the other half comes again and again.
        assert!(compressed.len() < page.len() * 2 / 5, "{} of {}", compressed.len(), page.len());
        assert_eq!(zstd::bulk::decompress(&compressed, page.len()).unwrap(), page);
    }

    #[test]
    fn levels_above_it_are_the_librarys() {
        let (page, mut compressor) = (page(), PageCompressor::default());
        for level in [1, 3, 9, 1, 19] {
            compressor.set_level(level).unwrap();
            let compressed = compressor.compress(&page).unwrap();
            let librarys = zstd::bulk::compress(&page, level).unwrap();
            assert_eq!(compressed == librarys, level != 1, "level {level}");
        }
    }
}
